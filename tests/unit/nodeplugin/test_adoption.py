"""Domains that were there before xVirt: listed, taken over as they are, changed by what is declared later, and given back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from nodeplugin.hypervisor.port import VolumeRequest, XmlView
from tests.fakes.faults import Moment
from tests.unit.nodeplugin.world import CALLER, World
from xvirt.domainxml.mark import read_mark, remove_mark
from xvirt.domainxml.tree import canonical, parse_xml
from xvirt.model.errors import Conflict, Forbidden, InvalidSpec, NotFound, PolicyRefused, Refused
from xvirt.model.exchange import AdoptCall, ApplyCall, Caller, DryRun, ObjectRef, Token

UUID = "9a3d1f9e-0c5b-4b59-9f5e-3e1f0b7c6a55"
TENANT = Caller(name="tenant", authorities=("local",), namespaces=("red",), profiles=("restricted",))
XML = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>
<metadata><libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>
<libosinfo:os id='http://debian.org/debian/12'/></libosinfo:libosinfo></metadata>
<memory unit='KiB'>65536</memory><currentMemory unit='KiB'>65536</currentMemory><vcpu placement='static'>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><features><acpi/><apic/></features>
<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/srv/old/{name}.qcow2'/>
<target dev='vda' bus='virtio'/></disk>
<interface type='bridge'><mac address='52:54:00:00:00:{uuid:.2}'/><source bridge='br0'/><model type='virtio'/></interface>
<serial type='pty'><target port='0'/></serial>
<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1' passwd='hunter2'/>
<watchdog model='i6300esb' action='reset'/></devices></domain>"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def define(world: World, name: str = "old server", uuid: str = UUID, *, runs: bool = True) -> None:
    """Somebody else's domain."""
    path = f"/srv/old/{name}.qcow2"
    world.volumes.create_volume(VolumeRequest(path=path, format="qcow2", capacity_bytes=8 << 20), lambda percent: None)
    world.hypervisor.define_domain(XML.format(name=name, uuid=uuid))
    if runs:
        world.hypervisor.start_domain(uuid)


def bare(world: World, view: XmlView, uuid: str = UUID) -> bytes:
    """A definition without the mark."""
    root = parse_xml(world.hypervisor.domain_xml(uuid, view))
    remove_mark(root)
    return canonical(root)


def adopt(world: World, uuid: str = UUID, **call: Any) -> Any:
    """Adopt as root, and let the node work."""
    result = world.service.adopt(CALLER, AdoptCall(domain_uuid=uuid, **call))
    world.settle()
    return result


def ref(name: str = "old-server") -> ObjectRef:
    return ObjectRef(kind="VirtualMachine", namespace="default", name=name)


def test_row_10_foreign_domains_are_listed_with_the_name_they_would_get(world: World) -> None:
    define(world)
    define(world, "###", "11111111-2222-4333-8444-555555555555", runs=False)
    found = {item.name: item for item in world.service.list_foreign(CALLER)}
    assert found["old server"].object_name == "old-server"
    assert found["old server"].power_state == "running"
    assert found["###"].object_name == "vm-11111111"
    adopt(world)
    assert [item.name for item in world.service.list_foreign(CALLER)] == ["###"]


def test_row_10_adopting_writes_the_mark_and_nothing_else(world: World) -> None:
    define(world)
    record = world.hypervisor.find_domain(UUID)
    before = bare(world, XmlView.INACTIVE), bare(world, XmlView.CURRENT)
    world.faults.mutations.clear()
    result = adopt(world)
    assert [step.name for step in result.plan] == ["mark-domain"]
    assert (bare(world, XmlView.INACTIVE), bare(world, XmlView.CURRENT)) == before
    assert world.hypervisor.find_domain(UUID) == record
    for view in (XmlView.INACTIVE, XmlView.CURRENT):
        mark = read_mark(parse_xml(world.hypervisor.domain_xml(UUID, view)))
        assert mark is not None
        assert (mark.uid, mark.namespace, mark.name) == (UUID, "default", "old-server")
    view_of = world.service.get(CALLER, ref())
    status = view_of.document["status"]
    assert (status["uuid"], status["domainName"], status["powerState"]) == (UUID, "old server", "Running")
    assert status["restartRequired"] == []
    assert {item["type"]: item["status"] for item in status["conditions"]}["Ready"] == "True"


