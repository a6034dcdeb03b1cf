"""Which hosts an object belongs on. Pure.

StoragePool      all hosts, or those of `spec.hosts`
VirtualNetwork   the hosts of the machines that name it; it stays where it is until it is deleted
VirtualImage     the same, and the hosts of the disks that are made from it
VirtualDisk      one, for good: the recorded one, one that has it, `spec.host`, that of the disk which it copies, that of its first user
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from xvirt.operator.dependents.needs import User
from xvirt.operator.dependents.records import Dependent, Problem
from xvirt.operator.dependents.references import DiskPlace, find_place
from xvirt.operator.readings import names_of, part_of


def pool_hosts(spec: Mapping[str, Any], hosts: Iterable[str]) -> frozenset[str]:
    """Of a StoragePool, in a cluster with these hosts."""
    return frozenset(names_of(spec, "hosts") or hosts)


def first_user_host(users: Iterable[User]) -> str:
    """Host of the oldest user that has one and is to stay; empty where none has."""
    placed = [user for user in users if user.host and not user.is_leaving]
    return min(placed, key=lambda user: (user.created, user.kind, user.key)).host if placed else ""


def disk_place(disk: Mapping[str, Any], users: Iterable[User]) -> DiskPlace:
    """A VirtualDisk of the cluster, as far as it binds machines and disks."""
    spec, status = part_of(disk, "spec"), part_of(disk, "status")
    clone = part_of(spec, "source").get("clone")
    return DiskPlace(
        host=str(status.get("nodeName") or spec.get("host") or ""),
        clone=str(clone) if clone else None,
        user_host=first_user_host(users),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DiskScene:
    """What decides where a VirtualDisk lies.

    `disks`: itself, and those that it is copied from. `sighted`: hosts that show it. `is_made`: one of them shows a volume of it.
    """

    disk: Dependent
    disks: Mapping[str, DiskPlace]
    sighted: tuple[str, ...] = ()
    is_made: bool = False


def disk_host(scene: DiskScene) -> str:
    """The disk's host; empty while nothing decides it."""
    disk = scene.disk
    decided = (*disk.recorded, *scene.sighted, find_place(disk.name, scene.disks) or "")
    return next((host for host in decided if host), "")


def disk_problem(scene: DiskScene) -> Problem | None:
    """Why the disk cannot be made on its host."""
    host = disk_host(scene)
    others = [other for other in scene.sighted if other != host]
    if others:
        message = f"it is on host {host}, and on {', '.join(others)} as well; look which one is in use, and remove the other there"
        return Problem("DeclaredTwice", message)
    clone = scene.disks[scene.disk.name].clone if scene.disk.name in scene.disks else None
    source = find_place(clone, scene.disks) if clone and not scene.is_made else None
    if not source or not host or source == host:
        return None
    message = (
        f"it is on host {host}, and VirtualDisk {clone}, which it is to be copied from, on host {source}; declare this one anew with"
        f" spec.host: {source}, or copy another disk"
    )
    return Problem("CloneElsewhere", message)
