"""What a preview says of inputs of which it does not know all yet."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.unit.provider.conftest import inputs
from xvirt.model.changes import field_changes
from xvirt.model.fields import Mutability
from xvirt.model.validation import validate
from xvirt_provider import core
from xvirt_provider.replacing import find_collision
from xvirt_provider.unknowns import Pending, check_known, has_unknown, settle


class Later:
    """Not known yet."""


def is_unknown(value: Any) -> bool:
    """Whether it is not known yet."""
    return isinstance(value, Later)


def checked(spec: dict[str, Any], **more: Any) -> list[str]:
    """Paths of what is wrong with a machine's known fields."""
    document = core.document_of({**inputs(**more), "spec": {"memory": {"size": "64Mi"}, **spec}})
    return [item.path for item in check_known(document, is_unknown)]


@pytest.mark.parametrize(
    ("spec", "paths"),
    [
        ({"memory": {"size": Later()}}, []),
        ({"memory": Later()}, []),
        ({"memory": {"size": Later()}, "cpu": {"cores": 0}}, ["spec.cpu.cores"]),
        ({"memory": {"size": Later(), "sise": "1Gi"}}, ["spec.memory.sise"]),
        ({"disks": [{"name": "a", "source": {"image": Later()}}]}, []),
        (
            {"disks": [{"name": "a", "source": {"image": Later()}}, {"name": "b", "source": {}}]},
            ["spec.disks[1].source.size"],
        ),
        ({"disks": [Later(), {"name": "b", "bus": "coffee"}]}, ["spec.disks[1].bus"]),
        ({"disks": [{"name": Later()}, {"source": {"size": "1Gi"}}]}, ["spec.disks[1].name"]),
        ({"disks": Later(), "nics": [{"name": "lan", "mac": "x"}]}, ["spec.nics[0].mac"]),
        ({"cpu": {"cores": Later(), "max": 1}}, []),
        ({"cpu": {"cores": Later(), "max": 0}}, ["spec.cpu.max"]),
        ({"cloudInit": {"hostname": Later(), "userData": {}}}, ["spec.cloudInit.userData"]),
        (
            {"cloudInit": {"sshAuthorizedKeys": [Later()], "networkData": {"inline": "a", "secret": "b"}}},
            ["spec.cloudInit.networkData"],
        ),
    ],
)
def test_row_99_what_is_known_is_judged_whatever_else_is_not(spec: dict[str, Any], paths: list[str]) -> None:
    assert checked(spec) == paths


def test_row_99_a_name_that_is_not_known_hides_nothing_else() -> None:
    wished = {**inputs(spec={"cpu": {"cores": 0}}), "metadata": {"name": Later(), "labels": {"a b": "c"}}}
    found = {item.path for item in check_known(core.document_of(wished), is_unknown)}
    assert "spec.cpu.cores" in found
    assert any(path.startswith("metadata.labels") for path in found)
    assert "metadata.name" not in found


def test_row_99_where_all_is_known_it_is_the_shared_judgement() -> None:
    specs: list[dict[str, Any]] = [
        {"cpu": {"cores": 0}},
        {"cloudInit": {"userData": {}}},
        {"memory": {"size": "1"}},
        {},
    ]
    for spec in specs:
        document = core.document_of(inputs(spec=spec))
        assert check_known(document, is_unknown) == validate(document)


def _each_place(value: Any) -> list[Any]:
    """The value with one thing in it unknown, for each thing in it."""
    made: list[Any] = []
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        one = copy.deepcopy(value)
        one[key] = Later()
        made.append(one)
        for inner in _each_place(value[key]):
            one = copy.copy(value)
            one[key] = inner
            made.append(one)
    return made


WHOLE: dict[str, Any] = {
    "cpu": {"cores": 2, "max": 4},
    "memory": {"size": "128Mi", "max": "1Gi"},
    "disks": [
        {
            "name": "root",
            "source": {"image": "debian", "size": "2Gi"},
            "ioLimits": {"readIops": {"perSecond": 5, "burst": 9}},
        },
        {"name": "data", "source": {"disk": "data"}},
    ],
    "nics": [{"name": "lan", "network": "lan"}],
    "cloudInit": {"hostname": "web", "userData": {"secret": "a", "key": "b"}, "sshAuthorizedKeys": []},
    "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 3},
    "domain": {"devices": {"sound": [{"@model": "ich9"}]}},
}


