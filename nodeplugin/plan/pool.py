"""StoragePool: a directory or a volume group that libvirt knows. Nothing in it is ever removed with it."""

from __future__ import annotations

from nodeplugin.plan.observation import PoolObservation
from nodeplugin.plan.outcome import Obstacle, Plan
from nodeplugin.plan.step import AutostartPool, CreateGroup, DefinePool, StartPool, Step, StopPool, UndefinePool
from nodeplugin.records import StoredObject
from xvirt.domainxml.pool import pool_directory, render_pool
from xvirt.domainxml.tree import to_text
from xvirt.model.meta import Resource
from xvirt.model.storage import StoragePoolSpec

VANISHED_CHECK_S = 10.0
"""No event tells of a mount."""


def plan_pool(stored: StoredObject, resource: Resource, observed: PoolObservation) -> Plan:
    """Steps to a StoragePool. A pool that libvirt has already under this name and directory is used as it is."""
    spec: StoragePoolSpec = resource.spec
    record, path = observed.record, pool_directory(spec)
    if not observed.has_group:
        return _plan_group(spec)
    if record is None:
        define = DefinePool(uuid=stored.uid, xml=to_text(render_pool(resource, stored.uid)))
        start = StartPool(uuid=stored.uid)
        return Plan(steps=(define, start, AutostartPool(uuid=stored.uid, is_enabled=spec.autostart)))
    if record.path.rstrip("/") != path.rstrip("/"):
        message = f"libvirt pool {record.name} exists with path {record.path}; rename this one or use that path"
        return Plan(blocked=(Obstacle("NameTaken", message),))
    if record.is_active and observed.space is None:
        # Started again it would be made anew, empty, where a file system is to be mounted.
        message = f"directory {path} of the pool has vanished; mount or restore it, it goes on by itself"
        return Plan(waiting=(Obstacle("DirectoryVanished", message),), check_after_s=VANISHED_CHECK_S)
    steps: list[Step] = [] if record.is_active else [StartPool(uuid=record.uuid)]
    if record.is_autostarted != spec.autostart and record.uuid == stored.uid:
        steps.append(AutostartPool(uuid=record.uuid, is_enabled=spec.autostart))
    return Plan(steps=tuple(steps))


def _plan_group(spec: StoragePoolSpec) -> Plan:
    group = spec.volume_group or ""
    if spec.devices:
        return Plan(steps=(CreateGroup(group=group, devices=spec.devices),))
    message = f"the host has no volume group {group}; make it with `vgcreate {group} DEVICE`, or name its devices"
    return Plan(waiting=(Obstacle("VolumeGroupNotFound", message),))


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
