"""The store is lost: what runs goes on, what stands on the host is taken over, and applying the rest again changes nothing."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from tests.unit.nodeplugin.test_crash_walk import IMAGE, MACHINE, NETWORK
from tests.unit.nodeplugin.world import World
from xvirt.domainxml.mark import read_mark, remove_mark
from xvirt.domainxml.tree import parse_xml, to_text

API = "xvirt.io/v1alpha1"
DISK: dict[str, Any] = {
    "apiVersion": API,
    "kind": "VirtualDisk",
    "metadata": {"name": "data"},
    "spec": {"size": "8Mi"},
}


def _documents(directory: Path) -> list[dict[str, Any]]:
    pool = {"apiVersion": API, "kind": "StoragePool", "metadata": {"name": "fast"}}
    machine = copy.deepcopy(MACHINE)
    machine["spec"]["disks"].append({"name": "data", "source": {"disk": "data"}})
    return [NETWORK, {**pool, "spec": {"path": str(directory / "fast")}}, IMAGE, DISK, machine]


def _wipe(world: World) -> None:
    world.store.close()
    for path in world.directory.glob("store.db*"):
        path.unlink()
    world.boot()


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    (tmp_path / "fast").mkdir()
    for document in _documents(tmp_path):
        world.apply(copy.deepcopy(document))
    world.settle()
    return world


def test_row_18_machines_and_networks_come_back_with_everything_they_were_told(world: World) -> None:
    before = {item.uid: item for item in world.store.list_objects()}
    _wipe(world)
    after = world.store.list_objects()
    assert sorted(item.kind for item in after) == ["VirtualMachine", "VirtualNetwork"]
    for item in after:
        was = before[item.uid]
        assert (item.document, item.generation, item.key) == (was.document, was.generation, was.key)


def test_row_18_applying_everything_again_touches_nothing(world: World, tmp_path: Path) -> None:
    before, effects = world.end_state(), len(world.faults.mutations)
    _wipe(world)
    world.settle()
    for document in _documents(tmp_path):
        world.apply(copy.deepcopy(document))
    world.settle()
    assert world.faults.mutations[effects:] == []
    assert world.end_state() == before


def test_a_network_without_our_mark_is_not_taken_over(world: World) -> None:
    record = world.hypervisor.list_networks()[0]
    root = parse_xml(record.xml)
    remove_mark(root)
    world.hypervisor.define_network(to_text(root))
    _wipe(world)
    assert [item.kind for item in world.store.list_objects()] == ["VirtualMachine"]


def test_a_network_whose_mark_was_taken_off_by_hand_gets_it_back(world: World) -> None:
    record = world.hypervisor.list_networks()[0]
    root = parse_xml(record.xml)
    remove_mark(root)
    world.hypervisor.define_network(to_text(root))
    world.settle()
    mark = read_mark(etree.fromstring(world.hypervisor.list_networks()[0].xml))
    assert mark is not None
    assert (mark.uid, mark.name) == (record.uuid, "lan")
