"""Statuses that no release of ours would write: they are read as far as they make sense, and trouble nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.model.specimens import full
from tests.unit.operator.cluster import VM, Cluster, machine, play
from tests.unit.operator.dependents.stories import DATA, DISKS, Story, disk
from xvirt.model.kinds import KINDS, Kind
from xvirt.operator.kinds import VIRTUAL_HOSTS, VIRTUAL_MACHINES
from xvirt.operator.runtime.resources import Key
from xvirt.operator.soundness import sound_status

READY = {"type": "Ready", "status": "True", "reason": "Running"}
STRANGE: dict[str, Any] = {
    "no map": "fine",
    "a list": ["x"],
    "conditions": {"conditions": "fine", "observedGeneration": 1},
    "host": {"nodeName": ["node-a"], "uuid": 7, "observedGeneration": "one"},
    "parts": {"conditions": [{"type": "Stalled"}, {"type": "Drifted", "status": 1}, READY], "disks": "none"},
    "hosts": {"hosts": {"node-a": "Ready"}, "size": {}, "pools": "none", "capacity": 1, "bootId": {}},
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_status_of_the_models_shape_stays_as_it_is_and_so_does_what_is_beyond_the_model(kind: Kind) -> None:
    status = {**full(kind.status), "fencing": {"armed": [True]}}
    assert sound_status(kind.name, status) == status


def test_what_is_out_of_shape_is_left_out_field_by_field_and_entry_by_entry() -> None:
    assert sound_status("VirtualMachine", STRANGE["no map"]) == {}
    assert sound_status("VirtualMachine", STRANGE["conditions"]) == {"observedGeneration": 1}
    assert sound_status("VirtualMachine", STRANGE["host"]) == {}
    assert sound_status("VirtualMachine", STRANGE["parts"]) == {"conditions": [READY]}
    assert sound_status("VirtualMachine", {"conditions": [{"status": "True"}, 1, None]}) == {"conditions": []}
    assert sound_status("VirtualMachine", {"cpus": True, "restartCount": 2}) == {"restartCount": 2}


@pytest.mark.parametrize("status", STRANGE.values(), ids=STRANGE)
def test_fault_12_a_status_of_a_strange_shape_stops_no_operator_and_is_put_right(tmp_path: Path, status: Any) -> None:
    async def story(cluster: Cluster) -> None:
        told = Story(cluster)
        cluster.server.write(DISKS, disk(host="node-a"))
        cluster.server.write(VIRTUAL_HOSTS, {"metadata": {"name": "node-a"}, "spec": {}})
        for resource, key in ((DISKS, DATA), (VIRTUAL_HOSTS, Key("", "node-a"))):
            cluster.server.write(resource, {**cluster.need(resource, key), "status": status}, "status")
        uid = cluster.create(machine())["metadata"]["uid"]
        cluster.create(machine("well"))
        cluster.server.write(VIRTUAL_MACHINES, {**cluster.vm(), "status": status}, "status")
        async with cluster.operator():
            await cluster.running(Key("default", "well"))
            for resource, key in ((VIRTUAL_MACHINES, VM), (DISKS, DATA), (VIRTUAL_HOSTS, Key("", "node-a"))):
                item = cluster.need(resource, key)
                item["status"] = {}
                cluster.server.write(resource, item, "status")
            await cluster.running()
            await told.is_ready(DISKS, DATA, "Ready")
            assert uid in cluster.domains()["node-a"]

    play(tmp_path, story)
