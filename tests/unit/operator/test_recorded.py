"""A cluster that an earlier release made is taken over by this one: nothing is restarted, nothing is made anew, hardly anything is written.
`record.py` has recorded it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.operator.cluster import VM, Cluster, play
from tests.unit.operator.dependents.stories import DATA, DEBIAN, DISKS, IMAGES, LAN, NETWORKS, POOLS
from tests.unit.operator.record import HERE, HOST, STATES, load
from xvirt.operator.kinds import VIRTUAL_MACHINES
from xvirt.operator.runtime.resources import NODES, PODS, Key

RELEASES = sorted(path.name for path in STATES.iterdir())
OBJECTS = {DISKS: DATA, IMAGES: DEBIAN, NETWORKS: LAN, POOLS: Key("", "fast")}
OFF, WAITING = Key("default", "off"), Key("default", "waiting")
TOLD = [f"PATCH /apis/xvirt.io/v1alpha1/virtualhosts/{HOST}/status"]
"""The plugin of the host is another process now: `bootId`. Where a release has more to say, say here what, and why."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return HERE


def picture(cluster: Cluster) -> Any:
    """What must not change: domains with their QEMUs, holders, volumes, objects that are there."""
    hypervisor = cluster.hosts[HOST].world.hypervisor
    return {
        "domains": sorted((each.uuid, each.name, each.domain_id, each.state) for each in hypervisor.list_domains()),
        "holders": sorted((pod["metadata"]["uid"], pod["spec"].get("nodeName")) for pod in cluster.holders()),
        "volumes": sorted(cluster.hosts[HOST].world.volumes.files),
        "specs": [cluster.need(VIRTUAL_MACHINES, key)["spec"] for key in (VM, OFF, WAITING)],
        "finalizers": [cluster.need(resource, key)["metadata"].get("finalizers") for resource, key in OBJECTS.items()],
    }


@pytest.mark.parametrize("release", RELEASES)
def test_fault_23_what_an_earlier_release_made_goes_on_untouched(here: Path, release: str) -> None:
    async def story(cluster: Cluster) -> None:
        load(cluster, release)
        before = picture(cluster)
        statuses = [cluster.status(key) for key in (VM, OFF, WAITING)]
        async with cluster.operator():
            await cluster.calm(300.0)
            assert picture(cluster) == before
            assert [cluster.status(key) for key in (VM, OFF, WAITING)] == statuses
            assert cluster.hosts[HOST].world.faults.names() == []
            assert cluster.writes() == TOLD
            assert cluster.hosts[HOST].calls == []

    play(here, story)


@pytest.mark.parametrize("release", RELEASES)
def test_fault_23_what_an_earlier_release_made_is_changed_and_deleted_by_this_one(here: Path, release: str) -> None:
    async def story(cluster: Cluster) -> None:
        load(cluster, release)
        before = picture(cluster)
        async with cluster.operator():
            cluster.change(OFF, runStrategy="Always")
            cluster.change(VM, terminationGracePeriodSeconds=7)
            await cluster.until(lambda: cluster.status(OFF).get("powerState") == "Running")
            await cluster.until(lambda: cluster.status(VM).get("observedGeneration") == 2)
            assert picture(cluster)["holders"] == before["holders"]
            assert picture(cluster)["domains"][0][0] in {uuid for uuid, *_ in before["domains"]}
            cluster.annotate(NODES, Key("", HOST), labels={"gpu": "yes"})
            await cluster.running(WAITING)
            for key in (VM, OFF, WAITING):
                cluster.delete(key)
                await cluster.gone(key)
            for resource, key in OBJECTS.items():
                cluster.server.remove(resource, key)
                await cluster.until(lambda resource=resource, key=key: cluster.server.find(resource, key) is None)  # type: ignore[misc]
            assert cluster.server.objects(PODS) == []
            assert cluster.domains() == {HOST: []}

    play(here, story)
