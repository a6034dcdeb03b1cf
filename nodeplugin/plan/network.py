"""VirtualNetwork: defined, started, changed in place where libvirt can, never restarted under a running guest."""

from __future__ import annotations

import dataclasses

from lxml import etree

from nodeplugin.hypervisor.port import NetworkChange, NetworkCommand, NetworkRecord, NetworkSection
from nodeplugin.plan.observation import NetworkObservation
from nodeplugin.plan.outcome import Obstacle, Plan
from nodeplugin.plan.ownership import ownership_mark
from nodeplugin.plan.step import (
    DefineFilter,
    DefineNetwork,
    StartNetwork,
    Step,
    StopNetwork,
    UndefineNetwork,
    UpdateNetwork,
)
from nodeplugin.records import StoredObject
from xvirt.domainxml.filters import render_filter
from xvirt.domainxml.mark import read_mark, write_mark
from xvirt.domainxml.network import NetworkUpdate, network_changes, render_network
from xvirt.domainxml.tree import parse_xml, to_text
from xvirt.model.identity import host_name
from xvirt.model.meta import Resource
from xvirt.model.virtualnetwork import NetworkMode, NetworkUpdatePolicy, VirtualNetworkSpec


def plan_network(stored: StoredObject, resource: Resource, observed: NetworkObservation) -> Plan:
    """Steps to a VirtualNetwork, and to the filters that its cards name."""
    filters = tuple(DefineFilter(filter_name=name, xml=render_filter(name)) for name in observed.missing_filters)
    plan = _plan_itself(stored, resource, observed)
    return dataclasses.replace(plan, steps=(*filters, *plan.steps))


def _plan_itself(stored: StoredObject, resource: Resource, observed: NetworkObservation) -> Plan:
    spec: VirtualNetworkSpec = resource.spec
    if spec.mode is NetworkMode.BRIDGE:
        if observed.has_bridge:
            obstacle = find_vlan_obstacle(spec, observed)
            return Plan() if obstacle is None else Plan(blocked=(obstacle,))
        return Plan(waiting=(Obstacle("BridgeNotFound", f"bridge {spec.bridge} is not on this host; make it"),))
    if observed.name_holder is not None:
        name = host_name(stored.namespace, stored.name)
        message = (
            f"libvirt network {name} exists with UUID {observed.name_holder} and is not ours; rename one of the two"
        )
        return Plan(blocked=(Obstacle("NameTaken", message),))
    wanted = render_network(resource, stored.uid, None)
    write_mark(wanted, ownership_mark(stored, wanted))
    define = DefineNetwork(uuid=stored.uid, xml=to_text(wanted))
    record = observed.record
    defined: tuple[Step, ...] = () if record is not None and _is_defined(record, wanted) else (define,)
    if record is None or not record.is_active:
        return Plan(steps=(*defined, StartNetwork(uuid=stored.uid)))
    live = network_changes(parse_xml(observed.live_xml), wanted)
    if live.updates and not live.restart_paths:
        # They change the definition too; what is then left of it is defined in the next round.
        return Plan(steps=tuple(_update(stored.uid, update) for update in live.updates))
    if not live.restart_paths:
        return Plan(steps=defined)
    must_wait = observed.foreign_users if spec.update_policy is NetworkUpdatePolicy.RESTART else observed.users
    if must_wait:
        return Plan(steps=defined, restart_required=live.restart_paths)
    # The machines' own workers plug their taps in again: they are woken by the network's events.
    return Plan(steps=(define, StopNetwork(uuid=stored.uid), StartNetwork(uuid=stored.uid)))


VLAN_LIBVIRT = (11, 0)
"""First libvirt that puts a VLAN tag on the port of a Linux bridge (https://libvirt.org/news.html, v11.0.0); older ones refuse to
start a card that asks for one."""


def find_vlan_obstacle(spec: VirtualNetworkSpec, observed: NetworkObservation) -> Obstacle | None:
    """Why this host cannot keep the guests of a bridge in the declared VLAN; None where it can, or where none is declared."""
    numbers = tuple(int(part) for part in observed.libvirt_version.split(".")[:2] if part.isdecimal())
    if spec.vlan is None:
        return None
    if numbers < VLAN_LIBVIRT:
        message = (
            f"libvirt {observed.libvirt_version} of this host puts no VLAN tag on a port of a Linux bridge; upgrade it to 11.0, or"
            f" remove vlan and use a bridge that is in VLAN {spec.vlan} as a whole, such as one over a VLAN device"
        )
        return Obstacle("VlanUnsupported", message)
    if not observed.is_vlan_aware:
        message = (
            f"bridge {spec.bridge} does not filter VLANs, so VLAN {spec.vlan} would separate nobody; switch it on with"
            f" `ip link set {spec.bridge} type bridge vlan_filtering 1`"
        )
        return Obstacle("BridgeNotVlanAware", message)
    return None


def _is_defined(record: NetworkRecord, wanted: etree._Element) -> bool:
    """Whether libvirt's definition says the same, mark included, and starts with the host."""
    found = parse_xml(record.xml)
    difference = network_changes(found, wanted)
    is_same = not difference.updates and not difference.restart_paths
    return is_same and record.is_autostarted and read_mark(found) == read_mark(wanted)


def _update(uuid: str, update: NetworkUpdate) -> UpdateNetwork:
    change = NetworkChange(
        command=NetworkCommand(update.command),
        section=NetworkSection(update.section),
        subnet_index=update.subnet_index,
        xml=update.xml,
    )
    return UpdateNetwork(uuid=uuid, change=change)


def plan_network_removal(stored: StoredObject, spec: VirtualNetworkSpec, observed: NetworkObservation) -> Plan:
    """Steps to the end of a VirtualNetwork; waits while a running guest is plugged in."""
    record = observed.record
    if spec.mode is NetworkMode.BRIDGE or record is None:
        return Plan(is_gone=True)
    if observed.users:
        message = f"network is used by {', '.join(observed.users)}; it is removed once they are gone"
        return Plan(waiting=(Obstacle("InUse", message),))
    stop: tuple[Step, ...] = (StopNetwork(uuid=stored.uid),) if record.is_active else ()
    return Plan(steps=(*stop, UndefineNetwork(uuid=stored.uid)))
