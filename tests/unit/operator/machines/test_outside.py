"""Which machines a host outside of the cluster takes: nobody but the operator keeps them from it."""

from __future__ import annotations

from typing import Any

import pytest

from xvirt.operator.kinds import VIRTUAL_HOSTS, VIRTUAL_MACHINES
from xvirt.operator.machines.outside import OutsideHosts
from xvirt.operator.machines.records import read_machine
from xvirt.operator.machines.shapes import BY_HOST, index_host, shape_machine, unpack
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.resources import NODES

GPU = {"key": "gpu", "value": "a100", "effect": "NoSchedule"}


def obstacle(taint: dict[str, Any], *tolerations: dict[str, Any]) -> str:
    """What a host with one taint has against a machine."""
    hosts, machines = Cache(VIRTUAL_HOSTS), Cache(VIRTUAL_MACHINES)
    machines.add_index(BY_HOST, index_host)
    room = {"vcpus": 8, "memory": "8Gi", "machines": 8}
    status = {"unschedulable": False, "allocatable": room, "taints": [taint]}
    hosts.put({"metadata": {"name": "far", "uid": "f", "resourceVersion": "1"}, "spec": {}, "status": status})
    placement = {"host": "far", "tolerations": list(tolerations)}
    made = {"metadata": {"name": "web", "uid": "w"}, "spec": {"memory": {"size": "1Gi"}, "placement": placement}}
    item = shape_machine(made)
    found = OutsideHosts(hosts, Cache(NODES), machines).look(read_machine(unpack(item)), item)
    assert found is not None
    return found.obstacle


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
def test_a_taint_keeps_out_what_does_not_tolerate_it_and_is_named(effect: str) -> None:
    told = obstacle({**GPU, "effect": effect})
    assert told == f"host far has the taint gpu=a100:{effect}, which the machine does not tolerate"


def test_a_taint_that_only_prefers_keeps_nobody_out() -> None:
    assert obstacle({**GPU, "effect": "PreferNoSchedule"}) == ""


@pytest.mark.parametrize(
    ("toleration", "is_taken"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "gpu", "operator": "Equal", "value": "a100"}, True),
        ({"key": "gpu", "value": "a100"}, True),
        ({"key": "gpu", "operator": "Equal", "value": "h100"}, False),
        ({"key": "gpu"}, False),
        ({"value": "a100"}, False),
    ],
)
def test_a_toleration_is_read_as_kubernetes_reads_it(toleration: dict[str, Any], is_taken: bool) -> None:
    assert (obstacle(GPU, toleration) == "") is is_taken
