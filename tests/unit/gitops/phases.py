"""Every phase of a machine and of a host as the operator writes it: played with the real operator and the real node service in memory.

`python -m tests.unit.gitops.phases` writes them anew to deploy/argocd, with what Argo CD is to make of each.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.fakes.argo import health
from tests.fakes.kstatus import Kstatus
from tests.unit.operator.cluster import VM, Cluster, machine, play
from xvirt.model.exchange import ObjectRef, OperateCall, Token, Verb
from xvirt.operator.kinds import VIRTUAL_HOSTS
from xvirt.operator.runtime.resources import NODES, Key

FOLDER = Path(__file__).resolve().parents[3] / "deploy/argocd/resource_customizations/xvirt.io/_"
DEFAULT_STATUS = {"observedGeneration": -1}
"""What an API server adds, by the CRD (held to a real one in tests/cluster)."""
Document = dict[str, Any]
Story = Callable[[Cluster], Awaitable[Document]]


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase: how it comes about, and what kstatus and Argo CD are to say of it."""

    story: Story
    kstatus: Kstatus
    argo: str


# machines


async def _fresh(cluster: Cluster) -> Document:
    cluster.create(machine())
    return {**cluster.vm(), "status": dict(DEFAULT_STATUS)}


async def _unschedulable(cluster: Cluster) -> Document:
    cluster.annotate(NODES, Key("", "node-a"), labels={"xvirt.io/host": "false"})
    cluster.create(machine())
    async with cluster.operator():
        return await _once(cluster, "Ready", reason="Unschedulable")


async def _scheduled(cluster: Cluster) -> Document:
    cluster.hosts["node-a"].is_converging = False
    cluster.create(machine())
    async with cluster.operator():
        return await _once(cluster, "Ready", reason="Scheduled")


async def _running(cluster: Cluster) -> Document:
    cluster.create(machine())
    async with cluster.operator():
        return await _once(cluster, "Ready", status="True")


async def _stopped(cluster: Cluster) -> Document:
    cluster.create(machine(runStrategy="Halted"))
    async with cluster.operator():
        return await _once(cluster, "Ready", status="True")


async def _paused(cluster: Cluster) -> Document:
    cluster.create(machine())
    async with cluster.operator():
        await cluster.running()
        ref = ObjectRef(uid=cluster.vm()["metadata"]["uid"])
        call = OperateCall(ref=ref, verb=Verb.PAUSE, operation_id="pause", token=Token(epoch=1))
        await cluster.hosts["node-a"].client().operate(call)
        return await _once(cluster, "Ready", reason="Paused")


async def _restart_required(cluster: Cluster) -> Document:
    cluster.create(machine())
    async with cluster.operator():
        await cluster.running()
        cluster.change(machine="pc")
        return await _once(cluster, "RestartRequired", status="True")


async def _not_seen_yet(cluster: Cluster) -> Document:
    cluster.create(machine())
    async with cluster.operator():
        await cluster.running()
        await cluster.calm()
    cluster.change(runStrategy="Halted")
    return cluster.vm()


async def _waiting_for_image(cluster: Cluster) -> Document:
    disk = {"name": "root", "source": {"image": "debian-12"}}
    cluster.create(machine(disks=[disk]))
    async with cluster.operator():
        return await _once(cluster, "Ready", reason="ImageNotFound")


async def _not_ready(cluster: Cluster) -> Document:
    cluster.create(machine(readinessProbe={"guestAgentPing": {}}))
    async with cluster.operator():
        return await _once(cluster, "Ready", reason="ReadinessProbePending")


async def _refused(cluster: Cluster) -> Document:
    cluster.create(machine(domain={"devices": {"emulator": "/bin/sh"}}))
    async with cluster.operator():
        return await _once(cluster, "Stalled", status="True")


async def _host_unreachable(cluster: Cluster) -> Document:
    cluster.create(machine())
    async with cluster.operator():
        await cluster.running()
        cluster.hosts["node-a"].go_away()
        return await _once(cluster, "Ready", status="Unknown")


async def _terminating(cluster: Cluster) -> Document:
    cluster.create(machine())
    async with cluster.operator():
        await cluster.running()
        cluster.hosts["node-a"].go_away()
        await _once(cluster, "Ready", status="Unknown")
        cluster.delete()
        return await _once(cluster, "Ready", reason="HostUnreachable")


