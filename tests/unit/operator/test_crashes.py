"""Facts 3.2, 1 and 2: the operator dies at every single request that it sends, before or after it took effect; the next one ends the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.operator.cluster import Cluster, machine
from tests.unit.operator.mortal import Walk, walk

REQUESTS_MAX = 40


def end_state(cluster: Cluster) -> dict[str, Any]:
    """What must be the same however often the operator died."""
    status = cluster.status()
    return {
        "domains": {name: len(found) for name, found in cluster.domains().items()},
        "holders": len(cluster.holders()),
        "host": status.get("nodeName"),
        "generation": status.get("observedGeneration"),
        "cpus": status.get("cpus"),
        "conditions": {item["type"]: item["status"] for item in status.get("conditions") or ()},
        "volumes": {name: sorted(host.world.volumes.files) for name, host in cluster.hosts.items()},
    }


async def live(cluster: Cluster, directory: Path) -> list[dict[str, Any]]:
    """Create, change, stop, delete: the end state after each."""
    states = []
    uid = cluster.create(machine())["metadata"]["uid"]
    await cluster.running()
    assert cluster.domains()[cluster.status()["nodeName"]] == [uid]
    await cluster.calm(20.0)
    states.append(end_state(cluster))
    cluster.change(cpu={"cores": 2})
    await cluster.until(lambda: cluster.status().get("observedGeneration") == 2)
    await cluster.calm(20.0)
    states.append(end_state(cluster))
    cluster.change(runStrategy="Halted")
    await cluster.until(lambda: cluster.status().get("powerState") == "Stopped")
    await cluster.calm(20.0)
    states.append(end_state(cluster))
    cluster.delete()
    await cluster.gone()
    await cluster.calm(20.0)
    states.append(end_state(cluster))
    return states


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    return walk(live, tmp_path_factory.mktemp("undisturbed"), REQUESTS_MAX)


@pytest.mark.parametrize("is_after", [False, True], ids=["before it is sent", "after it took effect"])
def test_fault_01_02_the_operator_dies_at_each_of_its_requests_and_the_next_one_ends_the_work(
    undisturbed: Walk, tmp_path: Path, is_after: bool
) -> None:
    undisturbed.die_at_each(tmp_path, is_after=is_after)
