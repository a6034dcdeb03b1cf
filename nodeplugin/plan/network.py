"""VirtualNetwork and StoragePool: defined, started, changed in place where libvirt can, never restarted under a running guest."""

from __future__ import annotations

from nodeplugin.hypervisor.port import NetworkChange, NetworkCommand, NetworkSection
from nodeplugin.plan.observation import NetworkObservation, PoolObservation
from nodeplugin.plan.outcome import Obstacle, Plan
from nodeplugin.plan.step import (
    AutostartPool,
    DefineNetwork,
    DefinePool,
    StartNetwork,
    StartPool,
    Step,
    StopNetwork,
    StopPool,
    UndefineNetwork,
    UndefinePool,
    UpdateNetwork,
)
from nodeplugin.records import StoredObject
from xvirt.domainxml.network import network_changes, render_network
from xvirt.domainxml.pool import render_pool
from xvirt.domainxml.tree import parse_xml, to_text
from xvirt.model.identity import host_name
from xvirt.model.meta import Resource
from xvirt.model.storage import StoragePoolSpec
from xvirt.model.virtualnetwork import NetworkMode, VirtualNetworkSpec


def plan_network(stored: StoredObject, resource: Resource, observed: NetworkObservation) -> Plan:
    """Steps to a VirtualNetwork."""
    spec: VirtualNetworkSpec = resource.spec
    if spec.mode is NetworkMode.BRIDGE:
        if observed.has_bridge:
            return Plan()
        return Plan(waiting=(Obstacle("BridgeNotFound", f"bridge {spec.bridge} is not on this host; make it"),))
    if observed.name_holder is not None:
        name = host_name(stored.namespace, stored.name)
        message = (
            f"libvirt network {name} exists with UUID {observed.name_holder} and is not ours; rename one of the two"
        )
        return Plan(blocked=(Obstacle("NameTaken", message),))
    wanted = render_network(resource, stored.uid, None)
    uuid = stored.uid
    record = observed.record
    define = DefineNetwork(uuid=uuid, xml=to_text(wanted))
    start = StartNetwork(uuid=uuid)
    if record is None:
        return Plan(steps=(define, start))
    if not record.is_active:
        difference = network_changes(parse_xml(record.xml), wanted)
        is_same = not difference.updates and not difference.restart_paths
        return Plan(steps=(start,) if is_same else (define, start))
    return _plan_active(uuid, define, wanted, observed)


def _plan_active(uuid: str, define: DefineNetwork, wanted: object, observed: NetworkObservation) -> Plan:
    live = network_changes(parse_xml(observed.live_xml), wanted)  # type: ignore[arg-type]
    if live.restart_paths:
        config = network_changes(parse_xml(observed.record.xml), wanted) if observed.record else None  # type: ignore[arg-type]
        is_defined = config is not None and not config.updates and not config.restart_paths
        steps: tuple[Step, ...] = () if is_defined else (define,)
        if observed.users:
            return Plan(steps=steps, restart_required=live.restart_paths)
        return Plan(steps=(define, StopNetwork(uuid=uuid), StartNetwork(uuid=uuid)))
    updates = tuple(
        UpdateNetwork(
            uuid=uuid,
            change=NetworkChange(
                command=NetworkCommand(update.command),
                section=NetworkSection(update.section),
                subnet_index=update.subnet_index,
                xml=update.xml,
            ),
        )
        for update in live.updates
    )
    return Plan(steps=updates)


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


def plan_pool(stored: StoredObject, resource: Resource, observed: PoolObservation) -> Plan:
    """Steps to a StoragePool. A pool that libvirt has already under this name and directory is used as it is."""
    spec: StoragePoolSpec = resource.spec
    record = observed.record
    if record is None:
        define = DefinePool(uuid=stored.uid, xml=to_text(render_pool(resource, stored.uid)))
        start = StartPool(uuid=stored.uid)
        return Plan(steps=(define, start, AutostartPool(uuid=stored.uid, is_enabled=spec.autostart)))
    if record.path.rstrip("/") != spec.path.rstrip("/"):
        message = f"libvirt pool {record.name} exists with path {record.path}; rename this one or use that path"
        return Plan(blocked=(Obstacle("NameTaken", message),))
    steps: list[Step] = [] if record.is_active else [StartPool(uuid=record.uuid)]
    if record.is_autostarted != spec.autostart and record.uuid == stored.uid:
        steps.append(AutostartPool(uuid=record.uuid, is_enabled=spec.autostart))
    return Plan(steps=tuple(steps))


def plan_pool_removal(stored: StoredObject, observed: PoolObservation) -> Plan:
    """Steps to the end of a StoragePool: libvirt forgets it, its directory and volumes stay. A foreign pool is left alone."""
    record = observed.record
    if record is None or record.uuid != stored.uid:
        return Plan(is_gone=True)
    if observed.users:
        message = f"pool is used by {', '.join(observed.users)}; it is removed once they are gone"
        return Plan(waiting=(Obstacle("InUse", message),))
    stop: tuple[Step, ...] = (StopPool(uuid=record.uuid),) if record.is_active else ()
    return Plan(steps=(*stop, UndefinePool(uuid=record.uuid)))