def test_row_10_a_settled_adopted_machine_is_left_alone(world: World) -> None:
    define(world)
    adopt(world)
    world.faults.mutations.clear()
    world.settle()
    world.boot()
    world.settle()
    assert world.faults.mutations == []


def test_row_10_a_dry_run_tells_the_document_and_changes_nothing(world: World) -> None:
    define(world)
    world.faults.mutations.clear()
    result = adopt(world, dry_run=DryRun.PLAN)
    spec = result.object.document["spec"]
    assert spec["disks"][0]["source"]["path"] == "/srv/old/old server.qcow2"
    assert spec["deletionPolicy"] == "Detach"
    assert world.faults.mutations == []
    assert world.store.list_objects() == []


def test_row_10_adopting_twice_is_harmless(world: World) -> None:
    define(world)
    first = adopt(world)
    world.faults.mutations.clear()
    assert adopt(world).object.ref.uid == first.object.ref.uid
    assert world.faults.mutations == []


def test_row_10_a_later_edit_does_what_it_says_and_loses_nothing(world: World) -> None:
    define(world)
    document = dict(adopt(world).object.document)
    document["spec"] = {**document["spec"], "cpu": {**document["spec"]["cpu"], "max": 4}}
    world.service.apply(CALLER, ApplyCall(document=document))
    world.settle()
    root = parse_xml(world.hypervisor.domain_xml(UUID, XmlView.INACTIVE))
    assert (root.findtext("vcpu"), root.findtext("name")) == ("4", "old server")
    assert root.find("metadata/{http://libosinfo.org/xmlns/libvirt/domain/1.0}libosinfo") is not None
    config = world.hypervisor.domain(UUID).config
    assert config is not None
    assert "hunter2" in etree.tostring(config, encoding="unicode")
    assert "hunter2" not in str(world.store.list_objects())


def test_row_10_deleting_the_object_leaves_the_domain_as_it_was(world: World) -> None:
    define(world)
    before = bare(world, XmlView.INACTIVE), bare(world, XmlView.CURRENT)
    record = world.hypervisor.find_domain(UUID)
    adopt(world)
    world.service.delete(CALLER, ref(), Token(), force=False)
    world.settle()
    assert world.store.list_objects() == []
    assert (bare(world, XmlView.INACTIVE), bare(world, XmlView.CURRENT)) == before
    assert read_mark(parse_xml(world.hypervisor.domain_xml(UUID, XmlView.INACTIVE))) is None
    assert world.hypervisor.find_domain(UUID) == record
    assert [item.uuid for item in world.service.list_foreign(CALLER)] == [UUID]


def test_row_18_a_lost_store_finds_an_adopted_machine_by_its_own_name(world: World) -> None:
    define(world)
    adopt(world)
    world.store.close()
    for path in world.directory.glob("store.db*"):
        path.unlink()
    world.boot()
    world.faults.mutations.clear()
    world.settle()
    assert world.service.get(CALLER, ref()).document["status"]["domainName"] == "old server"
    assert world.faults.mutations == []


def test_names_that_are_taken_get_a_part_of_the_uuid(world: World) -> None:
    define(world)
    define(world, "Old_Server", "11111111-2222-4333-8444-555555555555")
    adopt(world)
    result = adopt(world, "11111111-2222-4333-8444-555555555555")
    assert result.object.ref.name == "old-server-11111111"


def test_a_domain_with_an_owner_is_refused_by_its_owners_name(world: World) -> None:
    define(world)
    adopt(world)
    stack = dataclasses.replace(CALLER, authorities=("acme/shop/dev",))
    with pytest.raises(Conflict, match="is VirtualMachine default/old-server of authority local"):
        world.service.adopt(stack, AdoptCall(domain_uuid=UUID, token=Token(authority="acme/shop/dev")))


@pytest.mark.parametrize("uuid", ["", "x", "../../etc", "00000000-0000-4000-8000-000000000000"])
def test_a_domain_that_is_not_there_is_told(world: World, uuid: str) -> None:
    with pytest.raises(NotFound, match="xvirt get foreign"):
        world.service.adopt(CALLER, AdoptCall(domain_uuid=uuid))


