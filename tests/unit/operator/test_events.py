"""What a machine's life leaves in the cluster's Events, and what that costs."""

from __future__ import annotations

from pathlib import Path

from tests.unit.operator.cluster import VM, Cluster, machine, play
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
