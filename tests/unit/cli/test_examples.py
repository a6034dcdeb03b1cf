"""Each example: valid for the model, and Ready on a node whose host is in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.volumes import FakeImage
from tests.unit.cli.live_node import LiveNode
from xvirt.cli.manifests import Sources, read_manifests

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
FOLDERS = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir() and not (path / "Pulumi.yaml").exists())
"""Those for the command line; programs are run by tests/unit/provider/test_stacks.py and tests/pulumi."""
IMAGE = "/var/lib/xvirt/images/guest.qcow2"
ISO = "/var/lib/xvirt/images/installer.iso"


def manifests(folder: str) -> list[str]:
    """Files in the order in which the README names them."""
    return sorted((path.name for path in (EXAMPLES / folder).glob("*.yaml")), key=lambda name: name == "clone.yaml")


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_example_has_valid_manifests_and_says_what_to_expect(folder: str) -> None:
    assert read_manifests(Sources((str(EXAMPLES / folder),)), "default")
    text = (EXAMPLES / folder / "README.md").read_text()
    assert text.startswith("# ")
    assert f"xvirt apply -f examples/{folder}/" in text
    assert "\nExpect " in text
    for name in manifests(folder):
        assert name in text


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_example_becomes_ready_and_is_unchanged_when_applied_again(node: LiveNode, folder: str) -> None:
    node.volumes.images[IMAGE] = FakeImage("qcow2", 64 << 20)
    node.volumes.images[ISO] = FakeImage("raw", 4 << 20)
    for name in manifests(folder):
        path = str(EXAMPLES / folder / name)
        if name == "clone.yaml":
            assert node.xvirt("delete", "vm", "database").code == 0
        applied = node.xvirt("apply", "--wait", "--timeout=60s", "-f", path)
        assert applied.code == 0, applied
        assert {row[1] for row in node.xvirt("apply", "-f", path).rows()} == {"unchanged"}
        again = node.xvirt("diff", "-f", path)
        assert (again.code, again.out) == (0, "")


def test_the_copy_of_the_second_example_waits_while_a_machine_has_the_disk(node: LiveNode) -> None:
    node.volumes.images[IMAGE] = FakeImage("qcow2", 64 << 20)
    node.volumes.images[ISO] = FakeImage("raw", 4 << 20)
    folder = EXAMPLES / "02-data-disk-and-clone"
    assert node.xvirt("apply", "--wait", "-f", str(folder / "machine.yaml")).code == 0
    late = node.xvirt("apply", "--wait", "--timeout=1s", "-f", str(folder / "clone.yaml"))
    assert late.code == 8
    assert "VirtualDisk default/records-copy" in late.err


def test_the_machines_of_the_sixth_example_run_as_its_readme_says(node: LiveNode) -> None:
    node.xvirt("apply", "--wait", "-f", str(EXAMPLES / "06-run-strategies"))
    states = {row[0]: row[1] for row in node.xvirt("get", "vm", "--no-headers").rows()}
    assert {name for name, state in states.items() if state == "Running"} == {"always", "rerun-on-failure", "once"}
