"""The config file: what is wrong is named by file, line and path, with what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nodeplugin import main
from nodeplugin.config import NodeConfig, load_config
from xvirt.model.errors import InvalidSpec
from xvirt.process.logs import LogFormat, LogLevel

HEAD = "apiVersion: xvirt.io/v1alpha1\nkind: NodeConfig\n"


def load(directory: Path, text: str) -> NodeConfig:
    """Load a file with this text."""
    path = directory / "node.yaml"
    path.write_text(text)
    return load_config(path)


def problems(directory: Path, text: str) -> list[str]:
    """What is wrong with it, without the directory."""
    with pytest.raises(InvalidSpec) as caught:
        load(directory, text)
    return [str(problem).removeprefix(f"{directory}/") for problem in caught.value.problems]


def test_a_short_file_gets_defaults_that_open_nothing_to_the_network(tmp_path: Path) -> None:
    config = load(tmp_path, HEAD + "nodeName: node-a\n")
    assert config.metrics_listen == "127.0.0.1:9177"
    assert config.listen is None
    assert (config.log_format, config.log_level) == (LogFormat.TEXT, LogLevel.INFO)


def test_every_mistake_is_named_with_its_line_and_the_nearest_key(tmp_path: Path) -> None:
    text = HEAD + "nodename: a\nresyncIntervalSeconds: 2\ntls:\n  certificate: /x\n  keys: /y\n"
    assert problems(tmp_path, text) == [
        "node.yaml:1: nodeName: is required",
        "node.yaml:3: nodename: is not a known field (did you mean nodeName?); remove it",
        "node.yaml:4: resyncIntervalSeconds: 2 is below the least, 5",
        "node.yaml:5: tls.clientCa: is required",
        "node.yaml:5: tls.key: is required",
        "node.yaml:7: tls.keys: is not a known field (did you mean key?); remove it",
    ]


def test_wrong_kind_and_version_say_what_to_write(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: Config\nnodeName: node-a\n"
    assert problems(tmp_path, text) == [
        "node.yaml:1: apiVersion: must be xvirt.io/v1alpha1; write apiVersion: xvirt.io/v1alpha1",
        "node.yaml:2: kind: must be NodeConfig; write kind: NodeConfig",
    ]


def test_rules_across_fields_are_named_with_their_line(tmp_path: Path) -> None:
    clients = "clients:\n- {commonName: a, authority: x}\n- {commonName: a, profiles: [all]}\n"
    found = problems(tmp_path, HEAD + "nodeName: node-a\nlisten: here\nmetricsListen: ':1'\n" + clients)
    assert [line.split(": ")[:2] for line in found] == [
        ["node.yaml:1", "tls"],
        ["node.yaml:4", "listen"],
        ["node.yaml:5", "metricsListen"],
        *[["node.yaml:6", "clients"]] * 3,
    ]


def test_listen_without_tls_is_refused(tmp_path: Path) -> None:
    text = HEAD + "nodeName: node-a\nlisten: 192.0.2.1:9443\n"
    assert problems(tmp_path, text) == ["node.yaml:1: tls: listen needs tls; there is no plain TCP"]


def test_tls_files_that_cannot_be_read_are_named_before_anything_starts(tmp_path: Path) -> None:
    text = HEAD + "nodeName: node-a\ntls:\n  certificate: /none/a.crt\n  key: /none/a.key\n  clientCa: /none/ca.crt\n"
    found = problems(tmp_path, text)
    assert [line.split(": ")[0] for line in found] == ["node.yaml:5", "node.yaml:6", "node.yaml:7"]
    assert "xvirt node init-pki" in found[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1\n", "node.yaml:2"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"- 1\n", "must be a map"),
        (b"", "holds 0 documents"),
        (HEAD.encode() + b"nodeName: a\nnodeName: b\n", "node.yaml:4"),
    ],
)
def test_what_is_no_config_at_all_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "node.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidSpec, match=message):
        load_config(path)


class Left(Exception):
    """Stands for the end of the process."""


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run xvirt-node; returns its exit code."""

    def leave(code: int) -> None:
        raise Left(code)

    monkeypatch.setattr(sys, "argv", ["xvirt-node", *arguments])
    monkeypatch.setattr(main, "leave", leave)
    try:
        main.run()
    except Left as left:
        return int(left.args[0])
    return 0


def test_check_config_only_says_whether_it_is_right(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "node.yaml"
    path.write_text(HEAD + f"nodeName: node-a\nstateDir: {tmp_path}/state\n")
    assert run(monkeypatch, "--check-config", "--config", str(path)) == 0
    assert capsys.readouterr().out == f"{path}: right\n"
    assert not (tmp_path / "state").exists()


def test_a_wrong_config_is_told_line_by_line_and_exits_with_1(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "node.yaml"
    path.write_text(HEAD + "nodeNam: x\n")
    assert run(monkeypatch, "--check-config", "--config", str(path)) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"xvirt-node: {path}:1: nodeName: is required",
        f"xvirt-node: {path}:3: nodeNam: is not a known field (did you mean nodeName?); remove it",
    ]


def test_a_namespace_is_granted_profiles_once_and_known_ones_alone(tmp_path: Path) -> None:
    head = HEAD + "nodeName: node-a\nnamespaces:\n"
    assert load(tmp_path, head + "- {name: lab, profiles: [baseline]}\n").namespaces[0].profiles == ("baseline",)
    twice = head + "- {name: lab, profiles: [all]}\n- {name: lab, profiles: [baseline]}\n"
    assert [line.split(": ", 2)[2] for line in problems(tmp_path, twice)] == [
        "profiles are restricted, baseline and privileged",
        "a namespace is given twice; join both entries",
    ]
