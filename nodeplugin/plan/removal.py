"""Deleting a VirtualMachine: graceful first, data kept by default (DESIGN law 9).

Order: stop, undefine, seeds, volumes with policy Delete, once nobody else uses them. `deletionPolicy: Detach` only takes the mark off. What
stays, or may stay, is told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from nodeplugin.plan.intent import MachineDesired
from nodeplugin.plan.machine import plan_stop
from nodeplugin.plan.observation import MachineObservation
from nodeplugin.plan.outcome import Kept, Obstacle, Plan, in_use
from nodeplugin.plan.step import DeleteVolume, DestroyDomain, ReleaseDomain, RemoveSeeds, Step, UndefineDomain
from nodeplugin.plan.storage import inline_path, lost_volume
from nodeplugin.records import Deletion
from xvirt.model.machine.disk import Disk, DiskDeletionPolicy
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
    volumes = _volumes(desired, observed)
    steps = (*_remove_seeds(desired, observed), *_remove_volumes(volumes))
    waiting = () if desired.stored.deletion is Deletion.FORCED else _find_waiting(volumes)
    return Plan(steps=steps, waiting=waiting, is_gone=not steps and not waiting, kept=_find_kept(volumes))


def _without_held_grace(desired: MachineDesired) -> MachineDesired:
    run = dataclasses.replace(desired.stored.run, stop_grace_s=None)
    return dataclasses.replace(desired, stored=dataclasses.replace(desired.stored, run=run))


def _plan_release(desired: MachineDesired, observed: MachineObservation) -> Plan:
    definitions = (observed.config, observed.live)
    if any(item is not None and item.facts.mark is not None for item in definitions):
        return Plan(steps=(ReleaseDomain(uuid=desired.stored.uid),))
    return Plan(
        is_gone=True,
        kept=tuple(
            Kept(volume.path, volume.users, is_hidden=volume.hidden is not None)
            for volume in _garbage(desired, observed)
        ),
    )


def _remove_seeds(desired: MachineDesired, observed: MachineObservation) -> tuple[Step, ...]:
    return (RemoveSeeds(uid=desired.stored.uid),) if observed.seeds else ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Volume:
    """A volume of the machine's own that is there, or that may be (`hidden`: why it cannot be seen)."""

    path: str
    format: str
    is_retained: bool = False
    users: tuple[str, ...] = ()
    hidden: Obstacle | None = None


def _volumes(desired: MachineDesired, observed: MachineObservation) -> tuple[_Volume, ...]:
    """Those of its own disks, and of disks that were its own."""
    declared = [_declared_volume(desired, observed, disk) for disk in desired.spec.disks if disk.is_inline]
    return (*(volume for volume in declared if volume is not None), *_garbage(desired, observed))


def _garbage(desired: MachineDesired, observed: MachineObservation) -> tuple[_Volume, ...]:
    use, hidden = observed.host_use.paths, observed.hidden
    return tuple(
        _Volume(path=path, format=volume_format, users=use.get(path, ()), hidden=hidden.get(path))
        for path, volume_format in desired.stored.run.garbage
        if observed.volumes.get(path) is not None or path in hidden
    )


def _declared_volume(desired: MachineDesired, observed: MachineObservation, disk: Disk) -> _Volume | None:
    """None: it is gone, or never was. A volume that nobody deletes and that was there may come back with what held it."""
    is_retained = disk.deletion_policy is DiskDeletionPolicy.RETAIN
    was_made = bool(desired.stored.run.defined_hash) or desired.stored.run.has_started
    pool = observed.references.pools[disk.pool]
    place = observed.places.get(disk.pool) if isinstance(pool, Obstacle) else pool
    if place is None:
        path, is_told = f"of disk {disk.name} in pool {disk.pool}", was_made
    else:
        path = inline_path(desired.resource, disk, place)
        is_lost = is_retained and (was_made or path in desired.stored.run.expected)
        is_told = isinstance(pool, Obstacle) or observed.volumes.get(path) is not None or is_lost
    if not is_told:
        return None
    hidden = pool if isinstance(pool, Obstacle) else None
    if hidden is None and observed.volumes.get(path) is None:
        hidden = lost_volume(path)
    users = observed.host_use.paths.get(path, ())
    return _Volume(path=path, format=disk.format.value, is_retained=is_retained, users=users, hidden=hidden)


def _find_waiting(volumes: Sequence[_Volume]) -> tuple[Obstacle, ...]:
    """Pools that will come back and may hold a volume that is to go, and who has one; a deletion by force leaves these there."""
    doomed = [volume for volume in volumes if not volume.is_retained]
    hidden = dict.fromkeys(volume.hidden for volume in doomed if volume.hidden is not None)
    used = [in_use(volume.path, volume.users) for volume in doomed if volume.users and volume.hidden is None]
    return (*(pool for pool in hidden if pool.reason == "PoolNotReady"), *used)


def _find_kept(volumes: Sequence[_Volume]) -> tuple[Kept, ...]:
    """Volumes that outlive the machine, or may."""
    return tuple(
        Kept(volume.path, () if volume.is_retained else volume.users, is_hidden=volume.hidden is not None)
        for volume in volumes
        if volume.is_retained or volume.users or volume.hidden is not None
    )


def _remove_volumes(volumes: Sequence[_Volume]) -> tuple[Step, ...]:
    return tuple(
        DeleteVolume(path=volume.path, format=volume.format)
        for volume in volumes
        if not volume.is_retained and not volume.users and volume.hidden is None
    )
