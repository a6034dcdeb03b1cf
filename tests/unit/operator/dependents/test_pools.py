"""Pools are on all hosts, or on those that they name."""

from __future__ import annotations

from pathlib import Path

from tests.unit.operator.cluster import TWO, Cluster, machine, play
from tests.unit.operator.dependents.stories import DATA, DEBIAN, DISKS, IMAGES, POOLS, Story, disk, image, pool
from xvirt.operator.runtime.resources import NODES, Key


def test_row_47_a_pool_is_on_every_host_or_on_those_it_names(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(POOLS, pool(tmp_path / "fast"))
        cluster.server.write(POOLS, pool(tmp_path / "slow", "slow", hosts=["node-b"]))
        fast, slow = Key("", "fast"), Key("", "slow")
        async with cluster.operator():
            await cluster.until(lambda: told.hosts(POOLS, fast) == dict.fromkeys(TWO, "Active"))
            await told.is_ready(POOLS, slow, "Active")
            assert told.hosts(POOLS, slow) == {"node-b": "Active"}
            assert "capacity" in told.status(POOLS, fast)["hosts"][0]
            item = cluster.need(POOLS, slow)
            item["spec"]["hosts"] = ["node-a"]
            cluster.server.write(POOLS, item)
            await cluster.until(lambda: told.hosts(POOLS, slow) == {"node-a": "Active"})
            assert told.held("StoragePool") == {"node-a": ["fast", "slow"], "node-b": ["fast"]}

    play(tmp_path, story, TWO)


def test_row_47_a_pool_in_use_is_not_deleted(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(POOLS, pool(tmp_path / "fast"))
        cluster.server.write(DISKS, disk(pool="fast", host="node-a"))
        fast = Key("", "fast")
        async with cluster.operator():
            await told.is_ready(DISKS, DATA, "Ready")
            cluster.server.remove(POOLS, fast)
            await told.says(POOLS, fast, "InUse")
            assert told.message(POOLS, fast).startswith("it is used by VirtualDisk default/data;")
            assert told.held("StoragePool") == {key: ["fast"] for key in TWO}
            cluster.server.remove(DISKS, DATA)
            await told.gone(POOLS, fast)
            assert told.held("StoragePool") == {key: [] for key in TWO}

    play(tmp_path, story, TWO)


def test_a_host_that_comes_later_gets_the_pools(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        fast = Key("", "fast")
        cluster.server.remove(NODES, Key("", "node-b"))
        cluster.server.write(POOLS, pool(tmp_path / "fast"))
        async with cluster.operator():
            await cluster.until(lambda: told.hosts(POOLS, fast) == {"node-a": "Active"})
            cluster.add_node("node-b")
            await cluster.until(lambda: told.hosts(POOLS, fast) == dict.fromkeys(TWO, "Active"))

    play(tmp_path, story, TWO)


def test_a_machine_whose_image_comes_later_waits_and_goes_where_its_pool_is(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(POOLS, pool(tmp_path / "fast", hosts=["node-b"]))
        async with cluster.operator():
            cluster.create(machine(disks=[{"name": "root", "source": {"image": "debian"}}]))
            await cluster.until(
                lambda: cluster.condition("Ready").get("reason") == "ImageNotFound", "it never said that it waits"
            )
            assert not cluster.status().get("nodeName")
            late = image()
            late["spec"]["pool"] = "fast"
            cluster.server.write(IMAGES, late)
            await cluster.running()
            assert cluster.status()["nodeName"] == "node-b"
            await told.is_ready(IMAGES, DEBIAN)

    play(tmp_path, story, TWO)
