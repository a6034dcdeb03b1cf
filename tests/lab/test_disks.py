"""Disks, drives and cards of a running guest: limits, threads, media, plugged in and pulled out, with the faults between ask and answer.
The tests of this module build on each other's guest, in order: booting it anew for each would cost five seconds a time."""

from __future__ import annotations

import copy
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from tests.lab.declared import (
    DEADLINE_S,
    Declared,
    Document,
    condition,
    has_agent,
    image,
    is_ready,
    machine,
    network,
    reason,
    vm,
)
from tests.lab.media import disc_image, write_disc
from tools.lab import LabError, Node
from tools.lab.processes import wait_until
from xvirt.model.exchange import ObjectRef, OperationState, Verb

STORE = vm("store")
DOMAIN = "default_store"
DATA = {"name": "data", "source": {"size": "64Mi"}, "deletionPolicy": "Delete"}
BOOT = "cat /proc/sys/kernel/random/boot_id"
SEE_DISC = """mkdir -p /run/disc && mount -t iso9660 -o ro /dev/sr0 /run/disc 2>&1 && cat /run/disc/*"""


class Store:
    """The machine as it is declared now."""

    def __init__(self, declared: Declared, document: Document) -> None:
        self.declared = declared
        self.document = document
        self.boot = ""

    @property
    def node(self) -> Node:
        return self.declared.node

    @property
    def spec(self) -> Document:
        spec: Document = self.document["spec"]
        return spec

    def disk(self, name: str) -> Document:
        return next(disk for disk in self.spec["disks"] if disk["name"] == name)

    def apply(self) -> None:
        self.declared.apply(self.document)

    def settled(self) -> Document:
        self.apply()
        return self.declared.wait(STORE, is_ready, "as declared")

    def tune(self, target: str) -> dict[str, str]:
        """`virsh blkdeviotune`: what QEMU says. It names a group of its own where none was given."""
        rows = (line.partition(":") for line in self.node.virsh("blkdeviotune", DOMAIN, target).splitlines())
        found = {name.strip(): value.strip() for name, _, value in rows if value.strip() not in ("", "0")}
        if found.get("group_name", "").startswith("/"):
            del found["group_name"]
        return found

    def live(self) -> etree._Element:
        return etree.fromstring(self.node.virsh("dumpxml", DOMAIN).encode())

    def guest(self, script: str) -> str:
        return self.node.guest_exec(DOMAIN, ["sh", "-c", f"{script}\ntrue"]).strip()

    def events(self) -> dict[str, int]:
        """Messages, and how often each was told."""
        return {event.message: event.count for event in self.declared.client.describe(STORE).events}

    def wait_guest(self, script: str, wanted: str) -> None:
        """Until a command of the guest prints this. An agent that has just been given its guest back may need a moment."""

        def prints_it(_: Document) -> bool:
            try:
                return self.guest(script) == wanted
            except LabError:
                return False

        self.declared.wait(STORE, prints_it, f"{wanted!r} of {script!r}")

    def wait_answer(self, target: str) -> None:
        """Until QEMU has taken a disk out, whoever looks."""
        wait_until(lambda: target not in _targets(self), DEADLINE_S, f"{target} to leave")

    def signal_qemu(self, number: signal.Signals) -> None:
        pid = (self.node.paths.run_libvirt / "qemu" / f"{DOMAIN}.pid").read_text().strip()
        self.node.run(["kill", f"-{number.value}", pid])


@pytest.fixture(scope="module")
def store(node: Node, guest_image: Path) -> Iterator[Store]:
    declared = Declared(node)
    declared.apply(network("store", third=157))
    declared.apply(image(guest_image))
    for name in ("setup", "drivers"):
        declared.apply(disc_image(write_disc(guest_image.parent / f"{name}.iso", f"this is {name}")))
    document = machine("store", nics=[])
    document["spec"]["disks"][0]["deletionPolicy"] = "Delete"
    document["spec"]["disks"].append({"name": "cd", "device": "Cdrom", "bus": "scsi"})
    made = Store(declared, document)
    made.apply()
    declared.wait(STORE, has_agent, "with its agent")
    yield made
    for kind, name in (
        ("VirtualMachine", "store"),
        ("VirtualNetwork", "store"),
        ("VirtualImage", "setup"),
        ("VirtualImage", "drivers"),
    ):
        ref = ObjectRef(kind=kind, namespace="default", name=name)
        declared.client.delete(ref, force=True)
        declared.wait_gone(ref)


# limits and threads


