"""Facts 3.2, 1 and 2, of networks, images, pools and disks: the operator dies at every single request that it sends, before or after it took
effect; the next one ends the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.operator.cluster import Cluster, machine
from tests.unit.operator.dependents.stories import (
    DATA,
    DEBIAN,
    DISKS,
    IMAGES,
    LAN,
    NETWORKS,
    POOLS,
    Story,
    disk,
    image,
    network,
    pool,
)
from tests.unit.operator.mortal import Walk, walk
from xvirt.operator.runtime.resources import Key

REQUESTS_MAX = 80
FAST = Key("", "fast")
ALL = ((POOLS, FAST), (NETWORKS, LAN), (IMAGES, DEBIAN), (DISKS, DATA))


def end_state(cluster: Cluster) -> dict[str, Any]:
    """What must be the same however often the operator died."""
    told = Story(cluster)
    objects = {}
    for resource, key in ALL:
        found = cluster.server.find(resource, key)
        if found is None:
            continue
        status = told.status(resource, key)
        objects[resource.kind] = {
            "conditions": {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]},
            "finalizers": found["metadata"].get("finalizers", []),
            "generation": status["observedGeneration"],
            "hosts": told.hosts(resource, key),
            "host": status.get("nodeName"),
        }
    kinds = ("StoragePool", "VirtualNetwork", "VirtualImage", "VirtualDisk", "VirtualMachine")
    return {
        "objects": objects,
        "held": {kind: told.held(kind) for kind in kinds},
        "networks": told.networks(),
        "volumes": {
            name: sorted(Path(p).name for p in host.world.volumes.files) for name, host in cluster.hosts.items()
        },
    }


async def live(cluster: Cluster, directory: Path) -> list[dict[str, Any]]:
    """Made with a machine, changed, and deleted while the machine is there: the end state after each."""
    told, states = Story(cluster), []
    for resource, item in (
        (POOLS, pool(directory / "fast", hosts=["node-b"])),
        (NETWORKS, network()),
        (IMAGES, image()),
        (DISKS, disk(source={"image": "debian"}, size="128Mi", deletionPolicy="Delete")),
    ):
        cluster.server.write(resource, item)
    nic, shelf = {"name": "lan", "network": "lan"}, {"name": "data", "source": {"disk": "data"}}
    cluster.create(machine(nics=[nic], disks=[shelf], placement={"host": "node-b"}))
    await cluster.running()
    for resource, key in ALL:
        await told.is_ready(resource, key)
    await cluster.calm(5.0)
    states.append(end_state(cluster))
    item = cluster.need(NETWORKS, LAN)
    item["spec"]["domainName"] = "lan.example"
    cluster.server.write(NETWORKS, item)
    item = cluster.need(DISKS, DATA)
    item["spec"]["size"] = "256Mi"
    cluster.server.write(DISKS, item)
    for resource, key in ((NETWORKS, LAN), (DISKS, DATA)):
        await cluster.until(lambda: told.status(resource, key).get("observedGeneration") == 2)  # noqa: B023
        await told.is_ready(resource, key)
    await cluster.calm(5.0)
    states.append(end_state(cluster))
    for resource, key in ALL:
        cluster.server.remove(resource, key)
    await told.gone(POOLS, FAST)
    await told.says(DISKS, DATA, "InUse")
    for resource, key in ((NETWORKS, LAN), (IMAGES, DEBIAN)):
        await told.says(resource, key, "Terminating")
    await cluster.calm(5.0)
    states.append(end_state(cluster))
    cluster.delete()
    for resource, key in ALL:
        await told.gone(resource, key)
    await cluster.gone()
    await cluster.calm(5.0)
    states.append(end_state(cluster))
    return states


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    return walk(live, tmp_path_factory.mktemp("undisturbed"), REQUESTS_MAX)


def test_the_walk_goes_where_it_should(undisturbed: Walk) -> None:
    made, changed, waiting, gone = undisturbed.states
    assert made["objects"]["VirtualDisk"]["host"] == "node-b"
    assert made["objects"]["StoragePool"]["hosts"] == {"node-b": "Active"}
    assert changed["objects"]["VirtualNetwork"]["generation"] == 2
    assert sorted(waiting["objects"]) == ["VirtualDisk", "VirtualImage", "VirtualNetwork"]
    assert gone["objects"] == {}
    assert all(names == [] for hosts in gone["held"].values() for names in hosts.values())
    assert gone["networks"] == {"node-a": [], "node-b": []}


@pytest.mark.parametrize("is_after", [False, True], ids=["before it is sent", "after it took effect"])
def test_fault_01_02_the_operator_dies_at_each_of_its_requests_about_disks_and_networks(
    undisturbed: Walk, tmp_path: Path, is_after: bool
) -> None:
    undisturbed.die_at_each(tmp_path, is_after=is_after)
