"""Lvm pools: logical volumes of a group, made whole, grown on- and offline, kept or deleted, and refused where they cannot be."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from nodeplugin.hypervisor.port import XmlView
from tests.unit.nodeplugin.world import CALLER, World
from xvirt.domainxml.facts import read_domain
from xvirt.domainxml.tree import parse_xml
from xvirt.model.errors import PolicyRefused, Refused
from xvirt.model.exchange import ApplyCall, ObjectRef, Verb

API = "xvirt.io/v1alpha1"
MIB = 1 << 20


def _document(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _pool(**spec: Any) -> dict[str, Any]:
    return _document("StoragePool", "guests", type="Lvm", volumeGroup="vg0", **spec)


def _disk(name: str = "data", **spec: Any) -> dict[str, Any]:
    return _document("VirtualDisk", name, **{"pool": "guests", "format": "raw", "size": "8Mi", **spec})


def _machine(*disks: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return _document("VirtualMachine", "web", memory={"size": "64Mi"}, disks=list(disks), **spec)


def _ref(kind: str, name: str) -> ObjectRef:
    return ObjectRef(kind=kind, namespace="" if kind == "StoragePool" else "default", name=name)


def _status(world: World, kind: str, name: str) -> dict[str, Any]:
    stored = world.store.find_named(kind, "" if kind == "StoragePool" else "default", name)
    assert stored is not None
    return dict(stored.status)


def _ready(world: World, kind: str, name: str) -> tuple[str, str]:
    conditions = _status(world, kind, name)["conditions"]
    return next((item["reason"], item["message"]) for item in conditions if item["type"] == "Ready")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.volumes.groups.add("vg0")
    made.apply(_pool())
    made.settle()
    return made


def test_row_47_a_pool_of_an_existing_group_is_active_with_its_sizes_and_starts_with_the_host(world: World) -> None:
    status = _status(world, "StoragePool", "guests")
    assert (status["printableStatus"], status["path"]) == ("Active", "/dev/vg0")
    assert status["capacity"] == "100Gi"
    record = next(item for item in world.hypervisor.list_pools() if item.name == "guests")
    assert (record.type, record.is_autostarted) == ("logical", True)
    assert "create_group" not in world.faults.names()


def test_a_group_that_is_missing_is_waited_for_or_made_of_blank_devices(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.apply(_pool())
    world.settle()
    reason, message = _ready(world, "StoragePool", "guests")
    assert reason == "VolumeGroupNotFound"
    assert "vgcreate vg0" in message
    world.delete(_ref("StoragePool", "guests"))
    world.settle()
    world.apply(_pool(devices=["/dev/sdb"]))
    world.settle()
    assert "vg0" not in world.volumes.groups
    assert "Aborted wiping" in _ready(world, "StoragePool", "guests")[1]
    world.volumes.blank_devices.add("/dev/sdb")
    world.settle()
    assert _status(world, "StoragePool", "guests")["printableStatus"] == "Active"


def test_only_a_privileged_caller_declares_an_lvm_pool(tmp_path: Path) -> None:
    world = World(tmp_path)
    caller = dataclasses.replace(CALLER, profiles=("restricted", "baseline"))
    with pytest.raises(PolicyRefused, match="pool/"):
        world.service.apply(caller, ApplyCall(document=_pool(devices=["/dev/sdb"])))
    assert world.store.list_objects() == []


def test_row_48_disks_are_logical_volumes_blank_and_copied_and_attached_as_devices(world: World) -> None:
    world.apply(_document("VirtualImage", "debian", source={"path": "/images/guest.qcow2"}))
    world.apply(_disk())
    world.apply(_disk("copy", size=None, source={"image": "debian", "copy": "Full"}))
    world.apply(
        _machine(
            {"name": "root", "pool": "guests", "format": "raw", "source": {"image": "debian"}},
            {"name": "data", "source": {"disk": "data"}},
        )
    )
    world.settle()
    assert {path: facts.capacity_bytes for path, facts in world.volumes.files.items() if path.startswith("/dev")} == {
        "/dev/vg0/xvirt+default+data": 8 * MIB,
        "/dev/vg0/xvirt+default+copy": 64 * MIB,
        "/dev/vg0/xvirt+default+web+root": 64 * MIB,
    }
    uid = world.hypervisor.list_domains()[0].uuid
    root = parse_xml(world.hypervisor.domain_xml(uid, XmlView.CURRENT))
    assert root.xpath("devices/disk[@type='block']/source/@dev") == [
        "/dev/vg0/xvirt+default+web+root",
        "/dev/vg0/xvirt+default+data",
    ]
    assert {disk.format for disk in read_domain(root).disks} == {"raw"}


def test_a_size_between_two_extents_is_rounded_up_once_and_left_alone(world: World) -> None:
    world.apply(_disk(size="9Mi"))
    world.settle()
    assert _status(world, "VirtualDisk", "data")["size"] == "12Mi"
    before = list(world.faults.mutations)
    world.settle()
    assert world.faults.mutations == before
    with pytest.raises(Refused, match="cannot shrink"):
        world.apply(_disk(size="8Mi"))


def test_row_42_a_logical_volume_grows_offline_and_under_a_running_guest_which_is_told(world: World) -> None:
    world.apply(_disk())
    world.settle()
    world.apply(_disk(size="16Mi"))
    world.settle()
    assert _status(world, "VirtualDisk", "data")["size"] == "16Mi"
    inline = {"name": "root", "pool": "guests", "format": "raw", "source": {"size": "8Mi"}}
    world.apply(_machine(inline, {"name": "data", "source": {"disk": "data"}}))
    world.settle()
    uid = world.hypervisor.list_domains()[0].uuid
    world.apply(_disk(size="32Mi"))
    world.apply(_machine({**inline, "source": {"size": "24Mi"}}, {"name": "data", "source": {"disk": "data"}}))
    world.settle()
    assert world.hypervisor.block_size(uid, "vda").capacity_bytes == 24 * MIB
    assert world.hypervisor.block_size(uid, "vdb").capacity_bytes == 32 * MIB
    assert _status(world, "VirtualDisk", "data")["size"] == "32Mi"


def test_a_guest_is_told_of_growth_although_the_plugin_died_between_growing_and_telling(world: World) -> None:
    world.apply(_disk())
    world.apply(_machine({"name": "data", "source": {"disk": "data"}}))
    world.settle()
    uid = world.hypervisor.list_domains()[0].uuid
    world.apply(_disk(size="16Mi"))
    world.faults.crash_after(1)
    world.settle()
    assert world.deaths == 1
    assert world.hypervisor.block_size(uid, "vda").capacity_bytes == 16 * MIB


@pytest.mark.parametrize(
    ("document", "reason", "remedy"),
    [
        (_disk(format="qcow2"), "FormatNotRaw", "format: raw"),
        (_disk("x" * 63, pool="guests"), "", ""),
        (
            _document("VirtualImage", "debian", source={"path": "/images/guest.qcow2"}, pool="guests"),
            "PoolHoldsNoImages",
            "directory pool",
        ),
    ],
)
def test_what_a_volume_group_cannot_hold_is_refused_with_what_to_do(
    world: World, document: dict[str, Any], reason: str, remedy: str
) -> None:
    world.apply(document)
    world.settle()
    found, message = _ready(world, document["kind"], document["metadata"]["name"])
    if reason:
        assert found == reason
        assert remedy in message
        assert not any(path.startswith("/dev") for path in world.volumes.files)
    else:
        assert found == "Ready"


def test_a_name_that_device_mapper_cannot_hold_is_refused(world: World) -> None:
    name = "a" + "-" * 61 + "b"
    disk = {"name": name, "pool": "guests", "format": "raw", "source": {"size": "8Mi"}}
    world.apply(_machine(disk))
    world.settle()
    reason, message = _ready(world, "VirtualMachine", "web")
    assert reason == "NameTooLong"
    assert "shorten" in message


def test_volumes_are_deleted_or_retained_by_policy_and_retained_ones_are_orphans(world: World) -> None:
    world.apply(_disk("kept"))
    world.apply(_disk("scratch", deletionPolicy="Delete"))
    world.settle()
    for name in ("kept", "scratch"):
        world.delete(_ref("VirtualDisk", name))
    world.settle()
    assert [path for path in world.volumes.files if path.startswith("/dev")] == ["/dev/vg0/xvirt+default+kept"]
    (orphan,) = world.service.list_orphans(CALLER, "")
    assert (orphan.name, orphan.pool, orphan.size_bytes) == ("xvirt+default+kept", "guests", 8 * MIB)
    assert orphan.take_back == "declare VirtualDisk default/kept with pool guests and format raw"
    assert orphan.removal == "lvremove vg0/xvirt+default+kept"


def test_a_machines_volumes_go_with_it_where_its_policy_says_so(world: World) -> None:
    disk = {"name": "root", "pool": "guests", "format": "raw", "source": {"size": "8Mi"}, "deletionPolicy": "Delete"}
    world.apply(_machine(disk))
    world.settle()
    world.operate(_ref("VirtualMachine", "web"), Verb.STOP)
    world.delete(_ref("VirtualMachine", "web"))
    world.settle()
    assert world.volumes.files == {}


def test_row_47_a_pool_stays_while_a_machines_own_disk_lies_in_it(world: World) -> None:
    world.apply(_machine({"name": "data", "source": {"size": "8Mi"}, "pool": "guests", "format": "raw"}))
    world.settle()
    world.delete(_ref("StoragePool", "guests"))
    world.settle()
    reason, message = _ready(world, "StoragePool", "guests")
    assert reason == "Terminating"
    assert message == "pool is used by VirtualMachine default/web; it is removed once they are gone"
    world.delete(_ref("VirtualMachine", "web"))
    world.settle()
    assert world.store.find_named("StoragePool", "", "guests") is None
