"""Config files of every process: lines, addresses, files that are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from xvirt.model.errors import InvalidSpec, Problem
from xvirt.process.config import ClientTlsConfig, explain, find_unreadable, is_address, read_config
from xvirt.process.config_lines import find_lines

HEAD = "apiVersion: xvirt.io/v1alpha1\nkind: ExampleConfig\n"


def check(config: ClientTlsConfig) -> list[Problem]:
    return find_unreadable([("certificate", config.certificate), ("key", config.key), ("ca", config.ca)])


def test_a_file_that_is_named_and_cannot_be_read_is_told_with_its_line(tmp_path: Path) -> None:
    there, path = tmp_path / "there", tmp_path / "example.yaml"
    there.touch()
    path.write_text(HEAD + f"certificate: {there}\nkey: /nowhere/key\nca: {there}\n")
    with pytest.raises(InvalidSpec) as caught:
        read_config(path, ClientTlsConfig, "ExampleConfig", check)
    told = f"{path}:4: key: /nowhere/key cannot be read: No such file or directory; correct the path"
    assert explain(caught.value) == [told]


def test_what_is_wrong_with_a_start_is_told_in_its_own_words() -> None:
    assert explain(OSError("the port is taken")) == ["the port is taken"]


def test_lines_are_found_in_flow_style_and_lists() -> None:
    lines = find_lines("a: {b: 1,\n  c: 2}\nd:\n- x\n- e: 1\n")
    assert (lines["a.b"], lines["a.c"], lines["d[0]"], lines["d[1].e"]) == (1, 2, 4, 5)


@pytest.mark.parametrize("text", ["127.0.0.1:1", "host.example:65535", "[::1]:9443"])
def test_addresses(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize("text", ["::1:9443", "host", "host:x", "host:65536", ":1", "h:\u0661"])
def test_no_addresses(text: str) -> None:
    assert not is_address(text)
