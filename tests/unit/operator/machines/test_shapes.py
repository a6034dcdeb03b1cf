"""What caches keep of objects."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.operator.machines.scenes import SPEC, running
from xvirt.operator.machines.records import read_machine
from xvirt.operator.machines.shapes import (
    index_host,
    index_pod,
    index_secrets,
    room_of,
    secrets_of,
    shape_machine,
    shape_node,
    shape_pod,
    unpack,
)
from xvirt.operator.runtime.resources import Key


def machine(**more: Any) -> dict[str, Any]:
    metadata = {
        "name": "web",
        "namespace": "default",
        "uid": "u",
        "resourceVersion": "7",
        "generation": 2,
        "finalizers": ["xvirt.io/operator"],
        "labels": {"app": "web"},
        "annotations": {"a": "b"},
        "selfLink": "x",
    }
    return {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualMachine", "metadata": metadata, "spec": SPEC, **more}


def test_a_machine_that_is_packed_and_unpacked_is_read_as_before() -> None:
    whole = machine(status=running())
    assert read_machine(unpack(shape_machine(whole))) == read_machine(whole)


def test_a_packed_machine_says_its_room_its_host_and_its_secrets() -> None:
    spec = {**SPEC, "cloudInit": {"userData": {"secret": "init"}}}
    packed = shape_machine(machine(spec=spec, status=running()))
    assert room_of(packed) == (2, 1 << 30)
    assert secrets_of(packed) == [Key("default", "init")]
    assert list(index_secrets(packed)) == ["default/init"]
    assert list(index_host(packed)) == ["node-a"]


@pytest.mark.parametrize(
    "spec", [None, [], "x", 7, {"cpu": 7, "memory": []}, {"memory": {"size": {"a": 1}}}, {"cpu": {"cores": []}}]
)
@pytest.mark.parametrize("status", [None, [], "x"])
def test_a_machine_that_makes_no_sense_is_packed_all_the_same(spec: Any, status: Any) -> None:
    packed = shape_machine(machine(spec=spec, status=status))
    assert list(index_host(packed)) == [""]
    assert room_of(packed)[1] == 0
    assert read_machine(unpack(packed)).name == "web"


def test_of_a_node_only_what_hosts_are_made_from_is_kept() -> None:
    node = {
        "metadata": {"name": "node-a", "labels": {"xvirt.io/host": ""}, "annotations": {"xvirt.io/node-port": "1"}},
        "spec": {"unschedulable": True, "podCIDR": "10.0.0.0/24", "taints": [{"key": "k", "effect": "NoSchedule"}]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
            "capacity": {"cpu": "8", "xvirt.io/vm-slots": "5"},
            "images": [{"names": ["x"]}],
        },
    }
    shaped = shape_node(node)
    assert shaped["status"] == {
        "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
        "capacity": {"xvirt.io/vm-slots": "5"},
    }
    assert shaped["spec"] == {"unschedulable": True, "taints": [{"key": "k", "effect": "NoSchedule"}]}


def test_of_a_pod_only_its_place_and_state_are_kept() -> None:
    pod = {
        "metadata": {"name": "p", "namespace": "default", "labels": {"xvirt.io/vm-name": "web"}},
        "spec": {"nodeName": "node-a", "containers": [{}], "tolerations": [{}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready"}, {"type": "PodScheduled", "status": "True"}]},
    }
    shaped = shape_pod(pod)
    assert shaped["spec"] == {"nodeName": "node-a"}
    assert shaped["status"] == {"phase": "Running", "conditions": []}
    refused = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    assert shape_pod({**pod, "status": {"phase": "Pending", "conditions": [refused]}})["status"]["conditions"] == [
        refused
    ]
    assert list(index_pod(shaped)) == ["default/web"]
    assert list(index_pod({"metadata": {"name": "p", "namespace": "d"}})) == []
