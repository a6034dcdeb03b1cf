"""A volume that was there and is not is waited for, never made anew: a file system that is not mounted looks just the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.unit.nodeplugin.world import World
from xvirt.model.errors import Exhausted
from xvirt.model.exchange import ObjectRef, Verb

API = "xvirt.io/v1alpha1"


def _document(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _disk(**spec: Any) -> dict[str, Any]:
    return _document("VirtualDisk", "data", **{"size": "8Mi", **spec})


def _machine(*disks: dict[str, Any]) -> dict[str, Any]:
    return _document("VirtualMachine", "web", memory={"size": "64Mi"}, disks=list(disks))


ROOT = {"name": "root", "source": {"size": "4Mi"}}
DATA = {"name": "data", "source": {"disk": "data"}}
WEB = ObjectRef(kind="VirtualMachine", namespace="default", name="web")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.apply(_disk())
    made.apply(_machine(ROOT, DATA))
    made.settle()
    return made


def _path(world: World, name: str) -> str:
    return str(world.directory / "pool" / name)


def _reason(world: World, kind: str, name: str) -> str:
    stored = world.store.find_named(kind, "" if kind == "StoragePool" else "default", name)
    assert stored is not None
    return str(next(item["reason"] for item in stored.status["conditions"] if item["type"] == "Ready"))


@pytest.mark.parametrize("power", ["running", "off"])
@pytest.mark.parametrize(
    ("name", "kind", "subject"),
    [
        ("default_data.qcow2", "VirtualDisk", "data"),
        ("default_web_root.qcow2", "VirtualMachine", "web"),
    ],
)
def test_a_volume_removed_by_hand_is_reported_and_not_made_anew_and_all_goes_on_when_it_is_back(
    world: World, name: str, kind: str, subject: str, power: str
) -> None:
    if power == "off":
        world.operate(WEB, Verb.STOP)
        world.settle()
    before = world.end_state()
    facts = world.volumes.files.pop(_path(world, name))
    world.boot()
    world.settle()
    assert _reason(world, kind, subject) == "VolumeLost"
    assert _path(world, name) not in world.volumes.files
    assert world.end_state()["domains"] == before["domains"]
    world.volumes.files[_path(world, name)] = facts
    world.settle()
    assert world.end_state() == before


@pytest.mark.parametrize("power", ["running", "off"])
@pytest.mark.parametrize(
    ("change", "reason"), [({"capacity_bytes": 64 << 20}, "ShrinkRefused"), ({"format": "raw"}, "InvalidSpec")]
)
def test_a_volume_replaced_by_hand_is_reported_and_left_as_it_is(
    world: World, change: dict[str, Any], reason: str, power: str
) -> None:
    if power == "off":
        world.operate(WEB, Verb.STOP)
        world.settle()
    before, path = world.end_state(), _path(world, "default_data.qcow2")
    facts = world.volumes.files[path]
    world.volumes.files[path] = dataclasses.replace(facts, **change)
    world.host.index.clear()
    world.converger.work(_uid(world))
    assert _reason(world, "VirtualDisk", "data") == reason
    assert world.volumes.files[path] == dataclasses.replace(facts, **change)
    world.volumes.files[path] = facts
    world.settle()
    assert world.end_state() == before


def _uid(world: World) -> str:
    stored = world.store.find_named("VirtualDisk", "default", "data")
    assert stored is not None
    return stored.uid


def test_a_lost_disk_declared_anew_after_its_deletion_is_a_new_one(world: World) -> None:
    world.delete(WEB)
    world.settle()
    del world.volumes.files[_path(world, "default_data.qcow2")]
    world.settle()
    world.delete(ObjectRef(kind="VirtualDisk", namespace="default", name="data"))
    world.settle()
    world.apply(_disk())
    world.settle()
    assert _reason(world, "VirtualDisk", "data") == "Ready"
    assert _path(world, "default_data.qcow2") in world.volumes.files


def test_a_pool_whose_directory_vanished_is_waited_for_and_not_made_anew(world: World) -> None:
    directory = str(world.directory / "fast")
    world.apply(_document("StoragePool", "fast", path=directory))
    world.apply(_document("VirtualDisk", "scratch", size="8Mi", pool="fast"))
    world.settle()
    before = world.end_state()
    world.volumes.vanished.add(directory)
    facts = world.volumes.files.pop(f"{directory}/default_scratch.qcow2")
    mutations = list(world.faults.mutations)
    world.settle()
    assert _reason(world, "StoragePool", "fast") == "DirectoryVanished"
    assert _reason(world, "VirtualDisk", "scratch") == "PoolNotReady"
    assert world.faults.mutations == mutations
    world.volumes.vanished.clear()
    world.volumes.files[facts.path] = facts
    world.settle()
    assert world.end_state() == before


@pytest.mark.parametrize("power", ["running", "off"])
@pytest.mark.parametrize("act", ["destroy", "undefine"])
def test_a_pool_destroyed_or_undefined_by_hand_comes_back_with_its_volumes(world: World, act: str, power: str) -> None:
    directory = str(world.directory / "fast")
    world.apply(_document("StoragePool", "fast", path=directory))
    world.apply(_document("VirtualDisk", "scratch", size="8Mi", pool="fast", format="raw"))
    world.apply(_machine(ROOT, DATA, {"name": "scratch", "source": {"disk": "scratch"}}))
    world.settle()
    if power == "off":
        world.operate(WEB, Verb.STOP)
        world.settle()
    before = world.end_state()
    pool = next(item for item in world.hypervisor.list_pools() if item.name == "fast")
    world.hypervisor.stop_pool(pool.uuid)
    if act == "undefine":
        world.hypervisor.undefine_pool(pool.uuid)
    world.settle()
    assert world.end_state() == before
    again = next(item for item in world.hypervisor.list_pools() if item.name == "fast")
    assert (again.uuid, again.is_active, again.is_autostarted) == (pool.uuid, True, True)


@pytest.mark.parametrize("method", ["create_volume", "grow_volume", "resize_block"])
def test_a_full_disk_is_a_condition_and_it_goes_on_by_itself_when_there_is_space(world: World, method: str) -> None:
    if method == "grow_volume":
        world.operate(WEB, Verb.STOP)
        world.settle()
    document = _document("VirtualDisk", "more", size="8Mi") if method == "create_volume" else _disk(size="16Mi")
    name = document["metadata"]["name"]
    world.faults.fail_next(method, Exhausted("no space left; free some, it goes on by itself", reason="NoSpace"), 500)
    world.apply(document)
    for _ in range(3):
        world.converger.work(world.store.find_named("VirtualDisk", "default", name).uid)  # type: ignore[union-attr]
    assert _reason(world, "VirtualDisk", name) == "NoSpace"
    world.faults._errors.clear()
    world.settle()
    assert _reason(world, "VirtualDisk", name) == "Ready"
    wanted = (8 if method == "create_volume" else 16) << 20
    assert world.volumes.files[_path(world, f"default_{name}.qcow2")].capacity_bytes == wanted
