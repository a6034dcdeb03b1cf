"""The life of machines in a cluster, from `kubectl apply` to nothing left."""

from __future__ import annotations

from pathlib import Path

from tests.unit.operator.cluster import TWO, Cluster, machine, play
from xvirt.operator.kinds import VIRTUAL_HOSTS, VIRTUAL_MACHINES
from xvirt.operator.names import HOST_LABEL, PROFILE_LABEL
from xvirt.operator.runtime.resources import EVENTS, NAMESPACES, NODES, PODS, SECRETS, Key

THREE = ("node-a", "node-b", "node-c")
SECRET_TEXT = "hunter2-hunter2"


def test_row_02_a_machine_runs_on_the_host_that_its_holder_was_bound_to(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        made = cluster.create(machine())
        async with cluster.operator():
            await cluster.running()
            assert cluster.status()["nodeName"] == "node-a"
            assert cluster.domains() == {"node-a": [made["metadata"]["uid"]]}
            assert cluster.vm()["spec"] == made["spec"]
            assert cluster.vm()["metadata"]["finalizers"] == ["xvirt.io/operator"]
            await cluster.calm()
            vm_writes = [line for line in cluster.writes() if "web" in line or "/pods" in line]
            assert len(vm_writes) <= 6, vm_writes
            cluster.delete()
            await cluster.gone()
            assert cluster.domains() == {"node-a": []}

    play(tmp_path, story)


def test_fault_10_nothing_is_written_and_nobody_is_asked_once_all_is_as_declared(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        for number in range(5):
            cluster.create(machine(f"web-{number}"))
        async with cluster.operator():
            for number in range(5):
                await cluster.running(Key("default", f"web-{number}"))
            await cluster.calm(30.0)
            writes, calls = len(cluster.writes()), len(cluster.hosts["node-a"].calls)
            await cluster.calm(3600.0)  # several resyncs
            assert len(cluster.writes()) == writes
            assert len(cluster.hosts["node-a"].calls) == calls

    play(tmp_path, story)


def test_row_18_whoever_lost_all_memory_finds_every_machine_again(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        uid = cluster.create(machine())["metadata"]["uid"]
        async with cluster.operator(is_released=False):
            await cluster.running()
            await cluster.calm()
        calls = len(cluster.hosts["node-a"].calls)
        host = cluster.hosts["node-a"]
        host.world.store.close()
        for file in host.world.directory.glob("store.db*"):
            file.unlink()
        host.reboot_plugin()
        async with cluster.operator():
            await cluster.calm(60.0)
            assert cluster.domains() == {"node-a": [uid]}
            assert cluster.condition("Ready")["status"] == "True"
            assert not any(call[0] != "apply" for call in host.calls[calls:])

    play(tmp_path, story)


def test_a_changed_spec_reaches_the_domain(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.create(machine(cpu={"cores": 1, "max": 4}))
        async with cluster.operator():
            await cluster.running()
            cluster.change(cpu={"cores": 2, "max": 4})
            await cluster.until(lambda: cluster.status().get("cpus") == 2)
            assert cluster.status()["observedGeneration"] == 2

    play(tmp_path, story)


def test_row_81_a_machine_that_was_off_comes_back_as_itself(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        uid = cluster.create(machine(nics=[{"name": "lan", "bridge": "br0"}], runStrategy="Halted"))["metadata"]["uid"]
        cluster.annotate(NAMESPACES, Key("", "default"), labels={PROFILE_LABEL: "privileged"})
        async with cluster.operator():
            await cluster.until(lambda: cluster.status().get("powerState") == "Stopped")
            assert cluster.condition("Ready")["status"] == "True"
            stopped = cluster.status()
            cluster.change(runStrategy="Always")
            await cluster.until(lambda: cluster.status().get("powerState") == "Running")
            assert cluster.domains() == {"node-a": [uid]}
            assert cluster.status()["uuid"] == stopped["uuid"] == uid
            assert [nic["mac"] for nic in cluster.status()["interfaces"]] == [
                nic["mac"] for nic in stopped["interfaces"]
            ]

    play(tmp_path, story)


# refusals


def test_fault_16_a_spec_that_is_refused_and_then_mended_recovers_by_itself(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.create(machine(nics=[{"name": "lan", "network": "lan", "bridge": "br0"}]))
        async with cluster.operator():
            await cluster.until(lambda: cluster.condition("Stalled").get("status") == "True")
            stalled = cluster.condition("Stalled")
            assert stalled["reason"] == "InvalidSpec"
            assert "spec.nics[0]" in stalled["message"]
            assert cluster.status()["observedGeneration"] == 1
            cluster.change(nics=[])
            await cluster.running()

    play(tmp_path, story)


def test_fault_16_a_refused_change_leaves_the_machine_running_and_is_taken_back(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        made = cluster.create(machine())
        async with cluster.operator():
            await cluster.running()
            cluster.change(devices={"emulator": "/bin/sh"}, base="Bare")
            await cluster.until(lambda: cluster.condition("Stalled").get("status") == "True")
            assert cluster.status()["powerState"] == "Running"
            item = cluster.vm()
            item["spec"] = made["spec"]
            cluster.server.write(VIRTUAL_MACHINES, item)
            await cluster.until(lambda: cluster.status().get("observedGeneration") == 3)
            assert cluster.condition("Stalled")["status"] == "False"
            assert cluster.condition("Ready")["status"] == "True"

    play(tmp_path, story)


def test_fault_14_a_change_that_is_taken_back_at_once_is_as_if_it_never_was(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        made = cluster.create(machine())
        async with cluster.operator():
            await cluster.running()
            await cluster.calm()
            before = cluster.status()
            for pause_s in (0.0, 0.01, 0.5):
                cluster.change(cpu={"cores": 2})
                await cluster.until(lambda: True)
                await cluster.calm(pause_s + 0.6)
                item = cluster.vm()
                item["spec"] = made["spec"]
                cluster.server.write(VIRTUAL_MACHINES, item)
                await cluster.running()
                await cluster.calm()
            after = cluster.status()
            assert {**after, "observedGeneration": 1, "conditions": []} == {**before, "conditions": []}

    play(tmp_path, story)


def test_fault_12_a_machine_that_cannot_be_understood_holds_nobody_up(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.create(machine("poison", memory={"size": {"what": "is this"}}, cpu=7, placement=["no"]))
        cluster.create(machine())
        async with cluster.operator():
            await cluster.running()
            await cluster.calm(600.0)
            gets = len(cluster.server.sent)
            await cluster.calm(600.0)
            assert len(cluster.server.sent) - gets < 2000
            cluster.delete(Key("default", "poison"))
            await cluster.gone(Key("default", "poison"))

    play(tmp_path, story)


def test_row_73_a_namespaces_label_decides_what_its_machines_may(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.create(machine(disks=[{"name": "data", "source": {"path": "/srv/data.qcow2"}}]))
        async with cluster.operator():
            await cluster.until(lambda: cluster.condition("Stalled").get("status") == "True")
            assert cluster.condition("Stalled")["reason"] == "PolicyRefused"
            cluster.annotate(NAMESPACES, Key("", "default"), labels={PROFILE_LABEL: "privileged"})
            await cluster.until(lambda: cluster.condition("Stalled").get("reason") != "PolicyRefused")
            cluster.annotate(NAMESPACES, Key("", "default"), labels={PROFILE_LABEL: None})
            await cluster.until(lambda: cluster.condition("Stalled").get("reason") == "PolicyRefused")

    play(tmp_path, story)


# Secrets


def test_a_secret_reaches_the_node_and_nothing_else(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.put_secret("web-init", userData=f"#cloud-config\npassword: {SECRET_TEXT}\n")
        cluster.create(machine(cloudInit={"userData": {"secret": "web-init", "key": "userData"}}))
        async with cluster.operator():
            await cluster.running()
            await cluster.calm()
            (stored,) = cluster.hosts["node-a"].world.store.list_objects()
            assert SECRET_TEXT.encode() in stored.secrets["web-init"]["userData"]
            for resource in (VIRTUAL_MACHINES, PODS, EVENTS, VIRTUAL_HOSTS):
                assert SECRET_TEXT not in str(cluster.server.objects(resource))
            assert SECRET_TEXT not in str(stored.document)

    play(tmp_path, story)


def test_a_secret_that_comes_later_or_changes_is_a_change_of_the_machine(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.create(machine(cloudInit={"userData": {"secret": "web-init", "key": "userData"}}))
        async with cluster.operator():
            await cluster.until(lambda: "web-init" in str(cluster.status().get("conditions")))
            cluster.put_secret("web-init", userData="one")
            await cluster.running()
            item = cluster.need(SECRETS, Key("default", "web-init"))
            item["stringData"] = {"userData": "two"}
            cluster.server.write(SECRETS, item)

            def content() -> bytes:
                (stored,) = cluster.hosts["node-a"].world.store.list_objects()
                return stored.secrets["web-init"]["userData"]

            await cluster.until(lambda: content() == b"two")

    play(tmp_path, story)


# placement


def test_row_05_a_machine_without_room_is_pending_with_the_schedulers_words_and_runs_once_there_is_some(
    tmp_path: Path,
) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.create(machine(placement={"nodeSelector": {"zone": "x"}}))
        async with cluster.operator():
            await cluster.until(lambda: cluster.status().get("printableStatus") == "Pending")
            assert cluster.condition("Ready")["message"] == "0/1 nodes are available."
            cluster.annotate(NODES, Key("", "node-a"), labels={"zone": "x"})
            await cluster.running()

    play(tmp_path, story)


def test_row_16_a_cordoned_host_takes_no_new_machine_and_keeps_those_it_has(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.create(machine())
        async with cluster.operator():
            await cluster.running()
            where = cluster.status()["nodeName"]
            other = next(name for name in cluster.hosts if name != where)
            item = cluster.need(VIRTUAL_HOSTS, Key("", where))
            item["spec"]["unschedulable"] = True
            cluster.server.write(VIRTUAL_HOSTS, item)
            await cluster.until(lambda: cluster.host(where).get("unschedulable") is True)
            for number in range(4):
                cluster.create(machine(f"more-{number}"))
            for number in range(4):
                await cluster.running(Key("default", f"more-{number}"))
                assert cluster.status(Key("default", f"more-{number}"))["nodeName"] == other
            assert cluster.condition("Ready")["status"] == "True"
            # Its holder can still be replaced there.
            (pod,) = cluster.server.objects(PODS)[-1:]
            for pod in cluster.holders():
                if pod["spec"]["nodeName"] == where:
                    pod["metadata"]["finalizers"] = []
                    cluster.server.write(PODS, pod)
                    cluster.server.remove(PODS, Key("default", pod["metadata"]["name"]), 0)
            await cluster.until(lambda: sum(pod["spec"].get("nodeName") == where for pod in cluster.holders()) == 1)

    play(tmp_path, story, TWO)


def test_a_host_whose_label_is_taken_away_keeps_its_machines_and_is_forgotten_once_it_has_none(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.create(machine())
        async with cluster.operator():
            await cluster.running()
            cluster.annotate(NODES, Key("", "node-a"), labels={HOST_LABEL: "false"})
            await cluster.calm(60.0)
            assert cluster.condition("Ready")["status"] == "True"
            cluster.delete()
            await cluster.gone()
            await cluster.until(lambda: not cluster.server.objects(VIRTUAL_HOSTS))

    play(tmp_path, story)