LIMITS: list[tuple[dict[str, Any] | None, dict[str, str]]] = [
    ({"totalBytes": {"perSecond": "10M"}}, {"total_bytes_sec": "10000000"}),
    (
        {
            "readBytes": {"perSecond": "1Mi", "burst": "2Mi", "burstSeconds": 5},
            "writeIops": {"perSecond": 100},
            "iopsSize": "4Ki",
            "group": "slow",
        },
        {
            "read_bytes_sec": "1048576",
            "read_bytes_sec_max": "2097152",
            "read_bytes_sec_max_length": "5",
            "write_iops_sec": "100",
            "size_iops_sec": "4096",
            "group_name": "slow",
        },
    ),
    ({"totalIops": {"perSecond": 500}}, {"total_iops_sec": "500"}),
    (None, {}),
]


def test_row_36_blkdeviotune_equals_the_spec_after_each_live_edit(store: Store) -> None:
    before = store.node.virsh("domid", DOMAIN)
    for limits, wanted in LIMITS:
        store.disk("root").pop("ioLimits", None)
        if limits is not None:
            store.disk("root")["ioLimits"] = limits
        document = store.settled()
        assert store.tune("vda") == wanted
        assert document["status"]["restartRequired"] == []
        assert document["status"]["drift"] == []
    assert store.node.virsh("domid", DOMAIN) == before


def test_row_36_61_limits_set_by_hand_are_set_back(store: Store) -> None:
    store.disk("root")["ioLimits"] = {"totalIops": {"perSecond": 600}}
    store.settled()
    store.node.virsh("blkdeviotune", DOMAIN, "vda", "--total-iops-sec", "77", "--live")
    store.declared.wait(STORE, lambda seen: is_ready(seen) and store.tune("vda") == {"total_iops_sec": "600"}, "back")
    assert store.events()["limit disk root to total_iops_sec 600 live"] == 2


def test_row_35_36_a_disk_arrives_with_a_thread_of_its_own_and_both_leave(store: Store) -> None:
    store.spec["ioThreads"] = 1
    store.spec["disks"].append({**DATA, "ioThread": 1, "cache": "none", "io": "native", "serial": "DATA-1"})
    document = store.settled()
    status = next(disk for disk in document["status"]["disks"] if disk["name"] == "data")
    driver = store.live().find("devices/disk/alias[@name='ua-disk-data']/../driver")
    assert driver is not None
    assert (driver.get("iothread"), driver.get("io"), driver.get("cache")) == ("1", "native", "none")
    store.wait_guest(f"cat /sys/block/{status['target']}/serial", "DATA-1")
    store.spec["disks"].pop()
    store.spec["ioThreads"] = 0
    store.settled()
    assert store.live().find("iothreads") is None
    store.wait_guest(f"test -e /sys/block/{status['target']} || echo gone", "gone")


# media


def _drive(document: Document) -> Document:
    drive: Document = next(disk for disk in document["status"]["disks"] if disk["name"] == "cd")
    return drive


def test_row_40_an_empty_drive_is_closed_and_shows_each_medium_that_is_declared(store: Store) -> None:
    drive = _drive(store.settled())
    assert (drive["device"], drive["path"], drive["tray"]) == ("Cdrom", "", "Closed")
    for name in ("setup", "drivers"):
        store.disk("cd")["source"] = {"image": name}
        drive = _drive(store.settled())
        assert drive["path"].endswith(f"/default_{name}.image.raw")
        assert store.guest(f". /etc/guest.sh; load isofs; {SEE_DISC}; umount /run/disc") == f"this is {name}"


def test_row_40_a_tray_that_the_guest_opens_is_seen_and_closes_with_the_next_medium(store: Store) -> None:
    eject = "echo 1 >/proc/sys/dev/cdrom/autoeject; cat /dev/sr0 >/dev/null; echo 0 >/proc/sys/dev/cdrom/autoeject"
    store.guest(eject)
    document = store.declared.wait(STORE, lambda seen: _drive(seen)["tray"] == "Open", "with an open tray")
    assert is_ready(document)
    assert _drive(document)["path"].endswith("/default_drivers.image.raw")
    store.disk("cd")["source"] = {"image": "setup"}
    assert _drive(store.settled())["tray"] == "Closed"
    assert store.guest(f"{SEE_DISC}") == "this is setup"


def test_row_40_a_locked_tray_is_waited_for_until_it_is_opened_or_forced(store: Store) -> None:
    """The guest has mounted the disc, which locks the tray."""
    store.disk("cd").pop("source")
    store.apply()
    document = store.declared.wait(STORE, lambda seen: reason(seen) == "TrayLocked", "waiting for the tray")
    ready = next(item for item in document["status"]["conditions"] if item["type"] == "Ready")
    assert "forceEject: true" in ready["message"]
    assert condition(document, "Stalled") == "False"
    assert _drive(document)["path"].endswith("/default_setup.image.raw")
    assert store.guest("cat /run/disc/*") == "this is setup"
    store.guest("umount /run/disc")
    document = store.declared.wait(STORE, is_ready, "ejected")
    assert _drive(document)["path"] == ""
    store.disk("cd")["source"] = {"image": "drivers"}
    store.settled()
    assert store.guest(SEE_DISC) == "this is drivers"
    store.disk("cd").update(source={"image": "setup"}, forceEject=True)
    drive = _drive(store.settled())
    assert drive["path"].endswith("/default_setup.image.raw")
    store.guest("umount /run/disc")
    assert store.guest(f"{SEE_DISC}; umount /run/disc") == "this is setup"


