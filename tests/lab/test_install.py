"""A machine with a blank disk and a disc to boot from: installed, its disc ejected, started from its disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.declared import Declared, Document, has_agent, is_ready, machine, vm
from tests.lab.media import disc_image, write_installer
from tools.lab import Node
from xvirt.model.exchange import ObjectRef, OperationState, Verb

FRESH = vm("fresh")
DOMAIN = "default_fresh"
ANSWERS = """#!/bin/sh
# What an installer is told: it runs from the disc, whose guest has no partition for data.
exec >/dev/console 2>&1
grep -q ' /data ' /proc/mounts && exit
. /etc/guest.sh
echo "installer: begins"
load isofs
mkdir -p /run/disc && mount -t iso9660 -o ro /dev/sr0 /run/disc
dd if=/run/disc/disk.img of=/dev/vda bs=1M && sync && umount /run/disc && echo "installer: the system is on /dev/vda"
"""
ROOT = {"name": "root", "source": {"size": "128Mi"}, "bootOrder": 1, "deletionPolicy": "Delete"}
DRIVE = {"name": "cd", "device": "Cdrom", "bus": "scsi", "bootOrder": 2}


def _machine(drive: Document) -> Document:
    return machine("fresh", nics=[], disks=[ROOT, drive], cloudInit={"userData": {"inline": ANSWERS}})


@pytest.fixture
def declared(node: Node, guest_image: Path) -> Iterator[Declared]:
    client = Declared(node)
    client.apply(disc_image(write_installer(guest_image.parent / "installer.iso", guest_image)))
    yield client
    for kind, name in (("VirtualMachine", "fresh"), ("VirtualImage", "installer")):
        ref = ObjectRef(kind=kind, namespace="default", name=name)
        client.client.delete(ref, force=True)
        client.wait_gone(ref)


def _console(declared: Declared) -> bytes:
    return b"".join(declared.client.console_log(FRESH))


def test_row_22_a_blank_machine_is_installed_from_a_disc_and_boots_from_its_disk(declared: Declared) -> None:
    declared.apply(_machine({**DRIVE, "source": {"image": "installer"}}))
    declared.wait(FRESH, lambda _: b"installer: the system is on /dev/vda" in _console(declared), "installed")
    assert b"installer: begins" in _console(declared)
    assert "vda2" not in declared.node.guest_exec(DOMAIN, ["cat", "/proc/mounts"])
    declared.apply(_machine(DRIVE))
    document = declared.wait(FRESH, is_ready, "without a disc")
    drive = next(disk for disk in document["status"]["disks"] if disk["name"] == "cd")
    assert (drive["device"], drive["path"], drive["tray"]) == ("Cdrom", "", "Closed")
    assert declared.operate(FRESH, Verb.RESTART).state is OperationState.SUCCEEDED
    declared.wait(FRESH, has_agent, "started from its disk")
    declared.wait(
        FRESH,
        lambda _: "/dev/vda2 /data ext4" in declared.node.guest_exec(DOMAIN, ["cat", "/proc/mounts"]),
        "on its disk",
    )
    assert _console(declared).count(b"installer: begins") == 1
