"""The examples of docs/storage.md, run as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.live_node import LiveNode
from xvirt.model.changes import field_changes
from xvirt.model.fields import Mutability

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "storage.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_every_example_of_the_page_does_what_it_says(
    node: LiveNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.volumes.blank_devices.add("/dev/sdb")
    # Whether a pool was looked at before or after a volume was made in it, nothing tells.
    monkeypatch.setattr(node.volumes, "used_bytes", lambda directory: 0)
    monkeypatch.chdir(tmp_path)
    files, commands = [], 0
    for language, text in BLOCKS:
        if language == "yaml":
            files.append(text.partition("\n")[0].removeprefix("# "))
            (tmp_path / files[-1]).write_text(text)
        for part in text.split("$ xvirt ")[1:] if language == "console" else ():
            command, _, output = part.partition("\n")
            outcome = node.xvirt(*shlex.split(command))
            assert (outcome.code, outcome.out) == (0, output), command
            commands += 1
    assert files == ["pool.yaml", "group.yaml", "grown.yaml"]
    assert commands >= 8


def test_the_table_of_what_a_change_costs_is_the_models() -> None:
    disk = {"size": "1Gi", "source": {"image": "a"}, "pool": "a", "format": "raw", "preallocation": "Full", "host": "a"}
    changed = {"size": "2Gi", "source": {"image": "b"}, "pool": "b", "format": "qcow2", "host": "b"}
    costs = {item.path: item.mutability for item in field_changes("VirtualDisk", disk, changed)}
    assert costs.pop("spec.size") is Mutability.LIVE
    assert set(costs.values()) == {Mutability.FIXED}
    pool: dict[str, Any] = {"path": "/a", "autostart": True, "hosts": ["a"]}
    other: dict[str, Any] = {
        "type": "Lvm",
        "volumeGroup": "a",
        "devices": ["/dev/a"],
        "autostart": False,
        "hosts": ["b"],
    }
    costs = {item.path.partition("[")[0]: item.mutability for item in field_changes("StoragePool", pool, other)}
    assert {path.removeprefix("spec."): cost for path, cost in costs.items()} == {
        "autostart": Mutability.LIVE,
        "hosts": Mutability.LIVE,
        "path": Mutability.FIXED,
        "type": Mutability.FIXED,
        "volumeGroup": Mutability.FIXED,
        "devices": Mutability.FIXED,
    }


ON_A_HOST, IN_A_CLUSTER = PAGE.split("## When something is wrong")[1].split("## In a cluster")


@pytest.mark.parametrize("reason", re.findall(r"`([A-Z]\w+)`", ON_A_HOST))
def test_every_reason_that_the_page_explains_is_one_that_the_node_gives(reason: str) -> None:
    sources = "".join(path.read_text() for path in Path("nodeplugin").rglob("*.py"))
    assert f'"{reason}"' in sources


@pytest.mark.parametrize("reason", re.findall(r"`([A-Z]\w+)`", IN_A_CLUSTER))
def test_every_reason_that_the_page_explains_is_one_that_the_operator_gives(reason: str) -> None:
    sources = "".join(path.read_text() for path in Path("xvirt/operator").rglob("*.py"))
    assert f'"{reason}"' in sources
