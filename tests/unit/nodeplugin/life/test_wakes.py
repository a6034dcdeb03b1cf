"""What waits is brought up by what it waits for, not by the next look at everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.nodeplugin.life.declared import Wish, document, network
from tests.unit.nodeplugin.life.served import LONG_S, ServedWorld
from xvirt.client.blocking import NodeClient
from xvirt.model.exchange import ApplyCall, ObjectRef, OperateCall, Verb

WEB = ObjectRef(kind="VirtualMachine", namespace="default", name="web")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ServedWorld]:
    made = ServedWorld(tmp_path)
    yield made
    made.close()


@pytest.fixture
def client(world: ServedWorld) -> NodeClient:
    return world.seats["local"].client


def _status(client: NodeClient, kind: str, name: str) -> dict[str, object]:
    return dict(client.get(ObjectRef(kind=kind, namespace="default", name=name)).document["status"])


def test_a_disk_says_who_uses_it_as_soon_as_somebody_does(world: ServedWorld, client: NodeClient) -> None:
    client.apply(ApplyCall(document=document("VirtualDisk", "data-web", {"size": "8Mi"})))
    world.settle(1.0)
    client.apply(ApplyCall(document=Wish(uses_data=True).document("web")))
    world.settle(1.0)
    assert _status(client, "VirtualDisk", "data-web")["usedBy"] == ["default_web"]
    client.delete(WEB)
    world.settle(5.0)
    assert _status(client, "VirtualDisk", "data-web")["usedBy"] == []


def test_a_network_changes_as_soon_as_its_last_machine_is_off(world: ServedWorld, client: NodeClient) -> None:
    client.apply(ApplyCall(document=network("lan")))
    client.apply(ApplyCall(document=Wish(cards=(("n0", "lan"),)).document("web")))
    world.settle(1.0)
    client.apply(ApplyCall(document=network("lan", is_served=True)))
    world.settle(1.0)
    assert _status(client, "VirtualNetwork", "lan")["restartRequired"]
    client.operate(OperateCall(ref=WEB, verb=Verb.STOP, operation_id="stop"))
    world.settle(5.0)
    assert _status(client, "VirtualNetwork", "lan")["restartRequired"] == []


def test_a_default_pool_that_was_removed_comes_back_by_itself(world: ServedWorld, client: NodeClient) -> None:
    client.apply(ApplyCall(document=Wish(disks=(("d0", "Delete"),)).document("web")))
    world.settle(LONG_S)
    pool = world.hypervisor.list_pools()[0]
    world.hypervisor.stop_pool(pool.uuid)
    world.hypervisor.undefine_pool(pool.uuid)
    world.settle(1.0)
    assert [(item.name, item.uuid, item.is_active) for item in world.hypervisor.list_pools()] == [
        ("default", pool.uuid, True)
    ]
    world.settle(LONG_S)
    assert _status(client, "VirtualMachine", "web")["printableStatus"] == "Running"
