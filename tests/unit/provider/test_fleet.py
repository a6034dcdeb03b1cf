"""Placement on several nodes: by name, the same for everybody, and kept."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.output import Unknown

from tests.unit.cli.live_node import LiveNode
from tests.unit.provider.conftest import inputs
from tests.unit.provider.programs import run_program
from xvirt.model.errors import InvalidSpec, Unavailable
from xvirt_provider import VirtualMachine, XVirtFleet, XVirtNode, core
from xvirt_provider.connection import Nodes, is_other_node
from xvirt_provider.fleet import GROUP, Claim, choose
from xvirt_provider.provider import Provider, _Process

A, B, C, D = (XVirtNode(address=f"unix:///run/{name}.sock", node_name=name) for name in ("a", "b", "c", "d"))
NAMES = [f"default/web-{number}" for number in range(300)]


def nobody(node: Mapping[str, Any]) -> Claim:
    """No node has it."""
    return Claim.NONE


def chosen(
    fleet: XVirtFleet, name: str, before: XVirtNode | None = None, claim_of: Any = nobody, group: str = ""
) -> str:
    """Name of the node that a fleet gives."""
    node = choose(fleet.to_input(group), before.to_input() if before else None, name, claim_of)
    return str(node["nodeName"])


# the rule


def test_row_99_machines_are_spread_by_name() -> None:
    found = collections.Counter(chosen(XVirtFleet([A, B, C]), name) for name in NAMES)
    assert set(found) == {"a", "b", "c"}
    assert min(found.values()) > 70
    assert {chosen(XVirtFleet([C, A, B]), name) for name in NAMES[:1]} == {chosen(XVirtFleet([A, B, C]), NAMES[0])}


def test_row_99_the_rule_does_not_change_between_releases() -> None:
    assert [chosen(XVirtFleet([A, B, C]), name) for name in NAMES[:8]] == ["b", "b", "c", "c", "b", "a", "a", "a"]


def test_row_99_no_machine_moves_because_a_node_was_added() -> None:
    small, large = XVirtFleet([A, B]), XVirtFleet([D, A, B, C])
    nodes = {"a": A, "b": B}
    for name in NAMES:
        before = chosen(small, name)
        assert chosen(large, name, before=nodes[before]) == before
    assert {chosen(large, name) for name in NAMES} == {"a", "b", "c", "d"}


def test_row_99_a_cordoned_node_keeps_what_it_has_and_takes_nothing_new() -> None:
    fleet = XVirtFleet([A, B, C], cordoned=["b"])
    assert {chosen(fleet, name) for name in NAMES} == {"a", "c"}
    assert chosen(fleet, NAMES[0], before=B) == "b"
    with pytest.raises(InvalidSpec, match="every node of the fleet is cordoned"):
        chosen(XVirtFleet([A], cordoned=["a"]), "default/web")


def test_row_99_a_machine_whose_node_left_the_fleet_is_not_moved() -> None:
    with pytest.raises(InvalidSpec, match="it is on b, which is not in the fleet; keep that node and cordon it"):
        chosen(XVirtFleet([A, C]), "default/web", before=B)


def test_row_99_an_endpoint_of_a_node_may_move() -> None:
    moved = XVirtNode(address="unix:///elsewhere/a.sock", node_name="a")
    node = choose(XVirtFleet([moved, B]).to_input(), A.to_input(), "default/web", nobody)
    assert node == moved.to_input()


def test_row_99_what_is_there_is_found_again_when_the_state_was_lost() -> None:
    def claim_of(node: Mapping[str, Any]) -> Claim:
        return Claim.OBJECT if node["nodeName"] == "c" else Claim.GROUP if node["nodeName"] == "a" else Claim.NONE

    assert {chosen(XVirtFleet([A, B, C]), name, claim_of=claim_of) for name in NAMES[:9]} == {"c"}


def test_row_99_nothing_is_placed_while_a_node_that_might_have_it_is_silent() -> None:
    def claim_of(node: Mapping[str, Any]) -> Claim:
        if node["nodeName"] == "b":
            raise Unavailable("node b cannot be reached")
        return Claim.NONE

    with pytest.raises(Unavailable, match=r"node b cannot be asked whether it has the object already.*or cordon it"):
        chosen(XVirtFleet([A, B]), "default/web", claim_of=claim_of)
    assert chosen(XVirtFleet([A, B], cordoned=["b"]), "default/web", claim_of=claim_of) == "a"
    assert chosen(XVirtFleet([A, B]), "default/web", before=A, claim_of=claim_of) == "a"


def test_row_99_a_group_stays_together() -> None:
    fleet = XVirtFleet([A, B, C])
    for name in NAMES[:30]:
        assert len({chosen(fleet, other, group=name) for other in NAMES[30:60]}) == 1


@pytest.mark.parametrize(
    ("nodes", "cordoned", "told"),
    [
        ([], (), "a fleet needs nodes"),
        ([A, XVirtNode(address="unix:///x")], (), "each with a node_name of its own"),
        ([A, A], (), "each with a node_name of its own"),
        ([A], ["z"], "cordoned: z is no node of this fleet; it has a"),
    ],
)
def test_row_104_a_fleet_that_is_none_is_told(nodes: list[XVirtNode], cordoned: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        XVirtFleet(nodes, cordoned)


# nodes that are the same, and others


@pytest.mark.parametrize(
    ("old", "new", "is_other"),
    [
        ({}, {}, False),
        ({"node": A.to_input()}, {"node": {**A.to_input(), "node": "tcp://a:1"}}, False),
        ({"node": A.to_input()}, {"node": B.to_input()}, True),
        ({"host": "a"}, {"node": A.to_input()}, False),
        ({"host": "a"}, {"node": B.to_input()}, True),
        ({"host": "a"}, {"node": {"node": "unix:///x"}}, False),
        ({"node": {"node": "unix:///x"}}, {"node": {"node": "unix:///y"}}, True),
        ({"node": {"node": "unix:///x"}}, {"node": {"node": "unix:///x", "nodeName": "a"}}, False),
        ({"node": A.to_input()}, {}, False),
    ],
)
def test_a_node_is_told_by_its_name(old: dict[str, Any], new: dict[str, Any], is_other: bool) -> None:
    assert is_other_node(old, new) is is_other


# programs


def test_row_99_a_fleet_comes_from_the_stacks_configuration() -> None:
    config = {
        "nodes": '[{"address": "tcp://10.0.0.1:7443", "nodeName": "a"}, {"address": "unix:///b.sock", "nodeName": "b"}]',
        "cordoned": '["b"]',
        "tlsCa": "/etc/ca.pem",
    }

    def program() -> None:
        VirtualMachine("web", memory={"size": "64Mi"}, node=XVirtFleet.from_config().group("shop"))

    found = run_program(program, config=config)[0]
    assert found.inputs["node"] == {
        "fleet": [
            {"node": "tcp://10.0.0.1:7443", "nodeName": "a", "tlsCa": "/etc/ca.pem"},
            {"node": "unix:///b.sock", "nodeName": "b", "tlsCa": "/etc/ca.pem"},
        ],
        "cordoned": ["b"],
        "group": "shop",
    }


@pytest.mark.parametrize("nodes", ['[{"adress": "x"}]', '["a"]', "[]", '[{"address": "unix:///x"}]'])
def test_row_104_a_configured_fleet_that_is_none_is_told_by_its_key(nodes: str) -> None:
    with pytest.raises(pulumi.RunError, match="configuration xvirt:nodes: "):
        run_program(XVirtFleet.from_config, config={"nodes": nodes})


# the check, over real nodes


@pytest.fixture
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, LiveNode]]:
    """Three nodes."""
    monkeypatch.setattr(_Process, "nodes", Nodes())
    made: dict[str, LiveNode] = {}
    try:
        for name in ("a", "b", "c"):
            (tmp_path / name).mkdir()
            made[name] = LiveNode(tmp_path / name)
            made[name].start()
        yield made
    finally:
        for node in made.values():
            node.stop()


def fleet_of(nodes: Mapping[str, LiveNode], *names: str) -> XVirtFleet:
    """Some of them."""
    return XVirtFleet([XVirtNode(address=nodes[name].address, node_name=name) for name in names or nodes])


def checked(fleet: XVirtFleet, olds: Mapping[str, Any] | None = None, group: str = "", **more: Any) -> dict[str, Any]:
    """Inputs as the check answers them."""
    result = Provider().check(dict(olds or {}), inputs(node=fleet.to_input(group), **more))
    assert not result.failures, result.failures
    return dict(result.inputs)


def test_row_99_the_check_places_and_the_state_keeps_it(nodes: dict[str, LiveNode]) -> None:
    placed = checked(fleet_of(nodes, "a", "b"))
    assert "fleet" not in placed["node"]
    home = placed["node"]["nodeName"]
    outputs = core.create(_Process.nodes.client(placed["node"]), placed)
    assert [name for name, node in nodes.items() if node.hypervisor.list_domains()] == [home]
    again = checked(fleet_of(nodes), olds=placed)
    assert again["node"] == placed["node"]
    assert not core.compare(outputs, again).is_changed


def test_row_99_after_a_lost_state_the_machine_is_found_where_it_is(nodes: dict[str, LiveNode]) -> None:
    placed = checked(fleet_of(nodes))
    home = placed["node"]["nodeName"]
    core.create(_Process.nodes.client(placed["node"]), placed)
    others = [name for name in nodes if name != home]
    assert (
        checked(XVirtFleet([*fleet_of(nodes, *others).nodes, *fleet_of(nodes, home).nodes]))["node"] == placed["node"]
    )


def test_row_99_what_joins_a_group_later_comes_to_it(nodes: dict[str, LiveNode]) -> None:
    first = checked(fleet_of(nodes, "a"), group="shop")
    core.create(_Process.nodes.client(first["node"]), first)
    assert core.document_of(first)["metadata"]["annotations"][GROUP] == "shop"
    for number in range(5):
        disk = inputs(f"data-{number}", node=fleet_of(nodes).to_input("shop"))
        joined = Provider().check({}, {**disk, "kind": "VirtualDisk", "spec": {"size": "1Gi"}})
        assert joined.inputs["node"]["nodeName"] == "a"


def test_row_104_a_node_that_left_the_fleet_is_a_failure_of_the_check(nodes: dict[str, LiveNode]) -> None:
    placed = checked(fleet_of(nodes, "a"))
    result = Provider().check(placed, inputs(node=fleet_of(nodes, "b", "c").to_input()))
    assert [item.reason.partition(": ")[0] for item in result.failures] == ["node"]
    assert "not in the fleet" in result.failures[0].reason


def test_an_object_whose_name_comes_later_is_placed_when_it_has_one(nodes: dict[str, LiveNode]) -> None:
    wished = inputs(node=fleet_of(nodes).to_input())
    wished["metadata"] = {"name": object.__new__(Unknown)}
    assert "fleet" in Provider().check({}, wished).inputs["node"]
