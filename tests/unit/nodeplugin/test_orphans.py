"""What nobody declares any more is listed with what to do, taken back by declaring it again, and never removed by the node."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.unit.nodeplugin.world import CALLER, World
from xvirt.model.exchange import Caller, ObjectRef, Orphan, OrphanKind

API = "xvirt.io/v1alpha1"
TENANT = Caller(name="tenant", authorities=("local",), namespaces=("red",), profiles=("restricted",))
MIB = 1 << 20


def _document(kind: str, name: str, namespace: str = "default", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name} if kind == "StoragePool" else {"name": name, "namespace": namespace}
    return {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec}


def _disk(name: str, namespace: str = "default", **spec: Any) -> dict[str, Any]:
    return _document("VirtualDisk", name, namespace, size="8Mi", **spec)


def _machine(name: str, *disks: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return _document("VirtualMachine", name, memory={"size": "64Mi"}, disks=list(disks), **spec)


def _ref(kind: str, name: str, namespace: str = "default") -> ObjectRef:
    return ObjectRef(kind=kind, namespace=namespace, name=name)


def _orphans(world: World, namespace: str = "", caller: Caller = CALLER) -> dict[str, Orphan]:
    return {item.name: item for item in world.service.list_orphans(caller, namespace)}


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    nvram = tmp_path / "nvram"
    nvram.mkdir()
    made.host = dataclasses.replace(
        made.host, settings=dataclasses.replace(made.host.settings, nvram_directory=str(nvram))
    )
    made.service._host = made.host
    return made


def _gone(world: World, *refs: ObjectRef) -> None:
    for ref in refs:
        world.delete(ref)
    world.settle()
    assert all(world.store.find_named(ref.kind, ref.namespace, ref.name) is None for ref in refs)


def test_row_48_retained_volumes_are_listed_with_size_reason_and_remedy_and_never_removed(world: World) -> None:
    world.apply(_disk("data"))
    world.apply(_machine("web", {"name": "root", "source": {"size": "4Mi"}}))
    world.settle()
    assert _orphans(world) == {}
    _gone(world, _ref("VirtualDisk", "data"), _ref("VirtualMachine", "web"))
    found = _orphans(world)
    assert set(found) == {"default_data.qcow2", "default_web_root.qcow2"}
    path = str(world.directory / "pool" / "default_data.qcow2")
    assert found["default_data.qcow2"] == Orphan(
        kind=OrphanKind.VOLUME,
        namespace="default",
        name="default_data.qcow2",
        location=path,
        pool="default",
        size_bytes=200 << 10,
        reason="Retained",
        message="no VirtualDisk default/data is declared in pool default",
        take_back="declare VirtualDisk default/data with pool default and format qcow2",
        removal=f"rm {path}",
    )
    assert "disk root" in found["default_web_root.qcow2"].take_back
    world.boot()
    world.settle()
    assert set(_orphans(world)) == set(found)


def test_row_17_what_outlives_its_object_is_told_once_by_path_and_what_goes_with_it_is_not(world: World) -> None:
    world.apply(_disk("data"))
    world.apply(_disk("scratch", deletionPolicy="Delete"))
    own = (
        {"name": "root", "source": {"size": "4Mi"}},
        {"name": "more", "source": {"size": "4Mi"}},
        {"name": "shared", "source": {"disk": "data"}},
    )
    world.apply(_machine("web", *own, {"name": "swap", "source": {"size": "4Mi"}, "deletionPolicy": "Delete"}))
    world.settle()
    watch = world.service.watch(CALLER, "", "")
    _gone(world, _ref("VirtualMachine", "web"), _ref("VirtualDisk", "data"), _ref("VirtualDisk", "scratch"))
    events = [item.event for item in iter(lambda: watch.next_event(0), None) if item is not None and item.event]
    told = [event.message for event in events if event.reason == "VolumeRetained"]
    pool = world.directory / "pool"
    assert sorted(message.partition(", as")[0] for message in told) == [
        f"volume {pool}/default_data.qcow2 stays",
        f"volumes {pool}/default_web_root.qcow2, {pool}/default_web_more.qcow2 stay",
    ]


def test_row_48_a_retained_volume_is_taken_back_by_a_declaration_of_its_name_and_the_event_says_so(
    world: World,
) -> None:
    world.apply(_disk("data"))
    world.settle()
    _gone(world, _ref("VirtualDisk", "data"))
    before = len(world.faults.mutations)
    world.apply(_disk("data"))
    world.settle()
    assert _orphans(world) == {}
    assert world.faults.mutations[before:] == []
    stored = world.store.find_named("VirtualDisk", "default", "data")
    assert stored is not None
    assert stored.status["path"].endswith("default_data.qcow2")
    told = {event.reason: event.message for event in world.store.list_events(stored.uid)}
    assert "its content was kept" in told["VolumeTakenBack"]


def test_a_volume_that_was_made_for_this_declaration_is_not_said_to_be_taken_back(world: World) -> None:
    world.apply(_disk("data"))
    world.settle()
    world.boot()
    world.settle()
    assert "VolumeTakenBack" not in {event.reason for event in world.store.list_events()}


def test_a_retained_volume_is_not_taken_for_one_of_another_source(world: World) -> None:
    world.apply(_document("VirtualImage", "debian", source={"path": "/images/guest.qcow2"}))
    world.apply(_document("VirtualDisk", "data", source={"image": "debian"}))
    world.settle()
    _gone(world, _ref("VirtualDisk", "data"))
    world.apply(_disk("data"))
    world.settle()
    stored = world.store.find_named("VirtualDisk", "default", "data")
    assert stored is not None
    ready = next(item for item in stored.status["conditions"] if item["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "VolumeDiffers")
    assert "default_debian.image.qcow2" in ready["message"]
    world.apply(_machine("web", {"name": "data", "source": {"disk": "data"}}))
    world.settle()
    assert world.end_state()["domains"] == {}
    _gone(world, _ref("VirtualMachine", "web"), _ref("VirtualDisk", "data"))
    world.apply(_document("VirtualDisk", "data", source={"image": "debian"}))
    world.settle()
    stored = world.store.find_named("VirtualDisk", "default", "data")
    assert stored is not None
    assert stored.status["printableStatus"] == "Ready"


def test_an_orphan_that_something_is_based_on_or_uses_says_so_instead_of_how_to_remove_it(world: World) -> None:
    world.apply(_document("VirtualImage", "debian", source={"path": "/images/guest.qcow2"}, deletionPolicy="Retain"))
    world.apply(_machine("web", {"name": "root", "source": {"image": "debian"}}))
    world.settle()
    _gone(world, _ref("VirtualImage", "debian"))
    image = _orphans(world)["default_debian.image.qcow2"]
    assert image.used_by == ("default_web", "default_web_root.qcow2")
    assert image.removal == "not while default_web, default_web_root.qcow2 uses it"


def test_a_machine_that_was_released_keeps_its_volumes_and_they_say_who_has_them(world: World) -> None:
    world.apply(_machine("web", {"name": "root", "source": {"size": "4Mi"}}, deletionPolicy="Detach"))
    world.settle()
    _gone(world, _ref("VirtualMachine", "web"))
    assert _orphans(world)["default_web_root.qcow2"].used_by == ("default_web",)


def test_marked_domains_and_networks_of_unknown_objects_are_undeclared(world: World) -> None:
    world.apply(_document("VirtualNetwork", "lan", mode="Isolated"))
    world.apply(_machine("web", cloudInit={"hostname": "web"}))
    world.settle()
    for kind, name in (("VirtualMachine", "web"), ("VirtualNetwork", "lan")):
        stored = world.store.find_named(kind, "default", name)
        assert stored is not None
        world.store.remove(stored.uid)
    found = {item.kind: item for item in world.service.list_orphans(CALLER, "")}
    assert set(found) == {OrphanKind.DOMAIN, OrphanKind.NETWORK, OrphanKind.SEED}
    domain = found[OrphanKind.DOMAIN]
    assert (domain.name, domain.namespace, domain.reason) == ("default_web", "default", "Undeclared")
    assert f"metadata.uid {domain.location}" in domain.take_back
    assert found[OrphanKind.SEED].used_by == ("default_web",)
    assert found[OrphanKind.SEED].namespace == "default"
    stranger = dataclasses.replace(CALLER, authorities=("cluster",))
    assert world.service.list_orphans(stranger, "") == []
    world.settle()
    assert "default_web" in world.end_state()["domains"]
    document = _machine("web", cloudInit={"hostname": "web"})
    document["metadata"]["uid"] = domain.location
    world.apply(document)
    world.settle()
    assert {item.kind for item in world.service.list_orphans(CALLER, "")} == {OrphanKind.NETWORK}


def test_seeds_logs_and_uefi_variables_of_nobody_are_listed_for_those_who_have_all_namespaces(world: World) -> None:
    uid = "11111111-2222-4333-8444-555555555555"
    (world.directory / "seeds" / f"{uid}-0123456789ab.iso").write_bytes(bytes(4096))
    (world.directory / "seeds" / "notes.txt").touch()
    (world.directory / "logs" / f"{uid}.log").write_bytes(b"booted")
    (world.directory / "nvram" / "red_old_VARS.fd").write_bytes(bytes(4096))
    (world.directory / "nvram" / "win11_VARS.fd").write_bytes(bytes(4096))
    found = _orphans(world)
    assert set(found) == {f"{uid}-0123456789ab.iso", f"{uid}.log", "red_old_VARS.fd"}
    assert {item.reason for item in found.values()} == {"LeftBehind"}
    assert found["red_old_VARS.fd"].size_bytes >= 4096
    assert set(_orphans(world, caller=TENANT)) == {"red_old_VARS.fd"}


def test_a_tenant_sees_the_orphans_of_its_own_namespaces_alone(world: World) -> None:
    for namespace in ("red", "blue"):
        world.apply(_disk("data", namespace))
    world.settle()
    _gone(world, _ref("VirtualDisk", "data", "red"), _ref("VirtualDisk", "data", "blue"))
    assert set(_orphans(world, caller=TENANT)) == {"red_data.qcow2"}
    assert _orphans(world, "blue", TENANT) == {}
    assert set(_orphans(world, "blue")) == {"blue_data.qcow2"}


def test_what_lies_in_pools_that_are_not_ours_is_nobodys_orphan(world: World) -> None:
    world.hypervisor.define_pool(
        "<pool type='dir'><name>images</name><uuid>99999999-2222-4333-8444-555555555555</uuid>"
        f"<target><path>{world.directory}/foreign</path></target></pool>"
    )
    world.hypervisor.start_pool("99999999-2222-4333-8444-555555555555")
    world.apply(_disk("data"))
    world.settle()
    facts = next(iter(world.volumes.files.values()))
    for path in (f"{world.directory}/foreign/my_disk.qcow2", f"{world.directory}/pool/windows.qcow2"):
        world.volumes.files[path] = dataclasses.replace(facts, path=path)
    assert _orphans(world) == {}
