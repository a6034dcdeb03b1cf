"""The examples of docs/policy.md, run as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from nodeplugin.config import load_config
from tests.unit.cli.live_node import LiveNode
from xvirt.policy import PROFILES

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "policy.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
FILES = {text.split("\n", 1)[0].removeprefix("# "): text for kind, text in BLOCKS if kind == "yaml"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the page's files are."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_says_what_the_page_says(node: LiveNode, place: Path) -> None:
    (console,) = [text for kind, text in BLOCKS if kind == "console" and "$ xvirt" in text]
    commands = re.findall(r"^\$ xvirt (.*)\n((?:(?!\$ ).*\n)*)", console, re.MULTILINE)
    assert len(commands) == 2
    for line, expected in commands:
        outcome = node.xvirt(*shlex.split(line))
        assert (outcome.out + outcome.err).splitlines()[: len(expected.splitlines())] == expected.splitlines()


def test_the_config_grants_what_the_page_says(place: Path) -> None:
    config = load_config(place / "node.yaml")
    assert [client.profiles for client in config.clients] == [("restricted",), ("restricted", "baseline")]
    assert [(item.name, item.profiles) for item in config.namespaces] == [("lab", ("baseline",))]


def test_every_profile_has_its_row() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == PROFILES