@pytest.mark.parametrize("spec", _each_place(WHOLE), ids=range(len(_each_place(WHOLE))))
def test_row_99_nothing_is_wrong_with_a_good_machine_whatever_of_it_is_unknown(spec: dict[str, Any]) -> None:
    assert not validate(core.document_of({**inputs(), "spec": WHOLE}))
    assert not check_known(core.document_of({**inputs(), "spec": spec}), is_unknown)
    settled, pending = settle("VirtualMachine", WHOLE, spec, is_unknown)
    assert not field_changes("VirtualMachine", WHOLE, settled)
    assert len(pending) == 1
    assert has_unknown(spec, is_unknown)
    assert not has_unknown(settled, is_unknown)


def test_row_99_what_is_not_known_keeps_its_value_and_its_cost() -> None:
    old = {"memory": {"size": "64Mi"}, "nics": [{"name": "lan", "network": "lan"}, {"name": "wan", "network": "wan"}]}
    new = {
        "memory": {"size": "96Mi"},
        "nics": [{"name": "wan", "network": Later()}, {"name": "new", "network": Later()}],
        "machine": Later(),
    }
    settled, pending = settle("VirtualMachine", old, new, is_unknown)
    assert [change.path for change in field_changes("VirtualMachine", old, settled)] == [
        "spec.memory.size",
        "spec.nics[lan]",
        "spec.nics[new]",
    ]
    assert pending == (
        Pending("spec.nics[wan].network", Mutability.LIVE),
        Pending("spec.nics[new].network", Mutability.LIVE),
        Pending("spec.machine", Mutability.RESTART),
    )
    disk, unknown = settle("VirtualDisk", {"size": "1Gi"}, {"size": "1Gi", "format": Later()}, is_unknown)
    assert disk == {"size": "1Gi"}
    assert unknown == (Pending("spec.format", Mutability.FIXED),)


# which of two is first


def machine(name: str = "web", **spec: Any) -> dict[str, Any]:
    """Inputs of a machine."""
    return inputs(name, spec=spec)


def of(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    """Inputs of another object."""
    return {**inputs(name), "kind": kind, "spec": spec}


@pytest.mark.parametrize(
    ("old", "new", "collision"),
    [
        (machine(), machine(), "the name web"),
        (machine(), machine("shop"), ""),
        (
            machine(nics=[{"name": "lan", "mac": "02:00:00:00:00:AA"}]),
            machine("shop", nics=[{"name": "wan", "mac": "02:00:00:00:00:aa"}]),
            "MAC address 02:00:00:00:00:aa",
        ),
        (
            machine(disks=[{"name": "a", "source": {"disk": "d"}}]),
            machine("b", disks=[{"name": "a", "source": {"disk": "d"}}]),
            "disk d",
        ),
        (machine(domain={"a": {}}), machine("shop", domain={"b": {}}), "what spec.domain declares"),
        (of("VirtualDisk", "a", format="raw"), of("VirtualDisk", "a", format="qcow2"), "the name a"),
        (of("VirtualDisk", "a"), of("VirtualDisk", "b"), ""),
        (of("VirtualNetwork", "a", bridge="br7"), of("VirtualNetwork", "b", bridge="br7"), "bridge br7"),
        (
            of("VirtualNetwork", "a", subnets=[{"address": "10.0.0.1/24"}]),
            of("VirtualNetwork", "b", subnets=[{"address": "10.0.0.1/24"}]),
            "subnet 10.0.0.1/24",
        ),
        (of("StoragePool", "a", path="/srv"), of("StoragePool", "b", path="/srv"), "path /srv"),
    ],
)
def test_row_99_two_that_cannot_be_there_together_come_one_after_the_other(old: Any, new: Any, collision: str) -> None:
    assert find_collision(old, new) == collision


def test_row_99_on_another_node_only_the_wire_is_shared() -> None:
    nodes = [{"node": {"node": "unix:///x", "nodeName": name}} for name in "ab"]
    spec: dict[str, Any] = {"disks": [{"name": "a", "source": {"disk": "d"}}]}
    assert find_collision({**machine(**spec), **nodes[0]}, {**machine(**spec), **nodes[1]}) == ""
    spec = {"nics": [{"name": "a", "mac": "02:00:00:00:00:aa"}]}
    assert (
        find_collision({**machine(**spec), **nodes[0]}, {**machine(**spec), **nodes[1]})
        == "MAC address 02:00:00:00:00:aa"
    )
