"""A cluster that was restored from a backup comes with older tokens; only the host's root has them taken again."""

import dataclasses
from pathlib import Path

import pytest

from tests.unit.nodeplugin.world import CALLER, World
from xvirt.model.errors import Conflict, Forbidden, InvalidSpec
from xvirt.model.exchange import ApplyCall, Caller, ObjectRef, Token

CLUSTER = "6f1cdb0e-5f0e-4b1c-9f57-8a2f0a4f6a11"
OPERATOR = Caller(name="xvirt-operator", authorities=(CLUSTER,), namespaces=("*",), profiles=("restricted",))
ROOT = dataclasses.replace(CALLER, is_host_root=True)
UID = "0b5e7d0c-95a5-4b38-9f5e-3a1f27a0c001"
OLD, NEW = Token(authority=CLUSTER, epoch=3, generation=4), Token(authority=CLUSTER, epoch=7, generation=9)


class ClusterWorld(World):
    authorities = ("local", "*/*/*", CLUSTER)


@pytest.fixture
def world(tmp_path: Path) -> ClusterWorld:
    return ClusterWorld(tmp_path)


def _apply(world: World, token: Token, memory: str = "64Mi") -> None:
    metadata = {"name": "web", "namespace": "default", "uid": UID, "generation": token.generation}
    spec = {"memory": {"size": memory}, "runStrategy": "Halted"}
    document = {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualMachine", "metadata": metadata, "spec": spec}
    world.service.apply(OPERATOR, ApplyCall(document=document, token=token))


def test_a_restored_cluster_is_refused_until_root_accepts_its_tokens(world: ClusterWorld) -> None:
    _apply(world, NEW)
    world.settle()
    with pytest.raises(Conflict):
        _apply(world, OLD, memory="96Mi")
    assert [ref.uid for ref in world.service.accept_epoch(ROOT, CLUSTER)] == [UID]
    _apply(world, OLD, memory="96Mi")
    world.settle()
    token = world.service.get(OPERATOR, ObjectRef(uid=UID)).token
    assert (token.epoch, token.generation) == (3, 4)


def test_an_accepted_token_outlives_a_lost_store(world: ClusterWorld) -> None:
    _apply(world, NEW)
    world.settle()
    world.service.accept_epoch(ROOT, CLUSTER)
    world.settle()
    world.store.close()
    (world.directory / "store.db").unlink()
    world.boot()
    _apply(world, OLD, memory="96Mi")
    assert world.service.get(OPERATOR, ObjectRef(uid=UID)).token.generation == 4


def test_an_object_that_was_deleted_meanwhile_may_be_declared_again(world: ClusterWorld) -> None:
    _apply(world, NEW)
    world.settle()
    world.service.delete(OPERATOR, ObjectRef(uid=UID), NEW, force=False)
    world.settle()
    with pytest.raises(Conflict):
        _apply(world, OLD)
    assert world.service.accept_epoch(ROOT, CLUSTER) == []
    _apply(world, OLD)
    assert world.service.get(OPERATOR, ObjectRef(uid=UID)).token.generation == 4


def test_other_authorities_keep_their_tokens(world: ClusterWorld) -> None:
    _apply(world, NEW)
    spec = {"memory": {"size": "64Mi"}, "runStrategy": "Halted"}
    metadata = {"name": "mine", "namespace": "default"}
    mine = {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualMachine", "metadata": metadata, "spec": spec}
    before = world.service.apply(CALLER, ApplyCall(document=mine, token=Token(authority="local"))).object
    world.service.accept_epoch(ROOT, CLUSTER)
    assert world.service.get(CALLER, before.ref).token == before.token


@pytest.mark.parametrize("caller", [CALLER, OPERATOR], ids=lambda caller: str(caller.name))
def test_nobody_but_the_hosts_root_may(world: ClusterWorld, caller: Caller) -> None:
    _apply(world, NEW)
    with pytest.raises(Forbidden, match="xvirt node accept-epoch"):
        world.service.accept_epoch(caller, CLUSTER)
    with pytest.raises(Conflict):
        _apply(world, OLD)


def test_an_authority_without_anything_is_refused_with_those_that_have_something(world: ClusterWorld) -> None:
    _apply(world, NEW)
    with pytest.raises(InvalidSpec, match=CLUSTER):
        world.service.accept_epoch(ROOT, "11111111-1111-4111-8111-111111111111")
