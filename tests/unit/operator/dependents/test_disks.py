"""Disks get one host, and bind machines to it."""

from __future__ import annotations

from pathlib import Path

from tests.unit.operator.cluster import TWO, Cluster, machine, play
from tests.unit.operator.dependents.stories import DATA, DISKS, Story, at, disk, with_disk
from xvirt.operator.runtime.resources import Key


def test_a_disk_gets_its_host_from_its_first_machine_and_keeps_it(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(DISKS, disk())
        async with cluster.operator():
            await told.is_ready(DISKS, DATA, "NotNeeded")
            assert "nodeName" not in told.status(DISKS, DATA)
            cluster.create(with_disk(**at("node-b")))
            await cluster.running()
            assert told.status(DISKS, DATA)["nodeName"] == "node-b"
            cluster.delete()
            await cluster.gone(Key("default", "web"))
            assert told.held("VirtualDisk") == {"node-a": [], "node-b": ["data"]}
            await told.is_ready(DISKS, DATA, "Ready")
            assert told.status(DISKS, DATA)["nodeName"] == "node-b"

    play(tmp_path, story, TWO)


def test_a_later_machine_goes_where_its_disk_is(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.server.write(DISKS, disk(host="node-b"))
        async with cluster.operator():
            cluster.create(with_disk())
            await cluster.running()
            assert cluster.status()["nodeName"] == "node-b"

    play(tmp_path, story, TWO)


def test_a_machine_whose_disks_are_on_two_hosts_is_stalled_with_both_named(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.server.write(DISKS, disk("one", host="node-a"))
        cluster.server.write(DISKS, disk("two", host="node-b"))
        async with cluster.operator():
            cluster.create(machine(disks=[{"name": name, "source": {"disk": name}} for name in ("one", "two")]))
            await cluster.until(lambda: cluster.condition("Stalled").get("status") == "True")
            assert cluster.condition("Stalled")["reason"] == "DisksApart"
            message = cluster.condition("Stalled")["message"]
            assert "VirtualDisk one is on host node-a and VirtualDisk two is on host node-b" in message
            assert cluster.holders() == []

    play(tmp_path, story, TWO)


def test_a_machine_waits_for_a_disk_that_is_not_there_yet(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        async with cluster.operator():
            cluster.create(with_disk())
            await cluster.until(lambda: cluster.condition("Ready").get("reason") == "DiskNotFound")
            assert cluster.holders() == []
            cluster.server.write(DISKS, disk(host="node-b"))
            await cluster.running()
            assert cluster.status()["nodeName"] == "node-b"

    play(tmp_path, story, TWO)


def test_two_machines_that_come_with_a_new_disk_end_on_one_host(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.server.write(DISKS, disk())
        cluster.is_scheduling = False
        async with cluster.operator():
            for name in ("one", "two"):
                shared = {"name": "data", "source": {"disk": "data"}}
                cluster.create(machine(name, disks=[shared], runStrategy="Halted"))
            await cluster.until(lambda: len(cluster.holders()) == 2)
            for pod, host in zip(cluster.holders(), TWO, strict=True):
                cluster.bind(pod, host)
            cluster.is_scheduling = True
            keys = [Key("default", name) for name in ("one", "two")]
            await cluster.until(lambda: all(cluster.status(key).get("nodeName") for key in keys))
            assert len({cluster.status(key)["nodeName"] for key in keys}) == 1
            assert {pod["spec"].get("nodeName") for pod in cluster.holders()} == {"node-a"}

    play(tmp_path, story, TWO)


def test_a_machine_that_is_given_a_disk_of_another_host_says_so(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(DISKS, disk(host="node-b"))
        async with cluster.operator():
            await told.is_ready(DISKS, DATA, "Ready")
            cluster.create(machine(**at("node-a")))
            await cluster.running()
            cluster.change(disks=[{"name": "data", "source": {"disk": "data"}}])
            await cluster.until(lambda: cluster.condition("Stalled").get("reason") == "DiskElsewhere")
            assert "VirtualDisk data on host node-b" in cluster.condition("Stalled")["message"]
            cluster.change(disks=[])
            await cluster.running()

    play(tmp_path, story, TWO)


def test_row_48_a_disk_is_not_deleted_under_its_machine(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(DISKS, disk(deletionPolicy="Delete"))
        async with cluster.operator():
            cluster.create(with_disk(runStrategy="Halted"))
            await cluster.running()
            await told.is_ready(DISKS, DATA, "Ready")
            path = told.status(DISKS, DATA)["path"]
            cluster.server.remove(DISKS, DATA)
            await told.says(DISKS, DATA, "InUse")
            assert told.message(DISKS, DATA) == (
                "it is used by VirtualMachine default/web; it is deleted once they are gone"
            )
            assert told.held("VirtualDisk") == {"node-a": ["data"]}
            cluster.delete()
            await told.gone(DISKS, DATA)
            assert path not in cluster.hosts["node-a"].world.volumes.files

    play(tmp_path, story)


def test_row_17_a_disk_leaves_its_volume_behind_unless_it_says_delete(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(DISKS, disk("kept", host="node-a"))
        cluster.server.write(DISKS, disk("scratch", host="node-a", deletionPolicy="Delete"))
        async with cluster.operator():
            for name in ("kept", "scratch"):
                await told.is_ready(DISKS, Key("default", name), "Ready")
                cluster.server.remove(DISKS, Key("default", name))
                await told.gone(DISKS, Key("default", name))
            names = {Path(path).name for path in cluster.hosts["node-a"].world.volumes.files}
            assert "default_kept.qcow2" in names
            assert "default_scratch.qcow2" not in names

    play(tmp_path, story)


def test_a_copy_of_a_disk_is_made_where_that_disk_is(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(DISKS, disk("golden", host="node-b"))
        cluster.server.write(DISKS, disk("copy", source={"clone": "golden"}))
        cluster.server.write(DISKS, disk("wrong", source={"clone": "golden"}, host="node-a"))
        async with cluster.operator():
            await told.is_ready(DISKS, Key("default", "golden"), "Ready")
            await told.is_ready(DISKS, Key("default", "copy"), "Ready")
            assert told.status(DISKS, Key("default", "copy"))["nodeName"] == "node-b"
            await told.says(DISKS, Key("default", "wrong"), "CloneElsewhere")
            assert "spec.host: node-b" in told.message(DISKS, Key("default", "wrong"))
            assert told.held("VirtualDisk")["node-a"] == []

    play(tmp_path, story, TWO)
