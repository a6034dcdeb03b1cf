"""A network changes under running machines, or is pulled away by hand, and its guests' links come back."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from nodeplugin.hypervisor.port import NetworkRecord, XmlView
from nodeplugin.plan.network import plan_network
from nodeplugin.plan.observation import NetworkObservation
from tests.unit.nodeplugin.world import World
from xvirt.domainxml.facts import NicFacts, read_domain
from xvirt.domainxml.filters import FILTERS, OWN_ADDRESSES, OWN_MAC
from xvirt.domainxml.tree import parse_xml
from xvirt.model.codec import parse

NETWORK: dict[str, Any] = {
    "apiVersion": "xvirt.io/v1alpha1",
    "kind": "VirtualNetwork",
    "metadata": {"name": "lan"},
    "spec": {"mode": "Nat", "subnets": [{"address": "10.99.0.1/24"}]},
}
MACHINE: dict[str, Any] = {
    "apiVersion": "xvirt.io/v1alpha1",
    "kind": "VirtualMachine",
    "metadata": {"name": "web"},
    "spec": {"memory": {"size": "64Mi"}, "nics": [{"name": "lan", "network": "lan"}]},
}
FOREIGN = """<domain type='qemu'><name>foreign</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><interface type='network'><mac address='52:54:00:00:00:01'/>
<source network='default_lan'/></interface></devices></domain>"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.apply(NETWORK)
    world.apply(MACHINE)
    world.settle()
    return world


def _network(world: World) -> NetworkRecord:
    return next(record for record in world.hypervisor.list_networks() if record.name == "default_lan")


def _nic(world: World) -> NicFacts:
    domain = world.hypervisor.find_domain_by_name("default_web")
    assert domain is not None
    return read_domain(parse_xml(world.hypervisor.domain_xml(domain.uuid, XmlView.CURRENT))).nics[0]


def _is_plugged_in(world: World) -> bool:
    nic = _nic(world)
    return bool(nic.port_id) and world.hypervisor.has_network_port(_network(world).uuid, nic.port_id or "")


def _changed(**spec: Any) -> dict[str, Any]:
    document = copy.deepcopy(NETWORK)
    document["spec"] |= spec
    return document


def _status(world: World) -> dict[str, Any]:
    stored = world.store.find_named("VirtualNetwork", "default", "lan")
    assert stored is not None
    return dict(stored.status)


def test_a_network_destroyed_by_hand_comes_back_with_its_guests_links(world: World) -> None:
    before = _nic(world)
    world.hypervisor.stop_network(_network(world).uuid)
    assert not _is_plugged_in(world)
    world.settle()
    assert _network(world).is_active
    assert _is_plugged_in(world)
    after = _nic(world)
    assert (after.network, after.mac, after.link_up) == (before.network, before.mac, before.link_up)


def test_a_link_that_is_down_comes_back_down(world: World) -> None:
    machine = copy.deepcopy(MACHINE)
    machine["spec"]["nics"][0]["linkState"] = "Down"
    world.apply(machine)
    world.hypervisor.stop_network(_network(world).uuid)
    world.settle()
    assert _is_plugged_in(world)
    assert not _nic(world).link_up


def test_a_settled_machine_is_not_plugged_in_again(world: World) -> None:
    before = len(world.faults.mutations)
    world.settle()
    assert len(world.faults.mutations) == before


def test_what_needs_a_restart_waits_while_a_machine_uses_the_network(world: World) -> None:
    world.apply(_changed(mtu=1400))
    world.settle()
    assert _status(world)["restartRequired"] == ["spec.mtu"]
    assert "1400" not in world.hypervisor.live_network_xml(_network(world).uuid)
    assert "1400" in _network(world).xml


def test_update_policy_restart_restarts_the_network_and_plugs_its_machines_in_again(world: World) -> None:
    world.apply(_changed(mtu=1400, updatePolicy="Restart"))
    world.settle()
    assert _status(world).get("restartRequired", []) == []
    assert "1400" in world.hypervisor.live_network_xml(_network(world).uuid)
    assert _is_plugged_in(world)


def test_update_policy_restart_waits_for_a_domain_that_is_not_ours(world: World) -> None:
    world.hypervisor.define_domain(FOREIGN)
    foreign = world.hypervisor.find_domain_by_name("foreign")
    assert foreign is not None
    world.hypervisor.start_domain(foreign.uuid)
    world.apply(_changed(mtu=1400, updatePolicy="Restart"))
    world.settle()
    assert _status(world)["restartRequired"] == ["spec.mtu"]
    world.hypervisor.destroy_domain(foreign.uuid)
    world.settle()
    assert "1400" in world.hypervisor.live_network_xml(_network(world).uuid)


def _filter_name(world: World) -> str:
    return str(parse_xml(_nic(world).xml).xpath("string(filterref/@filter)"))


def test_anti_spoofing_is_switched_on_and_off_under_a_running_machine(world: World) -> None:
    assert (_filter_name(world), world.hypervisor.list_filters()) == ("", frozenset())
    world.apply(_changed(antiSpoofing="On"))
    world.settle()
    assert _filter_name(world) == OWN_MAC
    assert world.hypervisor.list_filters() == frozenset(FILTERS)
    world.apply(_changed(antiSpoofing="Off"))
    world.settle()
    assert _filter_name(world) == ""


def test_a_machine_follows_its_fixed_lease(world: World) -> None:
    subnets = [{"address": "10.99.0.1/24", "dhcp": {"hosts": [{"mac": _nic(world).mac, "ip": "10.99.0.7"}]}}]
    world.apply(_changed(antiSpoofing="On", subnets=subnets))
    world.settle()
    assert _filter_name(world) == OWN_ADDRESSES
    assert "10.99.0.7" in _nic(world).xml


TAGGED = parse({**NETWORK, "spec": {"mode": "Bridge", "bridge": "br0", "vlan": 20}})


@pytest.mark.parametrize(
    ("libvirt_version", "is_vlan_aware", "reasons"),
    [
        ("9.0.0", True, ["VlanUnsupported"]),
        ("10.10.0", True, ["VlanUnsupported"]),
        ("11.0.0", False, ["BridgeNotVlanAware"]),
        ("11.0.0", True, []),
        ("12.1.0", True, []),
    ],
)
def test_a_vlan_is_refused_where_it_would_separate_nobody(
    world: World, libvirt_version: str, is_vlan_aware: bool, reasons: list[str]
) -> None:
    stored = world.store.find_named("VirtualNetwork", "default", "lan")
    assert stored is not None
    observed = NetworkObservation(record=None, libvirt_version=libvirt_version, is_vlan_aware=is_vlan_aware)
    assert [item.reason for item in plan_network(stored, TAGGED, observed).blocked] == reasons


def test_a_machine_waits_where_its_vlan_cannot_be(world: World) -> None:
    document = {**NETWORK, "metadata": {"name": "tagged"}, "spec": {"mode": "Bridge", "bridge": "lo", "vlan": 20}}
    machine = copy.deepcopy(MACHINE)
    machine["metadata"]["name"] = "waits"
    machine["spec"]["nics"][0]["network"] = "tagged"
    world.apply(document)
    world.apply(machine)
    world.settle()
    assert world.hypervisor.find_domain_by_name("default_waits") is None
