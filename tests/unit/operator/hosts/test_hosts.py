"""What is decided and told about hosts."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from xvirt.model.exchange import NodeDescription
from xvirt.operator.hosts.decide import (
    AdvertiseRoom,
    MakeHost,
    RemoveHost,
    decide,
    find_address,
    find_allocatable,
    is_cordoned,
    is_ready,
)
from xvirt.operator.hosts.records import HostRecord, HostScene, HostSettings, NodeRecord, Room, read_node
from xvirt.operator.hosts.status import host_status, is_urgent, judge, settle_pools
from xvirt.operator.nodes.link import HostFacts
from xvirt.operator.nodes.state import Reach

GIB = 1 << 30
SAID = {
    "cpus": 8,
    "memory": "32Gi",
    "accelerator": "kvm",
    "bootId": "b",
    "libvirtVersion": "9.0.0",
    "qemuVersion": "7.2",
    "pools": [{"name": "default", "type": "dir", "source": "/pool", "capacity": "100Gi", "available": "50Gi"}],
    "conditions": [],
}
FULL = {
    "xvirt.io/vm-slots": "250",
    "xvirt.io/open": "250",
    "xvirt.io/vcpus": "8",
    "xvirt.io/vm-memory-mib": "32768",
    "xvirt.io/kvm": "250",
}


def facts(**more: Any) -> HostFacts:
    return HostFacts(NodeDescription(document={"status": {**SAID, **more}}), heard_s=1000.0)


def node(**more: Any) -> NodeRecord:
    given: dict[str, Any] = {"name": "node-a", "is_host": True, "address": "192.0.2.1", "extended": FULL}
    return NodeRecord(**{**given, **more})


def host(**more: Any) -> HostRecord:
    return HostRecord(**{"name": "node-a", "generation": 4, "is_made": True, **more})


def scene(**more: Any) -> HostScene:
    given: dict[str, Any] = {
        "name": "node-a",
        "node": node(),
        "host": host(),
        "reach": Reach.SYNCED,
        "facts": facts(),
        "heard": "2026-01-01T12:00:00Z",
        "now_s": 1000.0,
        "now": "2026-01-01T12:00:00Z",
    }
    return HostScene(**{**given, **more})


# which hosts there are


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ({"xvirt.io/host": "true"}, True),
        ({"xvirt.io/host": ""}, True),
        ({"xvirt.io/host": "false"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_a_node_is_a_host_by_its_label(labels: dict[str, str] | None, wanted: bool) -> None:
    assert read_node({"metadata": {"name": "node-a", "labels": labels}}).is_host is wanted


def test_a_host_is_made_for_a_node_and_for_nothing_else() -> None:
    assert decide(scene(host=None)) == MakeHost()
    assert decide(scene(host=None, node=node(is_host=False))) is None
    assert decide(scene(host=None, node=None)) is None


@pytest.mark.parametrize("gone", [None, node(is_host=False)])
def test_a_host_that_was_made_goes_with_its_node_once_nothing_is_on_it(gone: NodeRecord | None) -> None:
    assert decide(scene(node=gone)) == RemoveHost()
    assert not isinstance(decide(scene(node=gone, placed=Room(machines=1))), RemoveHost)
    assert not isinstance(decide(scene(node=gone, holds_objects=True)), RemoveHost)
    assert not isinstance(decide(scene(node=gone, host=host(is_made=False))), RemoveHost)
    assert decide(scene(node=gone, host=host(is_deleting=True))) is None


# where they are


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, "192.0.2.1:9443"),
        ({"node": node(port="7000")}, "192.0.2.1:7000"),
        ({"node": node(port="what")}, "192.0.2.1:9443"),
        ({"node": node(address="2001:db8::1")}, "[2001:db8::1]:9443"),
        ({"node": node(address="")}, ""),
        ({"node": None}, ""),
        ({"node": None, "host": host(status={"address": "192.0.2.9:1"})}, "192.0.2.9:1"),
        ({"host": host(spec={"address": "kvm.example:99"})}, "kvm.example:99"),
        ({"node": None, "host": host(spec={"address": "kvm.example:99"})}, "kvm.example:99"),
        ({"settings": HostSettings(port=1)}, "192.0.2.1:1"),
    ],
)
def test_a_host_is_where_its_spec_or_its_node_says(given: dict[str, Any], wanted: str) -> None:
    assert find_address(scene(**given)) == wanted


# room


def test_row_62_what_a_host_may_promise_is_what_it_has_times_its_own_ratio_or_everybodys() -> None:
    settings = HostSettings(cpu_allocation_ratio=2, memory_overcommit_percent=150, machines_max=9)
    assert find_allocatable(scene(settings=settings)) == Room(vcpus=16, memory_bytes=48 * GIB, machines=9)
    spec = {"overcommit": {"cpuAllocationRatio": 4, "memoryOvercommit": 50}, "maxMachines": 3}
    own = find_allocatable(scene(settings=settings, host=host(spec=spec)))
    assert own == Room(vcpus=32, memory_bytes=16 * GIB, machines=3)


def test_row_62_the_scheduler_is_told_of_the_room() -> None:
    assert decide(scene(node=node(extended={}))) == AdvertiseRoom(FULL)
    assert decide(scene()) is None
    old = {**FULL, "xvirt.io/vcpus": "4"}
    assert decide(scene(node=node(extended=old))) == AdvertiseRoom({"xvirt.io/vcpus": "8"})


def test_another_accelerator_takes_the_old_ones_place() -> None:
    made = decide(scene(facts=facts(accelerator="tcg")))
    assert made == AdvertiseRoom({"xvirt.io/tcg": "250", "xvirt.io/kvm": None})


@pytest.mark.parametrize(
    "closed",
    [
        {"host": host(spec={"unschedulable": True})},
        {"node": node(is_cordoned=True)},
        {"reach": Reach.LOST},
        {"reach": Reach.CONNECTING},
        {"facts": dataclasses.replace(facts(), failed_since_s=900.0)},
        {"node": node(is_host=False), "placed": Room(machines=2)},
    ],
)
def test_row_16_a_host_that_takes_nothing_new_is_open_to_none_and_keeps_the_places_of_what_it_has(
    closed: dict[str, Any],
) -> None:
    given = {"placed": Room(machines=2), **closed}
    made = decide(scene(**given))
    assert isinstance(made, AdvertiseRoom)
    assert made.resources == {"xvirt.io/open": "0"}


def test_a_host_that_never_told_of_itself_offers_nothing() -> None:
    assert decide(scene(facts=HostFacts(), node=node(extended={}))) is None


def test_a_host_that_fails_to_tell_of_itself_once_is_still_well() -> None:
    assert is_ready(scene(facts=dataclasses.replace(facts(), failed_since_s=990.0)))
    assert not is_ready(scene(facts=dataclasses.replace(facts(), failed_since_s=960.0)))


def test_row_16_it_is_cordoned_by_either_word() -> None:
    assert not is_cordoned(scene())
    assert is_cordoned(scene(node=node(is_cordoned=True)))
    assert is_cordoned(scene(host=host(spec={"unschedulable": True})))
    assert not is_cordoned(scene(node=None, host=None))


# status


def status(**more: Any) -> dict[str, Any]:
    made = host_status(scene(**more))
    assert made is not None
    return made


def test_row_15_a_status_says_what_the_host_is_has_may_promise_and_has_promised() -> None:
    made = status(placed=Room(vcpus=3, memory_bytes=5 * GIB, machines=2), settings=HostSettings(cpu_allocation_ratio=2))
    assert made["capacity"] == {"vcpus": 8, "memory": "32Gi", "machines": 250}
    assert made["allocatable"] == {"vcpus": 16, "memory": "32Gi", "machines": 250}
    assert made["allocated"] == {"vcpus": 3, "memory": "5Gi", "machines": 2}
    assert (made["libvirtVersion"], made["qemuVersion"], made["accelerator"]) == ("9.0.0", "7.2", "kvm")
    assert made["pools"][0]["source"] == "/pool"
    assert (made["heartbeat"], made["address"], made["observedGeneration"]) == ("Current", "192.0.2.1:9443", 4)
    assert made["unschedulable"] is False
    assert "lastHeardTime" not in made


def ready(made: dict[str, Any]) -> tuple[str, str]:
    item = next(item for item in made["conditions"] if item["type"] == "Ready")
    return item["status"], item["reason"]


def test_row_14_a_lost_host_is_unknown_keeps_what_it_said_and_says_when_it_was_heard_last() -> None:
    known = status()
    made = status(reach=Reach.LOST, failure="connection refused", facts=HostFacts(), host=host(status=known))
    assert ready(made) == ("Unknown", "HostUnreachable")
    assert "connection refused" in made["conditions"][0]["message"]
    assert (made["heartbeat"], made["lastHeardTime"]) == ("Lost", "2026-01-01T12:00:00Z")
    assert (made["cpus"], made["unschedulable"]) == (8, True)
    assert made["capacity"] == known["capacity"]
    later = status(reach=Reach.LOST, heard="2026-01-01T12:09:00Z", failure="x", host=host(status=made))
    assert later["lastHeardTime"] == "2026-01-01T12:00:00Z", "it does not move while nothing is heard"


def test_row_14_a_host_whose_hypervisor_hangs_is_not_ready() -> None:
    made = status(facts=dataclasses.replace(facts(), failed_since_s=900.0, failure="libvirt does not answer"))
    assert ready(made) == ("False", "HypervisorUnreachable")
    assert made["heartbeat"] == "Late"
    assert made["unschedulable"] is True


def test_a_host_that_is_looked_for_keeps_its_status() -> None:
    assert host_status(scene(reach=Reach.CONNECTING, host=host(status=status()))) is None
    first = status(reach=Reach.CONNECTING, facts=HostFacts(), heard="")
    assert ready(first) == ("False", "Connecting")
    assert first["heartbeat"] == "Never"


def test_a_host_that_nobody_can_dial_is_stalled() -> None:
    made = status(obstacle="nobody says where it is", reach=Reach.UNKNOWN, facts=HostFacts())
    assert {item["type"]: item["status"] for item in made["conditions"]}["Stalled"] == "True"


def test_what_a_host_holds_undeclared_is_told_within_a_limit() -> None:
    names = tuple(f"VirtualMachine default/m-{number:03d}" for number in range(300))
    assert len(status(undeclared=names)["undeclared"]) == 100


def test_taints_are_the_nodes_or_those_of_a_host_outside() -> None:
    taint = {"key": "gpu", "effect": "NoSchedule"}
    assert status(node=node(taints=(taint,)))["taints"] == [taint]
    assert status(node=None, host=host(is_made=False, spec={"taints": [taint]}))["taints"] == [taint]


def test_every_verdict_has_a_reason() -> None:
    for reach in Reach:
        assert judge(scene(reach=reach)).reason


# idle


def pool(available: str, capacity: str = "100Gi") -> dict[str, Any]:
    return {"name": "default", "capacity": capacity, "available": available}


@pytest.mark.parametrize(
    ("before", "now", "wanted"),
    [
        ("50Gi", "50500Mi", "50Gi"),
        ("50Gi", "51Gi", "51Gi"),
        ("50Gi", "49Gi", "49Gi"),
        ("50Gi", "0", "0"),
        ("0", "1Mi", "0"),
    ],
)
def test_free_space_is_told_once_it_has_changed_by_a_hundredth(before: str, now: str, wanted: str) -> None:
    assert settle_pools([pool(before)], [pool(now)])[0]["available"] == wanted


def test_a_pool_that_is_new_or_of_another_size_is_told_as_it_is() -> None:
    assert settle_pools([], [pool("1Gi")]) == [pool("1Gi")]
    assert settle_pools([pool("1Gi")], [pool("1028Mi", "200Gi")]) == [pool("1028Mi", "200Gi")]
    assert settle_pools([pool("1Gi")], []) == []


def test_an_idle_host_says_the_same_again() -> None:
    known = status()
    assert status(host=host(status=known), facts=facts(pools=[pool("50Gi")])) is not None
    assert status(host=host(status=known)) == known


def test_people_wait_for_a_host_that_is_found_or_lost() -> None:
    known = status()
    assert is_urgent({}, known)
    assert not is_urgent(known, {**known, "domains": 9})
    assert is_urgent(known, status(reach=Reach.LOST, host=host(status=known)))
    assert is_urgent(known, {**known, "unschedulable": True})
