"""What is lost, left behind, taken away or refused; and that nothing is written when nothing happens."""

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
    POOLS,
    Story,
    at,
    disk,
    image,
    network,
    on_lan,
    pool,
)
from tests.unit.operator.hosts_in_memory import CLUSTER
from xvirt.model.exchange import ObjectRef, Token
from xvirt.operator.runtime.resources import NAMESPACES, Key


def test_a_lost_host_makes_its_part_unknown_and_comes_back_with_what_it_missed(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(NETWORKS, network())
        cluster.server.write(DISKS, disk())
        async with cluster.operator():
            cluster.create(
                machine(
                    nics=[{"name": "l", "network": "lan"}],
                    disks=[{"name": "d", "source": {"disk": "data"}}],
                    **at("node-b"),
                )
            )
            await cluster.running()
            cluster.create(on_lan("other", **at("node-a")))
            await cluster.running(Key("default", "other"))
            cluster.hosts["node-b"].go_away()
            await told.says(DISKS, DATA, "HostUnreachable")
            await told.says(NETWORKS, LAN, "HostUnreachable")
            assert told.ready(DISKS, DATA)[0] == "Unknown"
            assert told.status(DISKS, DATA)["nodeName"] == "node-b"
            assert told.hosts(NETWORKS, LAN) == {"node-a": "Active", "node-b": "Unknown"}
            item = cluster.need(NETWORKS, LAN)
            item["spec"]["domainName"] = "lan.example"
            cluster.server.write(NETWORKS, item)
            cluster.hosts["node-b"].come_back()
            await told.is_ready(NETWORKS, LAN, "Active")
            await told.is_ready(DISKS, DATA, "Ready")
            (stored,) = cluster.hosts["node-b"].world.store.list_objects("VirtualNetwork")
            assert stored.document["spec"]["domainName"] == "lan.example"

    play(tmp_path, story, TWO)


def test_a_lost_host_holds_a_deletion_until_it_is_forced_and_an_event_says_what_stays(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(DISKS, disk(host="node-b"))
        async with cluster.operator():
            await told.is_ready(DISKS, DATA, "Ready")
            cluster.hosts["node-b"].go_away()
            cluster.server.remove(DISKS, DATA)
            await told.says(DISKS, DATA, "HostUnreachable")
            await cluster.calm()
            cluster.annotate(DISKS, DATA, annotations={"xvirt.io/force-delete": "true"})
            await told.gone(DISKS, DATA)
            await cluster.until(lambda: cluster.events("LeftBehind"))
            (event,) = cluster.events("LeftBehind")
            assert "node-b" in event["note"]
            assert "default_data.qcow2" in event["note"]
            cluster.hosts["node-b"].come_back()
            await cluster.until(lambda: cluster.host("node-b").get("undeclared") == ["VirtualDisk default/data"])
            assert told.held("VirtualDisk") == {"node-a": [], "node-b": ["data"]}, "never deleted on absence alone"

    play(tmp_path, story, TWO)


def test_a_disk_that_was_left_behind_is_not_taken_for_a_new_one_of_its_name(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        first = cluster.server.write(DISKS, disk(host="node-a"))
        async with cluster.operator():
            await told.is_ready(DISKS, DATA, "Ready")
            cluster.hosts["node-a"].go_away()
            cluster.annotate(DISKS, DATA, annotations={"xvirt.io/force-delete": "true"})
            cluster.server.remove(DISKS, DATA)
            await told.gone(DISKS, DATA)
            cluster.hosts["node-a"].come_back()
            cluster.server.write(DISKS, disk(host="node-a"))
            await told.says(DISKS, DATA, "NameTaken")
            assert first["metadata"]["uid"] in told.message(DISKS, DATA)
            (stored,) = cluster.hosts["node-a"].world.store.list_objects("VirtualDisk")
            assert stored.uid == first["metadata"]["uid"]

    play(tmp_path, story)


def test_an_object_that_is_made_anew_waits_for_the_end_of_the_one_before(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(NETWORKS, network())
        async with cluster.operator():
            cluster.create(on_lan())
            await cluster.running()
            old = cluster.need(NETWORKS, LAN)["metadata"]["uid"]
            cluster.server.remove(NETWORKS, LAN)
            await told.says(NETWORKS, LAN, "Terminating")
            cluster.delete()
            await told.gone(NETWORKS, LAN)
            await cluster.gone(Key("default", "web"))
            cluster.server.write(NETWORKS, network())
            cluster.create(on_lan())
            await cluster.running()
            await told.is_ready(NETWORKS, LAN, "Active")
            (stored,) = cluster.hosts["node-a"].world.store.list_objects("VirtualNetwork")
            assert stored.uid != old

    play(tmp_path, story)


def test_a_node_that_lost_its_store_is_given_everything_again(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(DISKS, disk(host="node-a"))
        cluster.server.write(POOLS, pool(tmp_path / "fast"))
        async with cluster.operator():
            await told.is_ready(DISKS, DATA, "Ready")
            await told.is_ready(POOLS, Key("", "fast"), "Active")
            cluster.hosts["node-a"].lose_store()
            await cluster.until(lambda: told.held("VirtualDisk") == {"node-a": ["data"]})
            await cluster.until(lambda: told.held("StoragePool") == {"node-a": ["fast"]})
            await told.is_ready(DISKS, DATA, "Ready")

    play(tmp_path, story)


def test_an_object_that_somebody_removes_on_a_host_is_brought_back(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        made = cluster.server.write(DISKS, disk(host="node-a"))
        async with cluster.operator() as operator:
            await told.is_ready(DISKS, DATA, "Ready")
            await cluster.calm()
            ref, token = ObjectRef(uid=made["metadata"]["uid"]), Token(authority=CLUSTER, epoch=operator.lease.epoch)
            await cluster.hosts["node-a"].client().delete(ref, token)
            await cluster.until(
                lambda: [call[0] for call in cluster.hosts["node-a"].calls] == ["apply", "delete", "apply"]
            )
            assert told.held("VirtualDisk") == {"node-a": ["data"]}
            await told.is_ready(DISKS, DATA, "Ready")

    play(tmp_path, story)


def test_a_namespaces_end_takes_everything_in_the_right_order(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(NETWORKS, network())
        cluster.server.write(IMAGES, image())
        cluster.server.write(DISKS, disk(source={"image": "debian"}, size="128Mi", deletionPolicy="Delete"))
        async with cluster.operator():
            cluster.create(
                machine(nics=[{"name": "l", "network": "lan"}], disks=[{"name": "d", "source": {"disk": "data"}}])
            )
            await cluster.running()
            for resource, key in ((IMAGES, DEBIAN), (NETWORKS, LAN), (DISKS, DATA)):
                cluster.server.remove(resource, key)
            cluster.delete()
            for resource, key in ((IMAGES, DEBIAN), (NETWORKS, LAN), (DISKS, DATA)):
                await told.gone(resource, key)
            await cluster.gone(Key("default", "web"))
            for kind in ("VirtualNetwork", "VirtualImage", "VirtualDisk", "VirtualMachine"):
                assert told.held(kind) == {"node-a": []}
            assert told.networks() == {"node-a": []}

    play(tmp_path, story)


def test_a_refused_image_is_stalled_with_its_reason_and_the_others_go_on(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.annotate(NAMESPACES, Key("", "default"), labels={"xvirt.io/policy-profile": None})
        cluster.server.write(IMAGES, image())
        cluster.server.write(
            NETWORKS,
            {"metadata": {"name": "wire", "namespace": "default"}, "spec": {"mode": "Bridge", "bridge": "br0"}},
        )
        cluster.server.write(NETWORKS, network())
        async with cluster.operator():
            cluster.create(machine("poisoned", nics=[{"name": "l", "network": "wire"}]))
            cluster.create(on_lan())
            await told.says(NETWORKS, Key("default", "wire"), "PolicyRefused")
            assert "restricted" in told.message(NETWORKS, Key("default", "wire"))
            await cluster.running()
            cluster.annotate(NAMESPACES, Key("", "default"), labels={"xvirt.io/policy-profile": "privileged"})
            await told.says(NETWORKS, Key("default", "wire"), "BridgeNotFound")

    play(tmp_path, story)


def test_an_idle_cluster_writes_nothing(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(NETWORKS, network())
        cluster.server.write(IMAGES, image())
        cluster.server.write(DISKS, disk(source={"image": "debian"}, size="128Mi"))
        cluster.server.write(POOLS, pool(tmp_path / "fast"))
        async with cluster.operator():
            cluster.create(
                machine(nics=[{"name": "l", "network": "lan"}], disks=[{"name": "d", "source": {"disk": "data"}}])
            )
            await cluster.running()
            await told.is_ready(POOLS, Key("", "fast"), "Active")
            await cluster.calm(60.0)
            before, calls = cluster.writes(), list(cluster.hosts["node-a"].calls)
            await cluster.rest(3600.0)
            assert cluster.writes() == before
            assert cluster.hosts["node-a"].calls == calls
        async with cluster.operator():
            await cluster.rest(300.0)
            assert cluster.writes() == before, "a new operator finds everything as it is"
            assert cluster.hosts["node-a"].calls == calls

    play(tmp_path, story)


def test_fault_12_an_object_of_a_strange_shape_is_stalled_alone_and_recovers_when_it_is_mended(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        poison = Key("default", "poison")
        strange = {"size": "16Mi", "host": "node-a", "source": "somewhere", "pool": ["x"]}
        cluster.server.write(DISKS, {"metadata": {"name": "poison", "namespace": "default"}, "spec": strange})
        cluster.server.write(DISKS, disk(host="node-a"))
        async with cluster.operator():
            await told.is_ready(DISKS, DATA, "Ready")
            await told.says(DISKS, poison, "InvalidSpec")
            assert "spec.source" in told.message(DISKS, poison)
            await cluster.rest(600.0)
            asked = [
                call
                for call in cluster.hosts["node-a"].calls
                if call[1] == cluster.need(DISKS, poison)["metadata"]["uid"]
            ]
            assert len(asked) <= 12, "tried ever more rarely"
            item = cluster.need(DISKS, poison)
            item["spec"] = disk(host="node-a")["spec"]
            cluster.server.write(DISKS, item)
            await told.is_ready(DISKS, poison, "Ready")

    play(tmp_path, story)


def test_a_host_that_hangs_holds_up_no_other(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        fast = Key("", "fast")
        cluster.server.write(POOLS, pool(tmp_path / "fast"))
        async with cluster.operator():
            await cluster.until(lambda: told.hosts(POOLS, fast) == dict.fromkeys(TWO, "Active"))
            cluster.hosts["node-a"].freeze()
            item = cluster.need(POOLS, fast)
            item["spec"]["autostart"] = False
            cluster.server.write(POOLS, item)
            since_s = cluster.time.clock.monotonic_s()
            store = cluster.hosts["node-b"].world.store
            await cluster.until(lambda: [each.generation for each in store.list_objects("StoragePool")] == [2])
            assert cluster.time.clock.monotonic_s() - since_s < 1.0
            await cluster.until(lambda: told.hosts(POOLS, fast) == {"node-a": "Unknown", "node-b": "Active"})
            cluster.hosts["node-a"].come_back()
            await told.is_ready(POOLS, fast, "Active")

    play(tmp_path, story, TWO)


def test_row_18_a_host_that_forgot_everything_makes_no_blank_disk_in_the_place_of_one_that_was_seen(
    tmp_path: Path,
) -> None:
    """Installed anew, or its state lies in a file system that is not mounted: who remembers is the cluster."""

    async def story(cluster: Cluster) -> None:
        told, host = Story(cluster), cluster.hosts["node-b"]
        cluster.server.write(DISKS, disk())
        async with cluster.operator():
            root, data = {"name": "root", "source": {"size": "4Mi"}}, {"name": "d", "source": {"disk": "data"}}
            cluster.create(machine(disks=[root, data], **at("node-b")))
            await cluster.running()
            await told.is_ready(DISKS, DATA)
            before = dict(host.world.volumes.files)
            assert len(before) == 2
            held = host.forget_everything()
            await told.says(DISKS, DATA, "VolumeLost")
            await cluster.until(lambda: cluster.condition("Ready").get("reason") == "VolumeLost", "never said so")
            assert host.world.volumes.files == {}
            assert host.domains() == {}
            assert "was there and is gone; mount or restore what held it" in told.message(DISKS, DATA)
            host.world.volumes.files.update(held)
            host.converge_soon()
            await cluster.running()
            await told.is_ready(DISKS, DATA)
            assert host.world.volumes.files == before

    play(tmp_path, story, TWO)
