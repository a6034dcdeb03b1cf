"""A domain that was there before, declared as it reads: nothing of it changes, and its later edits are live changes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from nodeplugin.hypervisor.port import Scope, VolumeRequest, XmlView
from tests.unit.nodeplugin.world import CALLER, World
from xvirt.domainxml.mark import mark_element, read_mark, remove_mark
from xvirt.domainxml.split import split_domain
from xvirt.domainxml.tree import canonical, parse_xml, to_text
from xvirt.model.concise import concise_document
from xvirt.model.exchange import AdoptCall, ObjectRef
from xvirt.model.meta import ObjectMeta, Resource

Map = dict[str, Any]
UUID = "2c1d6b0e-7d7d-4f0e-9a52-5b1f0c1b6a10"
OLD = ObjectRef(kind="VirtualMachine", namespace="default", name="old")
DOMAIN = f"""<domain type="qemu"><name>default_old</name><uuid>{UUID}</uuid><title>by hand</title>
<memory unit="KiB">65536</memory><currentMemory unit="KiB">65536</currentMemory><vcpu placement="static" current="1">2</vcpu>
<os><type arch="x86_64" machine="pc-i440fx-7.2">hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type="file" device="disk"><driver name="qemu" type="raw"/><source file="/srv/old.img"/><target dev="vda" bus="virtio"/>
<address type="pci" domain="0x0000" bus="0x00" slot="0x05" function="0x0"/></disk>
<disk type="network" device="disk"><driver name="qemu" type="raw"/><source protocol="nbd" name="x"><host name="nbd.example"/></source>
<target dev="vdb" bus="virtio"/></disk>
<controller type="pci" index="0" model="pci-root"/>
<interface type="bridge"><mac address="52:54:00:6e:a1:0b"/><source bridge="br0"/><model type="virtio"/></interface>
<interface type="user"><mac address="52:54:00:6e:a1:0c"/><model type="virtio"/></interface>
</devices></domain>"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    for name in ("old", "more"):
        path = f"/srv/{name}.img"
        world.volumes.create_volume(VolumeRequest(path=path, format="raw", capacity_bytes=16 << 20), print)
    world.hypervisor.define_domain(DOMAIN)
    world.hypervisor.start_domain(UUID)
    world.settle()
    return world


def reads_as(world: World) -> Map:
    split = split_domain(parse_xml(world.hypervisor.domain_xml(UUID, XmlView.INACTIVE)))
    return concise_document(Resource("VirtualMachine", ObjectMeta(name="old", uid=UUID), split.spec))


def dumps(world: World) -> list[bytes]:
    found = []
    for view in (XmlView.INACTIVE, XmlView.CURRENT):
        root = parse_xml(world.hypervisor.domain_xml(UUID, view))
        remove_mark(root)
        found.append(canonical(root))
    return found


def applied(world: World, document: Map, **spec: Any) -> None:
    world.apply({**document, "spec": {**document["spec"], **copy.deepcopy(spec)}})
    world.settle()


def adopted(world: World, document: Map, **spec: Any) -> None:
    declared = {**document, "spec": {**document["spec"], **spec}}
    world.service.adopt(CALLER, AdoptCall(domain_uuid=UUID, document=declared))
    world.settle()


def run_id(world: World) -> int | None:
    record = world.hypervisor.find_domain(UUID)
    assert record is not None
    return record.domain_id


def live_targets(world: World) -> list[str | None]:
    root = parse_xml(world.hypervisor.domain_xml(UUID, XmlView.CURRENT))
    return [item.get("dev") for item in root.iterfind("devices/disk/target")]


def test_row_10_declaring_what_a_domain_reads_as_changes_nothing_but_the_mark(world: World) -> None:
    before, run = dumps(world), run_id(world)
    adopted(world, reads_as(world))
    assert dumps(world) == before
    assert run_id(world) == run


def test_row_10_disks_that_come_and_go_later_do_so_in_the_running_machine(world: World) -> None:
    document, run = reads_as(world), run_id(world)
    adopted(world, document)
    more = {"name": "more", "source": {"path": "/srv/more.img"}, "format": "raw"}
    applied(world, document, disks=[*document["spec"]["disks"], more])
    assert live_targets(world) == ["vda", "vdb", "vdc"]
    applied(world, document, disks=[])
    assert live_targets(world) == ["vdb"]
    assert run_id(world) == run


def test_row_61_vcpus_set_by_hand_are_set_back(world: World) -> None:
    document = reads_as(world)
    adopted(world, document)
    world.hypervisor.set_vcpus(UUID, 2, Scope.LIVE)
    world.settle()
    assert parse_xml(world.hypervisor.domain_xml(UUID, XmlView.CURRENT)).find("vcpu").get("current") == "1"  # type: ignore[union-attr]


def test_row_61_vcpus_set_by_hand_are_only_told_where_drift_is_reported(world: World) -> None:
    document = reads_as(world)
    adopted(world, document, driftPolicy="Report")
    mark = read_mark(parse_xml(world.hypervisor.domain_xml(UUID, XmlView.INACTIVE)))
    assert mark is not None
    world.hypervisor.set_metadata(UUID, to_text(mark_element(mark)), Scope.LIVE)
    world.hypervisor.set_vcpus(UUID, 2, Scope.LIVE)
    world.settle()
    stored = world.store.find(UUID)
    assert stored is not None
    assert stored.status["drift"] == ["the running machine has 2 vCPUs, set by hand"]