# plugged in and pulled out


def _targets(store: Store) -> set[str]:
    return {str(item.get("dev")) for item in store.live().iterfind("devices/disk/target")}


def _add_data(store: Store) -> str:
    store.boot = store.guest(BOOT)
    before = _targets(store)
    store.spec["disks"].append(copy.deepcopy(DATA))
    store.settled()
    (target,) = _targets(store) - before
    store.wait_guest(f"cat /sys/block/{target}/size", str((64 << 20) // 512))
    return target


def _remove_data_while(store: Store) -> Document:
    """Ask for the disk's end while the guest cannot answer."""
    store.spec["disks"].pop()
    store.apply()
    document = store.declared.wait(STORE, lambda seen: reason(seen) == "Detaching", "waiting for the guest")
    ready = next(item for item in document["status"]["conditions"] if item["type"] == "Ready")
    assert "the guest has not released disk data yet" in ready["message"]
    assert "data" in [disk["name"] for disk in document["status"]["disks"]]
    return document


def _assert_gone(store: Store, target: str) -> None:
    store.declared.wait(
        STORE,
        lambda seen: is_ready(seen) and "data" not in [disk["name"] for disk in seen["status"]["disks"]],
        "without the disk",
    )
    assert target not in _targets(store)
    store.wait_guest(f"test -e /sys/block/{target} || echo gone", "gone")
    assert store.guest(BOOT) == store.boot, "the guest did not live through it"
    assert "default_store_data" not in store.node.run(["ls", "/var/lib/xvirt/pool"]).stdout


def test_row_35_removal_waits_for_a_guest_that_does_not_answer(store: Store) -> None:
    target = _add_data(store)
    assert store.declared.operate(STORE, Verb.PAUSE).state is OperationState.SUCCEEDED
    _remove_data_while(store)
    assert store.declared.operate(STORE, Verb.RESUME).state is OperationState.SUCCEEDED
    _assert_gone(store, target)


def test_row_35_75_the_plugin_dies_between_the_ask_and_the_guests_answer(store: Store) -> None:
    target = _add_data(store)
    assert store.declared.operate(STORE, Verb.PAUSE).state is OperationState.SUCCEEDED
    _remove_data_while(store)
    store.node.kill_plugin(signal.SIGKILL)
    store.node.wait_plugin_exit()
    store.node.virsh("resume", DOMAIN)
    store.wait_answer(target)
    store.node.start_plugin()
    assert store.declared.operate(STORE, Verb.RESUME).state is OperationState.SUCCEEDED
    _assert_gone(store, target)


def test_row_35_75_a_qemu_that_freezes_while_a_disk_leaves_costs_only_time(store: Store) -> None:
    target = _add_data(store)
    store.signal_qemu(signal.SIGSTOP)
    store.spec["disks"].pop()
    store.apply()
    document = store.declared.wait(STORE, lambda seen: not is_ready(seen), "not as declared")
    assert condition(document, "Stalled") != "True"
    store.signal_qemu(signal.SIGCONT)
    _assert_gone(store, target)


def test_row_34_a_card_appears_outlives_a_restart_and_vanishes(store: Store) -> None:
    store.spec["nics"].append({"name": "late", "network": "store"})
    mac = store.settled()["status"]["interfaces"][0]["mac"]
    store.wait_guest("cat /sys/class/net/eth0/address", mac)
    address = store.live().find("devices/interface/address")
    assert store.declared.operate(STORE, Verb.RESTART).state is OperationState.SUCCEEDED
    document = store.declared.wait(STORE, has_agent, "restarted")
    assert document["status"]["interfaces"][0]["mac"] == mac
    store.wait_guest("cat /sys/class/net/eth0/address", mac)
    again = store.live().find("devices/interface/address")
    assert address is not None
    assert again is not None
    assert again.items() == address.items(), "the guest finds it where it was"
    store.spec["nics"].pop()
    assert store.settled()["status"]["interfaces"] == []
    store.wait_guest("test -e /sys/class/net/eth0 || echo gone", "gone")


def test_row_34_61_a_card_that_is_not_ours_leaves_by_its_mac(store: Store) -> None:
    mac = "52:54:00:00:00:78"
    store.node.virsh(
        "attach-interface", DOMAIN, "network", "default_store", "--model", "virtio", "--mac", mac, "--live"
    )
    store.declared.wait(
        STORE, lambda seen: is_ready(seen) and mac not in store.node.virsh("dumpxml", DOMAIN), "taken out"
    )
    assert f"detach NIC {mac} live" in store.events()
