"""What a machine's life leaves in the cluster's Events, and what that costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.operator.cluster import VM, Cluster, machine, play
from tests.unit.operator.dependents.stories import DATA, DISKS, Story, disk
from xvirt.model.exchange import Event, EventType, ObjectRef
from xvirt.operator.operator import Operator
from xvirt.operator.runtime.recorder import OBJECT_BURST_MAX, SEND_INTERVAL_S

WRITES_MAX = 6
"""Of one machine, from its creation to Running."""


def told(cluster: Cluster) -> list[tuple[str, str]]:
    """Reasons and notes of the machine's events, oldest first."""
    uid = cluster.vm()["metadata"]["uid"]
    found = [event for event in cluster.events() if event["regarding"]["uid"] == uid]
    return [(event["reason"], event["note"]) for event in sorted(found, key=lambda event: str(event["eventTime"]))]


def test_a_machine_runs_after_six_writes_at_most_with_its_one_event(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        async with cluster.operator():
            await cluster.calm()
            known = len(cluster.server.sent)
            made = cluster.create(machine())
            await cluster.running()
            await cluster.calm(30.0)
            sent = [f"{each.method} {each.path}" for each in cluster.server.sent[known:] if each.is_write]
            sent = [each for each in sent if "/leases" not in each and "/virtualhosts" not in each]
            assert len(sent) <= WRITES_MAX, sent
            assert told(cluster) == [("Started", "host node-a: created and started")]
            (event,) = cluster.events()
            assert event["type"] == "Normal"
            regarding = {
                "apiVersion": "xvirt.io/v1alpha1",
                "kind": "VirtualMachine",
                "namespace": "default",
                "name": "web",
                "uid": made["metadata"]["uid"],
            }
            assert event["regarding"].items() >= regarding.items()

    play(tmp_path, story)


def test_what_is_done_with_a_machine_is_told_in_its_order(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.create(machine(cpu={"cores": 1, "max": 4}, runStrategy="Halted"))
        async with cluster.operator():
            await cluster.running()
            for change in (
                {"runStrategy": "Always"},
                {"cpu": {"cores": 2, "max": 4}},
                {"cpu": {"cores": 2, "max": 8}},
                {"runStrategy": "Halted"},
            ):
                cluster.change(**change)
                await cluster.until(
                    lambda: cluster.status().get("observedGeneration") == cluster.vm()["metadata"]["generation"]
                )
                await cluster.running()
                await cluster.calm()
            assert [reason for reason, _ in told(cluster)] == [
                "Created",
                "Started",
                "ChangedLive",
                "RestartRequired",
                "Stopped",
            ]
            notes = dict(told(cluster))
            assert notes["ChangedLive"] == "node-a: set 2 vCPUs live"
            assert "spec.cpu.max" in notes["RestartRequired"]

    play(tmp_path, story)


def test_another_operator_says_nothing_again(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.create(machine())
        async with cluster.operator():
            await cluster.running()
            await cluster.calm()
        before = told(cluster)
        async with cluster.operator():
            await cluster.calm(60.0)
            assert told(cluster) == before

    play(tmp_path, story)


def test_what_goes_to_and_fro_is_counted_and_not_told_anew(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.create(machine(cpu={"cores": 1, "max": 4}))
        async with cluster.operator():
            await cluster.running()
            known = len(cluster.server.sent)
            for _ in range(30):
                for most, waits in ((8, "True"), (4, "False")):
                    cluster.change(cpu={"cores": 1, "max": most})
                    await cluster.until(
                        lambda waits=waits: cluster.condition("RestartRequired").get("status") == waits  # type: ignore[misc]
                    )
            await cluster.rest(130.0)
            sent = [each for each in cluster.server.sent[known:] if each.is_write and "/events" in each.path]
            assert len(sent) <= OBJECT_BURST_MAX
            (event,) = cluster.events("RestartRequired")
            assert event["series"]["count"] == 30

    play(tmp_path, story)


def test_what_a_node_tells_of_a_machine_that_is_gone_is_nothing(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.create(machine())
        async with cluster.operator():
            await cluster.running()
            await cluster.calm()
            before = len(cluster.events())
            cluster.delete()
            await cluster.gone(VM)
            await cluster.rest(10.0 + SEND_INTERVAL_S)
            assert len(cluster.events()) == before

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("act", "reason", "note"),
    [
        ("crash", "Crashed", "host node-a: the guest or its QEMU ended by a crash (crashed)"),
        ("guest_poweroff", "Stopped", "host node-a: stopped (shutdown)"),
    ],
)
def test_what_became_of_a_machine_while_its_host_was_away_is_told_once_it_is_back(
    tmp_path: Path, act: str, reason: str, note: str
) -> None:
    async def story(cluster: Cluster) -> None:
        host = cluster.hosts["node-a"]
        uid = cluster.create(machine(runStrategy="Manual"))["metadata"]["uid"]
        async with cluster.operator():
            await cluster.running()
            host.world.hypervisor.start_domain(uid)
            host.converge_soon()
            await cluster.until(lambda: cluster.status().get("powerState") == "Running")
            host.go_away()
            await cluster.until(lambda: cluster.status().get("powerState") == "Unknown")
            getattr(host.world.hypervisor, act)(uid)
            host.come_back()
            host.converge_soon()
            await cluster.until(lambda: cluster.events(reason))
            await cluster.calm()
            assert [text for word, text in told(cluster) if word in ("Stopped", "Crashed")] == [note]

    play(tmp_path, story)


def _tell(operator: Operator, kind: str, name: str, uid: str) -> None:
    """A host's passing word and its word for good."""
    links = operator.links
    assert links is not None
    for reason in ("Restarting", "VolumeRetained"):
        ref = ObjectRef(kind=kind, namespace="default", name=name, uid=uid)
        links.event_seen("node-a", Event(ref=ref, type=EventType.NORMAL, reason=reason, message=f"of {uid}"))


def _said(cluster: Cluster) -> set[tuple[str, str, str]]:
    found = [event for event in cluster.events() if event["reason"] in ("Restarting", "VolumeRetained")]
    return {(event["reason"], event["note"], event["regarding"]["uid"]) for event in found}


async def _tell_of_both(cluster: Cluster, operator: Operator, named: tuple[str, str], uid: str) -> None:
    """A host tells of an earlier object of a name, and of the one with this uid; of the earlier one only what is for good is told."""
    _tell(operator, *named, "the-earlier")
    _tell(operator, *named, uid)
    await cluster.calm()
    assert _said(cluster) == {
        ("VolumeRetained", "node-a: of the-earlier", "the-earlier"),
        ("Restarting", f"node-a: of {uid}", uid),
        ("VolumeRetained", f"node-a: of {uid}", uid),
    }


def test_what_a_host_tells_of_an_earlier_machine_of_the_name_is_not_told_of_the_new_one(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        uid = cluster.create(machine())["metadata"]["uid"]
        async with cluster.operator() as operator:
            await cluster.running()
            await _tell_of_both(cluster, operator, ("VirtualMachine", "web"), uid)

    play(tmp_path, story)


def test_what_a_host_tells_of_an_earlier_disk_of_the_name_is_not_told_of_the_new_one(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        cluster.server.write(DISKS, disk(host="node-a"))
        async with cluster.operator() as operator:
            await Story(cluster).is_ready(DISKS, DATA, "Ready")
            uid = cluster.need(DISKS, DATA)["metadata"]["uid"]
            await _tell_of_both(cluster, operator, ("VirtualDisk", "data"), uid)

    play(tmp_path, story)


def test_a_machine_that_was_taken_over_is_known_by_what_its_host_calls_it(tmp_path: Path) -> None:
    async def story(cluster: Cluster) -> None:
        uuid = cluster.create(machine(deletionPolicy="Detach"))["metadata"]["uid"]
        async with cluster.operator() as operator:
            await cluster.running()
            cluster.delete()
            await cluster.gone()
            made = cluster.create(machine(placement={"host": "node-a"}, annotations={"xvirt.io/adopt-domain": uuid}))
            await cluster.running()
            assert cluster.status()["uuid"] == uuid
            _tell(operator, "VirtualMachine", "web", uuid)
            await cluster.calm()
            uid = made["metadata"]["uid"]
            assert _said(cluster) == {
                ("Restarting", f"node-a: of {uuid}", uid),
                ("VolumeRetained", f"node-a: of {uuid}", uid),
            }

    play(tmp_path, story)
