"""A real node for the lab tests. It ends with the test run, also when that is killed."""

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.lab.foreign import foreign_domains
from tools.guest import image_path
from tools.lab import Lab, LabSpec, Node
from tools.lab.lab import take_down
from tools.lab.spec import BASE_DIRECTORY

_PREFIX = "test-"
_TAIL_BYTES = 3000
_TAILS = 6
"""Logs whose ends a failure shows: those that were written to last."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure that comes once in fifty runs must tell by itself what guests, QEMU and the node plugin said."""
    report = yield
    if report.failed:
        report.sections.extend(_tails())
    return report


def _tails() -> list[tuple[str, str]]:
    """The ends of this run's logs."""
    found = [
        log
        for directory in BASE_DIRECTORY.glob(f"{_PREFIX}{os.getpid()}*")
        for pattern in ("*/log/*.log", "*/log/qemu/*.log", "*/var-lib-xvirt/logs/*.log")
        for log in directory.glob(pattern)
    ]
    latest = sorted(found, key=lambda log: log.stat().st_mtime, reverse=True)[:_TAILS]
    return [(str(log), log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace")) for log in latest]


def _clear_killed_runs() -> None:
    """A killed run's processes are gone by themselves; its directory is not."""
    for directory in BASE_DIRECTORY.glob(f"{_PREFIX}*"):
        owner = directory.name.split("-")[1]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            take_down(directory)


@pytest.fixture(scope="session")
def lab_prefix() -> str:
    """What names of labs start with in this run; unique, and swept when the run was killed."""
    _clear_killed_runs()
    return f"{_PREFIX}{os.getpid()}"


@pytest.fixture(scope="session")
def lab(lab_prefix: str) -> Iterator[Lab]:
    """One node with libvirtd and the node plugin."""
    with Lab.up(LabSpec(lab_prefix)) as up:
        yield up


@pytest.fixture(scope="session")
def node(lab: Lab) -> Node:
    """The lab's only node."""
    return lab.nodes["node-a"]


@pytest.fixture(scope="session")
def guest_image(lab: Lab) -> Path:
    """The test guest's image, at a path that nodes and this process share."""
    target = lab.shared / "guest.qcow2"
    shutil.copyfile(image_path(), target)
    return target


@pytest.fixture(scope="module")
def foreign(node: Node) -> Iterator[dict[str, str]]:
    """Ten domains that are not ours: their fingerprint as they were made."""
    with foreign_domains(node) as made:
        yield made