async def _once(cluster: Cluster, kind: str, **expected: str) -> Document:
    """The machine when a condition is so and nobody writes any more."""
    await cluster.until(lambda: expected.items() <= cluster.condition(kind).items())
    await cluster.calm()
    assert expected.items() <= cluster.condition(kind).items(), cluster.condition(kind)
    return cluster.vm(VM)


# hosts


async def _host(cluster: Cluster) -> Document:
    async with cluster.operator():
        return await _host_once(cluster, "True")


async def _lost_host(cluster: Cluster) -> Document:
    async with cluster.operator():
        await _host_once(cluster, "True")
        cluster.hosts["node-a"].go_away()
        return await _host_once(cluster, "Unknown")


async def _host_once(cluster: Cluster, ready: str) -> Document:
    def is_so() -> bool:
        conditions = cluster.host().get("conditions") or ()
        return any(item["type"] == "Ready" and item["status"] == ready for item in conditions)

    await cluster.until(is_so)
    await cluster.calm()
    return cluster.need(VIRTUAL_HOSTS, Key("", "node-a"))


PHASES: Mapping[str, Phase] = {
    "machine_fresh": Phase(_fresh, Kstatus.IN_PROGRESS, "Progressing"),
    "machine_unschedulable": Phase(_unschedulable, Kstatus.IN_PROGRESS, "Progressing"),
    "machine_scheduled": Phase(_scheduled, Kstatus.IN_PROGRESS, "Progressing"),
    "machine_running": Phase(_running, Kstatus.CURRENT, "Healthy"),
    "machine_stopped_as_asked": Phase(_stopped, Kstatus.CURRENT, "Healthy"),
    "machine_paused_as_asked": Phase(_paused, Kstatus.CURRENT, "Healthy"),
    "machine_restart_required": Phase(_restart_required, Kstatus.CURRENT, "Healthy"),
    "machine_not_seen_yet": Phase(_not_seen_yet, Kstatus.IN_PROGRESS, "Progressing"),
    "machine_waiting_for_image": Phase(_waiting_for_image, Kstatus.IN_PROGRESS, "Progressing"),
    "machine_not_ready": Phase(_not_ready, Kstatus.IN_PROGRESS, "Progressing"),
    "machine_refused": Phase(_refused, Kstatus.FAILED, "Degraded"),
    "machine_host_unreachable": Phase(_host_unreachable, Kstatus.IN_PROGRESS, "Unknown"),
    "machine_terminating": Phase(_terminating, Kstatus.TERMINATING, "Progressing"),
    "host_ready": Phase(_host, Kstatus.CURRENT, "Healthy"),
    "host_unreachable": Phase(_lost_host, Kstatus.IN_PROGRESS, "Unknown"),
}


def record(phase: Phase) -> Document:
    """Play a phase; without what differs from run to run."""
    found: list[Document] = []

    async def story(cluster: Cluster) -> None:
        found.append(copy.deepcopy(await phase.story(cluster)))

    with tempfile.TemporaryDirectory() as directory:
        play(Path(directory), story)
        text = yaml.safe_dump(found[0], sort_keys=False, width=140).replace(f"{directory}/node-a", "/var/lib/xvirt")
    document: Document = yaml.safe_load(text)
    document["metadata"].pop("managedFields", None)
    document["metadata"].pop("resourceVersion", None)
    for pool in document["status"].get("pools", ()):
        pool["uuid"] = "37489606-15b0-4131-92af-0e1a1da08cfd"  # the hypervisor in memory draws it
    return document


def file_of(name: str) -> Path:
    """Where a phase is kept."""
    return FOLDER / "testdata" / f"{name}.yaml"


def write_all() -> None:
    """Record every phase anew, with Argo CD's own list of tests."""
    script = (FOLDER / "health.lua").read_text()
    tests = []
    for name, phase in PHASES.items():
        document = record(phase)
        file_of(name).write_text(yaml.safe_dump(document, sort_keys=False, width=140))
        tests.append({"healthStatus": health(script, document), "inputPath": f"testdata/{name}.yaml"})
        print(f"wrote {name}: {tests[-1]['healthStatus']}", file=sys.stderr)
    (FOLDER / "health_test.yaml").write_text(yaml.safe_dump({"tests": tests}, sort_keys=False, width=140))


if __name__ == "__main__":
    write_all()
