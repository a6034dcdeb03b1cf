"""What becomes of machines when hosts, holders, names and operators come and go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.operator.cluster import TWO, VM, Cluster, machine, play
from xvirt.model.exchange import EventType
from xvirt.operator.kinds import VIRTUAL_HOSTS, VIRTUAL_MACHINES
from xvirt.operator.names import FORCE_DELETE_ANNOTATION, PROFILE_LABEL
from xvirt.operator.runtime.resources import NAMESPACES, NODES, PODS, SECRETS, Key

THREE = ("node-a", "node-b", "node-c")
SECRET_TEXT = "hunter2-hunter2"


# hosts that are away


def test_row_14_fault_19_a_lost_hosts_machines_are_unknown_and_start_nowhere_else(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        uid = cluster.create(machine())["metadata"]["uid"]
        async with cluster.operator():
            await cluster.running()
            where = cluster.status()["nodeName"]
            cluster.hosts[where].go_away()
            await cluster.until(lambda: cluster.condition("Ready").get("status") == "Unknown")
            assert cluster.status()["printableStatus"] == "Unknown"
            await cluster.until(lambda: cluster.host(where)["heartbeat"] == "Lost")
            await cluster.calm(1200.0)
            assert sum(uid in found for found in cluster.domains().values()) == 1
            cluster.hosts[where].come_back()
            await cluster.running()
            assert sum(uid in found for found in cluster.domains().values()) == 1
            await cluster.until(lambda: cluster.host(where)["heartbeat"] == "Current")

    play(tmp_path, story, THREE)


def test_row_14_one_frozen_host_does_not_slow_the_others(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        for number in range(3):
            cluster.create(machine(f"on-{number}", placement={"host": THREE[number]}))
        async with cluster.operator():
            for number in range(3):
                await cluster.running(Key("default", f"on-{number}"))
            cluster.hosts["node-b"].freeze()
            cluster.change(Key("default", "on-1"), cpu={"cores": 2})
            for number in (0, 2):
                began_s = cluster.time.clock.monotonic_s()
                cluster.change(Key("default", f"on-{number}"), runStrategy="Halted")
                key = Key("default", f"on-{number}")
                await cluster.until(lambda key=key: cluster.status(key).get("powerState") == "Stopped")  # type: ignore[misc]
                assert cluster.time.clock.monotonic_s() - began_s < 2.0
            await cluster.until(lambda: cluster.condition("Ready", Key("default", "on-1")).get("status") == "Unknown")
            cluster.hosts["node-b"].come_back()
            await cluster.running(Key("default", "on-1"))
            await cluster.until(lambda: cluster.status(Key("default", "on-1")).get("observedGeneration") == 2)

    play(tmp_path, story, THREE)


def test_fault_19_a_node_object_that_is_deleted_and_comes_back_changes_nothing_of_what_runs(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        uid = cluster.create(machine())["metadata"]["uid"]
        async with cluster.operator():
            await cluster.running()
            where = cluster.status()["nodeName"]
            cluster.server.remove(NODES, Key("", where))
            for pod in cluster.holders():  # the pod garbage collector
                cluster.server.remove(PODS, Key("default", pod["metadata"]["name"]), 0)
            await cluster.calm(120.0)
            assert cluster.condition("Ready")["status"] == "True"
            assert sum(uid in found for found in cluster.domains().values()) == 1
            cluster.add_node(where)
            await cluster.until(lambda: [pod["spec"].get("nodeName") for pod in cluster.holders()] == [where])
            assert cluster.condition("Ready")["status"] == "True"

    play(tmp_path, story, TWO)


def test_fault_21_a_plugin_that_is_restarted_at_any_moment_is_caught_up_with(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        host = cluster.hosts["node-a"]
        uid = cluster.create(machine())["metadata"]["uid"]
        host.after_call = lambda _: host.reboot_plugin()
        async with cluster.operator():
            await cluster.running()
            host.after_call = lambda _: None
            host.world.hypervisor.destroy_domain(uid)
            await cluster.running()
            assert cluster.domains() == {"node-a": [uid]}

    play(tmp_path, story)


# holders


def test_fault_20_whatever_becomes_of_a_holder_its_machine_runs_on_where_it_is(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        uid = cluster.create(machine())["metadata"]["uid"]
        async with cluster.operator():
            await cluster.running()
            where = cluster.status()["nodeName"]
            calls = len(cluster.hosts[where].calls)

            def holder() -> dict[str, object]:
                (pod,) = cluster.holders()
                return pod

            for how in ("deleted", "evicted", "out of memory", "gone"):
                pod = holder()
                before = pod["metadata"]["uid"]  # type: ignore[index]
                name = Key("default", pod["metadata"]["name"])  # type: ignore[index]
                if how == "deleted":  # also how the scheduler preempts and how a drain evicts
                    cluster.server.remove(PODS, name, 30)
                elif how == "gone":
                    pod["metadata"]["finalizers"] = []  # type: ignore[index]
                    cluster.server.write(PODS, pod)
                    cluster.server.remove(PODS, name, 0)
                else:
                    reason = "Evicted" if how == "evicted" else "OOMKilled"
                    cluster.server.write(PODS, {**pod, "status": {"phase": "Failed", "reason": reason}}, "status")
                await cluster.until(
                    lambda before=before: (
                        [  # type: ignore[misc]
                            (pod["metadata"]["uid"] != before, pod["spec"].get("nodeName")) for pod in cluster.holders()
                        ]
                        == [(True, where)]
                    ),
                    f"{how}: {cluster.describe()}",
                )
                assert cluster.condition("Ready")["status"] == "True"
            assert sum(uid in found for found in cluster.domains().values()) == 1
            assert cluster.hosts[where].calls[calls:] == []

    play(tmp_path, story, TWO)


def test_fault_20_a_preempted_holder_keeps_its_room_as_long_as_there_is_none_for_its_successor(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.create(machine())
        async with cluster.operator():
            await cluster.running()
            item = cluster.need(VIRTUAL_HOSTS, Key("", "node-a"))
            item["spec"]["maxMachines"] = 1
            cluster.server.write(VIRTUAL_HOSTS, item)
            await cluster.calm(30.0)
            (pod,) = cluster.holders()
            cluster.server.remove(PODS, Key("default", pod["metadata"]["name"]), 3600)
            await cluster.calm(120.0)
            bound = [pod for pod in cluster.holders() if pod["spec"].get("nodeName")]
            waiting = [pod for pod in cluster.holders() if not pod["spec"].get("nodeName")]
            assert (len(bound), len(waiting)) == (1, 1)
            assert cluster.condition("Ready")["status"] == "True"
            item = cluster.need(VIRTUAL_HOSTS, Key("", "node-a"))
            item["spec"]["maxMachines"] = 5
            cluster.server.write(VIRTUAL_HOSTS, item)
            await cluster.until(
                lambda: [pod["metadata"]["uid"] for pod in cluster.holders()] == [waiting[0]["metadata"]["uid"]]
            )

    play(tmp_path, story)


# deletion


def test_fault_17_a_deletion_waits_for_a_host_that_is_away(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.create(machine())
        async with cluster.operator():
            await cluster.running()
            cluster.hosts["node-a"].go_away()
            cluster.delete()
            await cluster.until(lambda: cluster.condition("Ready").get("reason") == "HostUnreachable")
            await cluster.calm(600.0)
            assert cluster.vm()["metadata"]["finalizers"] == ["xvirt.io/operator"]
            assert len(cluster.holders()) == 1
            cluster.hosts["node-a"].come_back()
            await cluster.gone()
            assert cluster.domains() == {"node-a": []}

    play(tmp_path, story)


def test_fault_17_a_forced_deletion_tells_in_an_event_what_it_leaves_behind(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        uid = cluster.create(machine())["metadata"]["uid"]
        async with cluster.operator():
            await cluster.running()
            cluster.hosts["node-a"].go_away()
            cluster.delete()
            cluster.annotate(VIRTUAL_MACHINES, VM, annotations={FORCE_DELETE_ANNOTATION: "true"})
            await cluster.gone()
            await cluster.until(lambda: cluster.events("LeftBehind"))
            (event,) = cluster.events("LeftBehind")
            assert uid in event["note"]
            assert "node-a" in event["note"]
            assert event["regarding"]["uid"] == uid
            # What was left is told of by its host, and nobody touches it.
            cluster.hosts["node-a"].come_back()
            await cluster.until(lambda: cluster.host().get("undeclared") == ["VirtualMachine default/web"])
            await cluster.calm(120.0)
            assert cluster.domains() == {"node-a": [uid]}

    play(tmp_path, story)


def test_fault_04_a_new_machine_of_the_same_name_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        old = cluster.create(machine())["metadata"]["uid"]
        async with cluster.operator():
            await cluster.running()
            item = cluster.vm()
            item["metadata"]["finalizers"] = []  # by hand, as people do
            cluster.server.write(VIRTUAL_MACHINES, item)
            cluster.delete()
            await cluster.until(lambda: cluster.server.find(VIRTUAL_MACHINES, VM) is None)
            new = cluster.create(machine())["metadata"]["uid"]
            await cluster.until(lambda: cluster.condition("Stalled").get("reason") == "NameTaken")
            assert old in cluster.condition("Stalled")["message"]
            await cluster.calm(60.0)
            assert cluster.domains() == {"node-a": [old]}
            assert new != old

    play(tmp_path, story)


def test_fault_04_a_machine_that_is_deleted_and_made_anew_is_another_one(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        async with cluster.operator():
            seen = set()
            for _ in range(3):
                uid = cluster.create(machine())["metadata"]["uid"]
                await cluster.running()
                assert cluster.domains() == {"node-a": [uid]}
                seen.add(uid)
                cluster.delete()
                await cluster.gone()
            assert len(seen) == 3

    play(tmp_path, story)


def test_fault_18_a_namespace_that_is_deleted_while_machines_are_made_leaves_nothing(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.server.write(NAMESPACES, {"metadata": {"name": "team"}})
        async with cluster.operator():
            for number in range(6):
                cluster.create(machine(f"web-{number}", "team"))
                await cluster.until(lambda: True)
            # As the namespace controller: first all pods, and what they come from only once no pod is left.
            namespace = cluster.need(NAMESPACES, Key("", "team"))
            namespace["metadata"]["finalizers"] = ["kubernetes"]
            cluster.server.write(NAMESPACES, namespace)
            cluster.server.remove(NAMESPACES, Key("", "team"))
            for pod in cluster.holders():
                cluster.server.remove(PODS, Key("team", pod["metadata"]["name"]), 30)
            await cluster.until(lambda: not cluster.holders())
            for number in range(6):
                cluster.delete(Key("team", f"web-{number}"))
            await cluster.until(lambda: not cluster.server.objects(VIRTUAL_MACHINES) and not cluster.holders())
            await cluster.calm()
            assert cluster.domains() == {"node-a": []}

    play(tmp_path, story)


# several operators


def test_fault_13_of_two_operators_only_the_one_that_leads_does_anything(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        uid = cluster.create(machine())["metadata"]["uid"]
        async with cluster.operator() as first, cluster.operator() as second:
            await cluster.running()
            assert first.is_ready
            assert second.is_ready
            assert (first.lease.is_leader, second.lease.is_leader) == (True, False)
            assert {call[2] for call in cluster.hosts["node-a"].calls} == {1}
            assert cluster.domains() == {"node-a": [uid]}

    play(tmp_path, story)


def test_row_74_a_hand_over_at_once_is_seen_by_the_hosts_as_a_new_epoch(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.create(machine())
        async with cluster.operator():
            await cluster.running()
        async with cluster.operator():
            cluster.change(cpu={"cores": 2})
            await cluster.until(lambda: cluster.status().get("observedGeneration") == 2)
            assert cluster.hosts["node-a"].calls[-1][2] == 2

    play(tmp_path, story)


# taking over


def test_row_10_a_domain_that_was_there_is_taken_over_as_it_is_and_left_on_delete(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        host = cluster.hosts["node-a"]
        uuid = host.define_by_hand("Hand made")
        drafted = host.draft(uuid)
        spec = {**drafted["spec"], "placement": {"host": "node-a"}}
        cluster.annotate(NAMESPACES, Key("", "default"), labels={PROFILE_LABEL: "privileged"})
        item = {
            "metadata": {"name": "web", "namespace": "default", "annotations": {"xvirt.io/adopt-domain": uuid}},
            "spec": spec,
        }
        made = cluster.create(item)
        async with cluster.operator():
            await cluster.until(lambda: cluster.status().get("uuid") == uuid)
            await cluster.until(lambda: cluster.condition("Ready").get("status") == "True")
            assert made["metadata"]["uid"] != uuid
            assert cluster.domains() == {"node-a": [uuid]}
            assert [call[0] for call in host.calls] == ["adopt"]
            cluster.delete()
            await cluster.gone()
            assert host.domains()[uuid] == ("Hand made", True)

    play(tmp_path, story)


def test_row_10_a_machine_that_was_given_back_is_taken_over_again_with_the_secrets_that_it_names(
    tmp_path: Path,
) -> None:
    declared: dict[str, Any] = {"cloudInit": {"userData": {"secret": "first-boot"}}, "deletionPolicy": "Detach"}

    async def story(cluster: Cluster) -> None:
        cluster.put_secret("first-boot", userData="#cloud-config\n")
        uuid = cluster.create(machine(**declared))["metadata"]["uid"]
        async with cluster.operator():
            await cluster.running()
            cluster.delete()
            await cluster.gone()
            cluster.server.remove(SECRETS, Key("default", "first-boot"))
            adopting: dict[str, Any] = {"placement": {"host": "node-a"}, "annotations": {"xvirt.io/adopt-domain": uuid}}
            cluster.create(machine(**declared, **adopting))
            await cluster.until(lambda: cluster.condition("Stalled").get("status") == "True")
            assert "Secret first-boot with key userData" in cluster.condition("Stalled")["message"]
            cluster.put_secret("first-boot", userData="#cloud-config\n")
            await cluster.running()
            assert cluster.status()["uuid"] == uuid
            assert cluster.domains() == {"node-a": [uuid]}
            (stored,) = cluster.hosts["node-a"].world.store.list_objects("VirtualMachine")
            assert stored.secrets == {"first-boot": {"userData": b"#cloud-config\n"}}
            assert [call[0] for call in cluster.hosts["node-a"].calls][-1] == "adopt"

    play(tmp_path, story)


def test_what_nodes_warn_of_becomes_an_event_of_the_machine(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.create(machine())
        async with cluster.operator():
            await cluster.running()
            (stored,) = cluster.hosts["node-a"].world.store.list_objects()
            cluster.hosts["node-a"].world.converger.tell(stored, EventType.WARNING, "WatchdogExpired", "it did")
            await cluster.until(lambda: cluster.events("WatchdogExpired"))
            (event,) = cluster.events("WatchdogExpired")
            assert event["type"] == "Warning"
            assert event["regarding"]["uid"] == cluster.vm()["metadata"]["uid"]

    play(tmp_path, story)


def test_a_host_outside_of_the_cluster_takes_machines_that_name_it_as_long_as_it_has_room(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.server.remove(NODES, Key("", "far"))
        cluster.server.write(
            VIRTUAL_HOSTS, {"metadata": {"name": "far"}, "spec": {"address": "kvm.example:9443", "maxMachines": 2}}
        )
        keys = [Key("default", f"web-{number}") for number in range(3)]
        for key in keys:
            cluster.create(machine(key.name, placement={"host": "far"}))
        cluster.create(machine())
        async with cluster.operator():
            await cluster.running()
            assert cluster.status()["nodeName"] == "node-a"
            await cluster.until(lambda: len(cluster.hosts["far"].domains()) == 2)
            await cluster.calm(60.0)
            waiting = [key for key in keys if cluster.condition("Ready", key)["reason"] == "Unschedulable"]
            assert len(waiting) == 1
            assert [pod["spec"]["nodeName"] for pod in cluster.holders()] == ["node-a"]
            first = next(key for key in keys if key not in waiting)
            cluster.delete(first)
            await cluster.gone(first)
            await cluster.running(waiting[0])
            assert cluster.status(waiting[0])["nodeName"] == "far"

    play(tmp_path, story, ("node-a", "far"))