def test_a_tenant_neither_sees_nor_takes_what_is_the_hosts(world: World) -> None:
    define(world)
    with pytest.raises(Forbidden):
        world.service.list_foreign(TENANT)
    with pytest.raises(Forbidden):
        world.service.adopt(TENANT, AdoptCall(domain_uuid=UUID, namespace="red"))
    strict = dataclasses.replace(CALLER, profiles=("restricted",))
    with pytest.raises(PolicyRefused):
        world.service.adopt(strict, AdoptCall(domain_uuid=UUID))
    assert read_mark(parse_xml(world.hypervisor.domain_xml(UUID, XmlView.INACTIVE))) is None


def test_an_adopted_machine_may_name_its_namespaces_networks_and_not_those_its_old_name_points_to(world: World) -> None:
    define(world, "red_web")
    spec = dict(adopt(world).object.document["spec"])
    for network, is_own in (("red_lan", False), ("default_lan", True)):
        tree = {"interface": [{"@type": "network", "source": {"@network": network}, "model": {"@type": "virtio"}}]}
        document = {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualMachine", "metadata": {"name": "red-web"}}
        document["spec"] = {**spec, "domain": {"devices": tree}}
        with pytest.raises(PolicyRefused) as refused:
            world.service.apply(CALLER, ApplyCall(document=document, profile="restricted"))
        assert (network in str(refused.value)) is not is_own


def test_a_document_that_would_change_the_domain_is_refused_and_says_what(world: World) -> None:
    define(world)
    document = dict(adopt(world, dry_run=DryRun.PLAN).object.document)
    document["spec"] = {**document["spec"], "memory": {"size": "128Mi"}}
    with pytest.raises(Refused, match=r"would not stay as it is: /domain/memory/text\(\) is declared"):
        world.service.adopt(CALLER, AdoptCall(domain_uuid=UUID, document=document))
    disk: dict[str, Any] = {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualDisk", "metadata": {"name": "d"}}
    disk["spec"] = {"size": "1Gi"}
    with pytest.raises(InvalidSpec, match="a domain is no VirtualDisk"):
        world.service.adopt(CALLER, AdoptCall(domain_uuid=UUID, document=disk))
    assert world.store.list_objects() == []


def test_a_paused_domain_stays_paused(world: World) -> None:
    define(world)
    world.hypervisor.suspend_domain(UUID)
    adopt(world)
    assert world.service.get(CALLER, ref()).document["status"]["powerState"] == "Paused"


@pytest.mark.parametrize("moment", list(Moment))
def test_row_74_a_death_at_the_effect_of_adopting_leads_to_the_same_end(tmp_path: Path, moment: Moment) -> None:
    world = World(tmp_path)
    define(world)
    before = bare(world, XmlView.INACTIVE), bare(world, XmlView.CURRENT)
    world.service.adopt(CALLER, AdoptCall(domain_uuid=UUID))
    world.faults.crash_after(1, moment)
    world.settle()
    assert world.deaths == 1
    assert (bare(world, XmlView.INACTIVE), bare(world, XmlView.CURRENT)) == before
    for view in (XmlView.INACTIVE, XmlView.CURRENT):
        assert read_mark(parse_xml(world.hypervisor.domain_xml(UUID, view))) is not None


def test_row_69_a_uid_that_is_a_foreign_domains_uuid_is_refused(world: World) -> None:
    define(world)
    machine: dict[str, Any] = {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualMachine"}
    machine |= {
        "metadata": {"name": "thief", "uid": UUID},
        "spec": {"memory": {"size": "64Mi"}, "runStrategy": "Halted"},
    }
    world.faults.mutations.clear()
    with pytest.raises(Conflict, match="old server, which is not ours; adopt it"):
        world.service.apply(CALLER, ApplyCall(document=machine))
    assert world.faults.mutations == []


def test_row_69_a_uid_that_is_another_owners_domains_uuid_is_refused(world: World) -> None:
    define(world)
    adopt(world)
    world.store.remove(UUID)  # as where its owner is another node plugin's store, or a lost one
    machine: dict[str, Any] = {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualMachine"}
    machine |= {"metadata": {"name": "thief", "uid": UUID}, "spec": {"memory": {"size": "64Mi"}}}
    stack = dataclasses.replace(CALLER, authorities=("acme/shop/dev",))
    with pytest.raises(Conflict, match="is VirtualMachine default/old-server of authority local"):
        world.service.apply(stack, ApplyCall(document=machine, token=Token(authority="acme/shop/dev")))
