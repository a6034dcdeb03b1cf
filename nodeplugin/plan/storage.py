"""Volumes: where a declared disk lies, what makes it, and whether it may grow."""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Iterable, Mapping

from nodeplugin.hypervisor.port import VolumeFacts, VolumeRequest
from nodeplugin.plan.observation import HostUse, References, ResolvedVolume
from nodeplugin.plan.outcome import Obstacle
from nodeplugin.plan.place import PoolPlace, find_place_obstacle
from nodeplugin.plan.step import CreateVolume, GrowVolume, Step
from xvirt.model.identity import VolumeOwner
from xvirt.model.machine.disk import CopyMode, Disk, DiskDevice, DiskSource, Preallocation
from xvirt.model.meta import Resource
from xvirt.model.quantity import ByteSize

PREALLOCATION = {Preallocation.NONE: "off", Preallocation.METADATA: "metadata", Preallocation.FULL: "full"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Content:
    """What a volume is to hold."""

    image: str | None = None
    clone: str | None = None
    copy: CopyMode = CopyMode.LINKED
    size_bytes: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Where a volume is to lie."""

    path: str
    format: str
    pool: str
    preallocation: str = "off"
    group: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class VolumePlan:
    """A disk's volume: its path and format (None for an empty CD drive or where it cannot be known yet), what makes it or grows
    it while nobody has it open, and the size that it is to have."""

    path: str | None = None
    format: str = ""
    steps: tuple[Step, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    grow_to_bytes: int | None = None


def plan_disk(
    machine: Resource, disk: Disk, references: References, volumes: Mapping[str, VolumeFacts | None], use: HostUse
) -> VolumePlan:
    """A machine's disk."""
    source = disk.source
    if source is None:
        return VolumePlan()
    if source.path is not None:
        return VolumePlan(path=source.path, format=disk.format.value)
    if source.disk is not None:
        found = references.disks.get(source.disk, Obstacle("DiskNotFound", f"VirtualDisk {source.disk} is not there"))
        if isinstance(found, Obstacle):
            return VolumePlan(obstacles=(found,))
        return VolumePlan(path=found.path, format=found.format)
    if disk.device is DiskDevice.CDROM:
        return _plan_medium(source, references)
    pool = references.pools.get(disk.pool, Obstacle("PoolNotFound", f"StoragePool {disk.pool} is not there"))
    if isinstance(pool, Obstacle):
        return VolumePlan(obstacles=(pool,))
    owner = inline_owner(machine, disk)
    path = pool.path_of(owner)
    if (obstacle := find_place_obstacle(pool, owner)) is not None:
        return VolumePlan(obstacles=(obstacle,))
    content = Content(image=source.image, clone=source.clone, copy=source.copy, size_bytes=source.size)
    place = Place(
        path=path,
        format=disk.format.value,
        pool=disk.pool,
        preallocation=PREALLOCATION[disk.preallocation],
        group=pool.group,
    )
    return plan_volume(place, content, volumes.get(path), references, use)


def _plan_medium(source: DiskSource, references: References) -> VolumePlan:
    """A drive reads the image itself: nothing is ever written to it, so all drives of the host may share it."""
    missing = Obstacle("ImageNotFound", f"VirtualImage {source.image} is not there; apply it")
    found = references.images.get(source.image or "", missing)
    if isinstance(found, Obstacle):
        return VolumePlan(obstacles=(found,))
    return VolumePlan(path=found.path, format=found.format)


def inline_owner(machine: Resource, disk: Disk) -> VolumeOwner:
    """Whose the volume of a disk is that the machine itself declares."""
    meta = machine.metadata
    return VolumeOwner(machine.kind, meta.namespace, meta.name, disk.format.value, disk.name)


def find_seen(owner: VolumeOwner, seen: Iterable[str]) -> str | None:
    """The volume of an owner among paths that were seen; known by its name, since its pool may not be known yet."""
    names = (owner.file_name, owner.logical_name)
    return next((path for path in seen if posixpath.basename(path) in names), None)


def inline_path(machine: Resource, disk: Disk, pool: PoolPlace) -> str:
    """Path of the volume of a disk that the machine itself declares."""
    return pool.path_of(inline_owner(machine, disk))


def plan_volume(
    place: Place, content: Content, existing: VolumeFacts | None, references: References, use: HostUse
) -> VolumePlan:
    """A volume that this declaration makes: kept and perhaps grown where it exists, made where it does not."""
    if existing is not None:
        return _plan_existing(place, content, existing)
    origin = _find_origin(content, references, use)
    if isinstance(origin, Obstacle):
        return VolumePlan(path=place.path, format=place.format, obstacles=(origin,))
    if origin is not None and content.size_bytes is not None and content.size_bytes < origin.capacity_bytes:
        message = (
            f"size {ByteSize(content.size_bytes)} is below the source's {ByteSize(origin.capacity_bytes)};"
            " raise it or leave it out"
        )
        return VolumePlan(path=place.path, format=place.format, obstacles=(Obstacle("SizeTooSmall", message),))
    step = CreateVolume(request=_request(place, content, origin), pool=place.pool)
    return VolumePlan(path=place.path, format=place.format, steps=(step,))


def lost_volume(path: str) -> Obstacle:
    """A volume that was there and is not: a file system that is not mounted looks the same, and a blank one in its place would be
    taken for the data."""
    message = (
        f"volume {path} was there and is gone; mount or restore what held it, and this goes on by itself;"
        " to begin with a new one, delete the object and declare it again"
    )
    return Obstacle("VolumeLost", message)


def _plan_existing(place: Place, content: Content, existing: VolumeFacts) -> VolumePlan:
    wanted = -(-content.size_bytes // existing.unit_bytes) * existing.unit_bytes if content.size_bytes else None
    if wanted is None or wanted == existing.capacity_bytes:
        return VolumePlan(path=place.path, format=place.format, grow_to_bytes=wanted if existing.is_device else None)
    if wanted < existing.capacity_bytes:
        message = (
            f"volume {place.path} has {ByteSize(existing.capacity_bytes)}, {ByteSize(content.size_bytes or 0)} is asked for;"
            " a volume never shrinks: ask for at least its size, or move the file away"
        )
        return VolumePlan(path=place.path, format=place.format, obstacles=(Obstacle("ShrinkRefused", message),))
    step = GrowVolume(path=place.path, format=place.format, capacity_bytes=wanted, is_device=existing.is_device)
    return VolumePlan(path=place.path, format=place.format, steps=(step,), grow_to_bytes=wanted)


def _find_origin(content: Content, references: References, use: HostUse) -> ResolvedVolume | Obstacle | None:
    if content.image is not None:
        missing = Obstacle("ImageNotFound", f"VirtualImage {content.image} is not there; apply it")
        return references.images.get(content.image, missing)
    if content.clone is None:
        return None
    missing = Obstacle("DiskNotFound", f"VirtualDisk {content.clone} is not there; apply it")
    found = references.disks.get(content.clone, missing)
    if isinstance(found, ResolvedVolume) and use.open_paths.get(found.path):
        users = ", ".join(use.open_paths[found.path])
        return Obstacle(
            "DiskInUse", f"VirtualDisk {content.clone} is in use by {users}; stop it, then the copy is made"
        )
    return found


def _request(place: Place, content: Content, origin: ResolvedVolume | None) -> VolumeRequest:
    size = content.size_bytes
    if origin is None:
        return VolumeRequest(
            path=place.path,
            format=place.format,
            capacity_bytes=size,
            preallocation=place.preallocation,
            group=place.group,
        )
    is_linked = content.image is not None and content.copy is CopyMode.LINKED and place.format == "qcow2"
    if is_linked:
        return VolumeRequest(
            path=place.path,
            format=place.format,
            capacity_bytes=size or origin.capacity_bytes,
            backing_path=origin.path,
            backing_format=origin.format,
        )
    return VolumeRequest(
        path=place.path,
        format=place.format,
        capacity_bytes=size or origin.capacity_bytes,
        source_path=origin.path,
        source_format=origin.format,
        preallocation=place.preallocation,
        group=place.group,
    )
