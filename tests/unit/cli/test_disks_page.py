"""The examples of docs/disks.md, run as they stand against a node whose host is in memory; libvirt is in tests/lab/test_disks.py."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.fakes.volumes import FakeImage
from tests.unit.cli.live_node import LiveNode
from xvirt.model.fields import attributes
from xvirt.model.machine.disk import Disk

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "disks.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_every_example_does_what_the_page_says(node: LiveNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node.volumes.images["/var/lib/xvirt/images/installer.iso"] = FakeImage("raw", 4 << 20)
    monkeypatch.chdir(tmp_path)
    commands = 0
    for language, text in BLOCKS:
        if language == "yaml":
            (tmp_path / text.partition("\n")[0].removeprefix("# ")).write_text(text)
            continue
        for part in text.split("$ xvirt ")[1:]:
            command, _, output = part.partition("\n")
            done = node.xvirt(*shlex.split(command))
            assert (done.err, done.out) == ("", output), command
            commands += 1
    assert commands == 6


def test_the_table_names_every_field_of_a_disk_with_what_its_change_costs() -> None:
    table = PAGE.split("## Settings")[1].split("\n\n")[1].splitlines()[2:]
    said = {
        name: row.split("|")[2].strip().split()[0].rstrip(",")
        for row in table
        for name in re.findall(r"`([a-zA-Z]+)`", row.split("|")[1])
    }
    words = {"live": "live", "restart": "at", "fixed": "never"}
    declared = {item.json_name: words[item.spec.mutability.value] for item in attributes(Disk)}
    del declared["source"], said["source"]  # of a Cdrom live, of a Disk never
    assert {name: said.get(name) for name in declared if name != "adopted"} == {
        name: word for name, word in declared.items() if name != "adopted"
    }
