"""Networks and images follow the machines that name them."""

from __future__ import annotations

from pathlib import Path

from tests.unit.operator.cluster import TWO, Cluster, machine, play
from tests.unit.operator.dependents.stories import (
    DATA,
    DEBIAN,
    DISKS,
    IMAGES,
    LAN,
    NETWORKS,
    Story,
    at,
    disk,
    image,
    network,
    on_lan,
    with_disk,
)
from xvirt.operator.runtime.resources import Key


def test_a_network_follows_the_machines_that_name_it(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(NETWORKS, network())
        async with cluster.operator():
            await told.is_ready(NETWORKS, LAN, "NotNeeded")
            assert "finalizers" not in cluster.need(NETWORKS, LAN)["metadata"]
            cluster.create(on_lan(**at("node-b")))
            await cluster.running()
            await told.is_ready(NETWORKS, LAN, "Active")
            assert told.networks() == {"node-a": [], "node-b": ["default_lan"]}
            assert told.hosts(NETWORKS, LAN) == {"node-b": "Active"}
            cluster.create(on_lan("other", **at("node-a")))
            await cluster.running(Key("default", "other"))
            await cluster.until(lambda: told.hosts(NETWORKS, LAN) == {"node-a": "Active", "node-b": "Active"})
            assert told.networks() == {"node-a": ["default_lan"], "node-b": ["default_lan"]}
            for key in (Key("default", "web"), Key("default", "other")):
                cluster.delete(key)
                await cluster.gone(key)
            await told.is_ready(NETWORKS, LAN, "NotNeeded")
            assert told.networks() == {"node-a": ["default_lan"], "node-b": ["default_lan"]}, (
                "it stays until it is deleted"
            )
            cluster.server.remove(NETWORKS, LAN)
            await told.gone(NETWORKS, LAN)
            assert told.networks() == {"node-a": [], "node-b": []}

    play(tmp_path, story, TWO)


def test_a_network_that_comes_after_its_machine_is_brought_to_it(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        async with cluster.operator():
            cluster.create(on_lan())
            await cluster.until(lambda: cluster.condition("Ready").get("reason") == "NetworkNotFound")
            cluster.server.write(NETWORKS, network())
            await cluster.running()
            await told.is_ready(NETWORKS, LAN, "Active")

    play(tmp_path, story)


def test_a_change_of_a_network_reaches_every_host(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(NETWORKS, network())
        async with cluster.operator():
            for name in TWO:
                cluster.create(on_lan(f"on-{name}", **at(name)))
                await cluster.running(Key("default", f"on-{name}"))
            await cluster.until(lambda: told.hosts(NETWORKS, LAN) == dict.fromkeys(TWO, "Active"))
            item = cluster.need(NETWORKS, LAN)
            item["spec"]["subnets"][0]["dhcp"] = {"ranges": [{"start": "192.168.77.9", "end": "192.168.77.99"}]}
            cluster.server.write(NETWORKS, item)
            await cluster.until(lambda: told.status(NETWORKS, LAN).get("observedGeneration") == 2)
            await told.is_ready(NETWORKS, LAN, "Active")
            for host in cluster.hosts.values():
                (stored,) = host.world.store.list_objects("VirtualNetwork")
                assert stored.generation == 2
            assert "finalizers" in item["metadata"]
            assert cluster.need(NETWORKS, LAN)["spec"] == item["spec"]

    play(tmp_path, story, TWO)


def test_an_image_is_fetched_where_machines_and_disks_of_it_are(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(IMAGES, image())
        cluster.server.write(DISKS, disk(source={"image": "debian"}, size="128Mi"))
        async with cluster.operator():
            await told.is_ready(IMAGES, DEBIAN, "NotNeeded")
            cluster.create(machine("inline", disks=[{"name": "root", "source": {"image": "debian"}}], **at("node-a")))
            cluster.create(with_disk(**at("node-b")))
            await cluster.running(Key("default", "inline"))
            await cluster.running()
            await cluster.until(lambda: told.hosts(IMAGES, DEBIAN) == dict.fromkeys(TWO, "Ready"))
            assert told.status(DISKS, DATA)["nodeName"] == "node-b"
            await told.is_ready(DISKS, DATA, "Ready")
            assert told.status(DISKS, DATA)["usedBy"] == ["default_web"]

    play(tmp_path, story, TWO)
