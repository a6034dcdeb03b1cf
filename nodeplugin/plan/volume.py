"""VirtualDisk and VirtualImage: made once, grown, deleted only while nobody uses them."""

from __future__ import annotations

from nodeplugin.plan.observation import HostUse, VolumeObservation
from nodeplugin.plan.outcome import Obstacle, Plan
from nodeplugin.plan.step import DeleteVolume, GrowVolume, ImportImage, ResizeDisk, Step
from nodeplugin.plan.storage import PREALLOCATION, Content, Place, plan_volume
from nodeplugin.records import StoredObject
from xvirt.model.identity import disk_volume_name, image_volume_name
from xvirt.model.storage import VirtualDiskSpec, VirtualImageSpec
from xvirt.model.virtualmachine import DiskDeletionPolicy

_PERSONAL = frozenset({"SizeTooSmall", "ShrinkRefused"})


def disk_path(stored: StoredObject, spec: VirtualDiskSpec, pool_directory: str) -> str:
    """Path of a VirtualDisk's volume."""
    return f"{pool_directory}/{disk_volume_name(stored.namespace, stored.name, spec.format.value)}"


def image_path(stored: StoredObject, spec: VirtualImageSpec, pool_directory: str) -> str:
    """Path of a VirtualImage's copy."""
    return f"{pool_directory}/{image_volume_name(stored.namespace, stored.name, spec.format.value)}"


def plan_virtual_disk(stored: StoredObject, spec: VirtualDiskSpec, observed: VolumeObservation, use: HostUse) -> Plan:
    """Steps to a VirtualDisk."""
    pool = observed.references.pools.get(spec.pool, Obstacle("PoolNotFound", f"StoragePool {spec.pool} is not there"))
    if isinstance(pool, Obstacle):
        return Plan(waiting=(pool,))
    source = spec.source
    content = Content(size_bytes=spec.size)
    if source is not None:
        content = Content(image=source.image, clone=source.clone, copy=source.copy, size_bytes=spec.size)
    path = disk_path(stored, spec, pool)
    place = Place(path=path, format=spec.format.value, pool=spec.pool, preallocation=PREALLOCATION[spec.preallocation])
    plan = plan_volume(place, content, observed.volume, observed.references, use)
    steps: list[Step] = []
    for step in plan.steps:
        if isinstance(step, GrowVolume) and observed.attached:
            uuid, target = observed.attached[0]
            what = f"disk {stored.name}"
            steps.append(ResizeDisk(uuid=uuid, what=what, target=target, capacity_bytes=step.capacity_bytes))
        else:
            steps.append(step)
    return Plan(
        steps=tuple(steps),
        waiting=tuple(item for item in plan.obstacles if item.reason not in _PERSONAL),
        blocked=tuple(item for item in plan.obstacles if item.reason in _PERSONAL),
    )


def plan_virtual_image(stored: StoredObject, spec: VirtualImageSpec, observed: VolumeObservation) -> Plan:
    """Steps to a VirtualImage: nothing once its copy is there, for an image never changes."""
    pool = observed.references.pools.get(spec.pool, Obstacle("PoolNotFound", f"StoragePool {spec.pool} is not there"))
    if isinstance(pool, Obstacle):
        return Plan(waiting=(pool,))
    if observed.volume is not None:
        return Plan()
    step = ImportImage(
        path=image_path(stored, spec, pool),
        format=spec.format.value,
        source_path=spec.source.path,
        source_url=spec.source.url,
        checksum=spec.checksum,
    )
    return Plan(steps=(step,))


def plan_volume_removal(policy: DiskDeletionPolicy, path: str, volume_format: str, observed: VolumeObservation) -> Plan:
    """Steps to the end of a VirtualDisk or VirtualImage; blocked while anything uses its volume."""
    if policy is DiskDeletionPolicy.RETAIN or observed.volume is None:
        return Plan(is_gone=True)
    if observed.users:
        message = f"volume {path} is used by {', '.join(observed.users)}; it is deleted once they are gone"
        return Plan(waiting=(Obstacle("InUse", message),))
    return Plan(steps=(DeleteVolume(path=path, format=volume_format),))
