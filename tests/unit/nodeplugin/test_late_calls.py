"""Facts 3.2, 22: calls that come late, of a cluster whose operator changes: what was deleted stays deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.nodeplugin.world import World
from xvirt import API_VERSION
from xvirt.model.errors import Conflict, NotFound
from xvirt.model.exchange import ApplyCall, Caller, ObjectRef, Token

CLUSTER = "11111111-1111-4111-8111-111111111111"
UID = "22222222-2222-4222-8222-222222222222"
OPERATOR = Caller(name="xvirt-operator", authorities=(CLUSTER,), namespaces=("*",), profiles=("restricted",))


class ClusterWorld(World):
    authorities = (CLUSTER, "local")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return ClusterWorld(tmp_path)


def apply(world: World, *, epoch: int = 1, generation: int = 1, **spec: Any) -> None:
    metadata = {"name": "web", "namespace": "default", "uid": UID, "generation": generation}
    document = {
        "apiVersion": API_VERSION,
        "kind": "VirtualMachine",
        "metadata": metadata,
        "spec": {"memory": {"size": "64Mi"}, "terminationGracePeriodSeconds": 0, **spec},
    }
    token = Token(authority=CLUSTER, epoch=epoch, generation=generation)
    world.service.apply(OPERATOR, ApplyCall(document=document, token=token))
    world.settle()


def delete(world: World, *, epoch: int = 1, generation: int = 2) -> None:
    token = Token(authority=CLUSTER, epoch=epoch, generation=generation)
    world.service.delete(OPERATOR, ObjectRef(uid=UID), token, force=False)
    world.settle()


def domains(world: World) -> list[str]:
    return [record.uuid for record in world.hypervisor.list_domains()]


def test_fault_22_the_very_call_that_made_a_machine_does_not_bring_it_back(world: World) -> None:
    apply(world)
    assert domains(world) == [UID]
    delete(world)
    with pytest.raises(Conflict) as error:
        apply(world)
    assert error.value.reason == "StaleToken"
    assert domains(world) == []


def test_fault_22_a_call_that_comes_for_the_first_time_after_the_deletion_makes_nothing(world: World) -> None:
    with pytest.raises(NotFound):
        delete(world, epoch=2)
    for epoch, generation in ((1, 1), (1, 9), (2, 1)):
        with pytest.raises(Conflict):
            apply(world, epoch=epoch, generation=generation)
    assert domains(world) == []


def test_fault_22_that_is_remembered_by_the_next_life_of_the_plugin(world: World) -> None:
    with pytest.raises(NotFound):
        delete(world, epoch=2)
    world.boot()
    with pytest.raises(Conflict):
        apply(world, epoch=1)


def test_an_older_deletion_does_not_weaken_a_newer_one(world: World) -> None:
    for epoch in (3, 2):
        with pytest.raises(NotFound):
            delete(world, epoch=epoch)
    with pytest.raises(Conflict):
        apply(world, epoch=2, generation=9)


def test_fault_22_an_older_change_after_a_newer_one_is_refused(world: World) -> None:
    apply(world, generation=2, runStrategy="Halted")
    with pytest.raises(Conflict):
        apply(world, generation=1)
    (stored,) = world.store.list_objects()
    assert stored.document["spec"]["runStrategy"] == "Halted"
