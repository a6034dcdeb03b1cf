"""Deleting a VirtualMachine: graceful first, data kept by default (DESIGN law 9).

Order: stop, undefine, seeds, volumes with policy Delete that nobody else uses. `deletionPolicy: Detach` only takes the mark off.
"""

from __future__ import annotations

import dataclasses

from nodeplugin.plan.intent import MachineDesired
from nodeplugin.plan.machine import plan_stop
from nodeplugin.plan.observation import MachineObservation
from nodeplugin.plan.outcome import Obstacle, Plan
from nodeplugin.plan.place import PoolPlace
from nodeplugin.plan.step import DeleteVolume, DestroyDomain, ReleaseDomain, RemoveSeeds, Step, UndefineDomain
from nodeplugin.plan.storage import inline_path
from nodeplugin.records import Deletion
from xvirt.model.machine.disk import DiskDeletionPolicy
from xvirt.model.virtualmachine import MachineDeletionPolicy


def plan_machine_removal(desired: MachineDesired, observed: MachineObservation) -> Plan:
    """Steps to the machine's end; `is_gone` once nothing is left to do."""
    if desired.spec.deletion_policy is MachineDeletionPolicy.DETACH:
        return _plan_release(desired, observed)
    domain = observed.domain
    if domain is not None and domain.is_active:
        if desired.stored.deletion is Deletion.FORCED:
            return Plan(steps=(DestroyDomain(uuid=desired.stored.uid),))
        stop = plan_stop(_without_held_grace(desired), observed)
        return Plan(steps=stop.steps, waiting=stop.waiting, check_after_s=stop.check_after_s)
    if domain is not None:
        return Plan(steps=(UndefineDomain(uuid=desired.stored.uid),))
    steps = (*_remove_seeds(desired, observed), *_remove_volumes(desired, observed))
    hidden = _find_hidden(desired, observed)
    return Plan(steps=steps, waiting=hidden, is_gone=not steps and not hidden, kept=_find_kept(desired, observed))


def _without_held_grace(desired: MachineDesired) -> MachineDesired:
    run = dataclasses.replace(desired.stored.run, stop_grace_s=None)
    return dataclasses.replace(desired, stored=dataclasses.replace(desired.stored, run=run))


def _plan_release(desired: MachineDesired, observed: MachineObservation) -> Plan:
    definitions = (observed.config, observed.live)
    if any(item is not None and item.facts.mark is not None for item in definitions):
        return Plan(steps=(ReleaseDomain(uuid=desired.stored.uid),))
    return Plan(is_gone=True)


def _remove_seeds(desired: MachineDesired, observed: MachineObservation) -> tuple[Step, ...]:
    return (RemoveSeeds(uid=desired.stored.uid),) if observed.seeds else ()


def _find_hidden(desired: MachineDesired, observed: MachineObservation) -> tuple[Obstacle, ...]:
    """Pools that will come back and may hold a volume that is to go; a deletion by force leaves that there."""
    if desired.stored.deletion is Deletion.FORCED:
        return ()
    doomed = [
        disk for disk in desired.spec.disks if disk.is_inline and disk.deletion_policy is DiskDeletionPolicy.DELETE
    ]
    pools = {disk.pool: observed.references.pools.get(disk.pool) for disk in doomed}
    return tuple(pool for pool in pools.values() if isinstance(pool, Obstacle) and pool.reason == "PoolNotReady")


def _find_kept(desired: MachineDesired, observed: MachineObservation) -> tuple[str, ...]:
    """Volumes of the machine's own disks that outlive it."""
    return tuple(
        path
        for disk in desired.spec.disks
        if disk.is_inline and disk.deletion_policy is DiskDeletionPolicy.RETAIN
        if isinstance(pool := observed.references.pools.get(disk.pool), PoolPlace)
        if observed.volumes.get(path := inline_path(desired.resource, disk, pool)) is not None
    )


def _remove_volumes(desired: MachineDesired, observed: MachineObservation) -> tuple[Step, ...]:
    doomed = list(desired.stored.run.garbage)
    for disk in desired.spec.disks:
        pool = observed.references.pools.get(disk.pool)
        if disk.is_inline and disk.deletion_policy is DiskDeletionPolicy.DELETE and isinstance(pool, PoolPlace):
            doomed.append((inline_path(desired.resource, disk, pool), disk.format.value))
    return tuple(
        DeleteVolume(path=path, format=volume_format)
        for path, volume_format in doomed
        if observed.volumes.get(path) is not None and not observed.host_use.paths.get(path)
    )
