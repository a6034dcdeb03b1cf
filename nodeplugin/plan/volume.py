"""VirtualDisk and VirtualImage: made once, grown, deleted only while nobody uses them."""

from __future__ import annotations

import dataclasses
import posixpath
import urllib.parse
from collections.abc import Iterator, Mapping

from nodeplugin.hypervisor.port import VolumeFacts
from nodeplugin.images.port import ImageRequest, Origin, TransferFacts, TransferState, Trust
from nodeplugin.plan.observation import HostUse, VolumeObservation
from nodeplugin.plan.outcome import Kept, Obstacle, Plan, in_use
from nodeplugin.plan.place import PoolPlace, find_place_obstacle
from nodeplugin.plan.step import CancelImport, DeleteVolume, GrowVolume, ImportImage, ResizeDisk, Step
from nodeplugin.plan.storage import (
    PREALLOCATION,
    Content,
    Place,
    VolumePlan,
    inline_owner,
    inline_path,
    lost_volume,
    plan_volume,
)
from nodeplugin.records import StoredObject
from xvirt.model.identity import VolumeOwner, image_volume_name
from xvirt.model.machine.disk import DiskDeletionPolicy
from xvirt.model.meta import Resource
from xvirt.model.storage import ImageCompression, ImageSource, VirtualDiskSpec, VirtualImageSpec
from xvirt.model.virtualmachine import VirtualMachineSpec

_PERSONAL = frozenset({"SizeTooSmall", "ShrinkRefused", "VolumeDiffers"})
_BUSY_REASONS = {
    Origin.URL: "Downloading",
    Origin.PATH: "Copying",
    Origin.UPLOAD: "Checking",
    Origin.CONTAINER_DISK: "Downloading",
}
TRANSFER_REASONS = frozenset({*_BUSY_REASONS.values(), "AwaitingUpload", "Uploading"})
"""Waiting for these needs no second look: the transfer wakes its image."""


def owner_of(stored: StoredObject, spec: VirtualDiskSpec | VirtualImageSpec) -> VolumeOwner:
    """Whose the volume of a VirtualDisk or VirtualImage is."""
    return VolumeOwner(stored.kind, stored.namespace, stored.name, spec.format.value)


def volume_owners(resource: Resource) -> Iterator[VolumeOwner]:
    """Of the volumes that a machine's or a VirtualDisk's document makes."""
    meta = resource.metadata
    if isinstance(resource.spec, VirtualDiskSpec):
        yield VolumeOwner(resource.kind, meta.namespace, meta.name, resource.spec.format.value)
    elif isinstance(resource.spec, VirtualMachineSpec):
        yield from (inline_owner(resource, disk) for disk in resource.spec.disks if disk.is_inline)


def volume_path(stored: StoredObject, spec: VirtualDiskSpec | VirtualImageSpec, pool: PoolPlace) -> str:
    """Path of a VirtualDisk's volume or of a VirtualImage's copy."""
    return pool.path_of(owner_of(stored, spec))


def volume_paths(stored: StoredObject, pools: Mapping[str, PoolPlace]) -> Iterator[str]:
    """Paths of the volumes that an object declares, and of those that it is to delete yet, in the pools that are given."""
    spec = stored.resource.spec
    if isinstance(spec, VirtualDiskSpec | VirtualImageSpec):
        if spec.pool in pools:
            yield volume_path(stored, spec, pools[spec.pool])
    elif isinstance(spec, VirtualMachineSpec):
        yield from (path for path, _ in stored.run.garbage)
        for disk in spec.disks:
            if disk.is_inline and disk.pool in pools:
                yield inline_path(stored.resource, disk, pools[disk.pool])


def plan_virtual_disk(stored: StoredObject, spec: VirtualDiskSpec, observed: VolumeObservation, use: HostUse) -> Plan:
    """Steps to a VirtualDisk."""
    pool = observed.references.pools.get(spec.pool, Obstacle("PoolNotFound", f"StoragePool {spec.pool} is not there"))
    if isinstance(pool, Obstacle):
        return Plan(waiting=(pool,))
    source = spec.source
    content = Content(size_bytes=spec.size)
    if source is not None:
        content = Content(image=source.image, clone=source.clone, copy=source.copy, size_bytes=spec.size)
    if (obstacle := find_place_obstacle(pool, owner_of(stored, spec))) is not None:
        return Plan(blocked=(obstacle,))
    place = Place(
        path=volume_path(stored, spec, pool),
        format=spec.format.value,
        pool=spec.pool,
        preallocation=PREALLOCATION[spec.preallocation],
        group=pool.group,
    )
    if observed.volume is None and place.path in (stored.status.get("path"), *stored.run.expected):
        return Plan(blocked=(lost_volume(place.path),))
    if (obstacle := find_difference(stored, spec, observed.volume)) is not None:
        return Plan(blocked=(obstacle,))
    plan = plan_volume(place, content, observed.volume, observed.references, use)
    return Plan(
        steps=_grow_attached(stored.name, plan, observed),
        waiting=tuple(item for item in plan.obstacles if item.reason not in _PERSONAL),
        blocked=tuple(item for item in plan.obstacles if item.reason in _PERSONAL),
    )


def _grow_attached(name: str, plan: VolumePlan, observed: VolumeObservation) -> tuple[Step, ...]:
    """A running QEMU grows the file that it has open, and is told of a device that has grown."""
    grow_to = plan.grow_to_bytes
    if not observed.attached or grow_to is None:
        return plan.steps
    kept = tuple(step for step in plan.steps if not isinstance(step, GrowVolume) or step.is_device)
    if observed.guest_capacity_bytes is not None and observed.guest_capacity_bytes >= grow_to:
        return kept
    uuid, target = observed.attached[0]
    return (*kept, ResizeDisk(uuid=uuid, what=f"disk {name}", target=target, capacity_bytes=grow_to))


def is_taken_back(stored: StoredObject, volume: VolumeFacts | None) -> bool:
    """Whether a volume is there that this object was not seen to have yet: one of an earlier object of its name, or a hand's."""
    return volume is not None and not stored.status.get("path") and not stored.run.expected


def find_difference(stored: StoredObject, spec: VirtualDiskSpec, volume: VolumeFacts | None) -> Obstacle | None:
    """Why a volume that was there before is not taken back: it holds differences from something else than is declared."""
    below = volume.backing_path if volume is not None else None
    if volume is None or below is None or not is_taken_back(stored, volume):
        return None
    image = spec.source.image if spec.source is not None else None
    if image is not None and posixpath.basename(below).startswith(image_volume_name(stored.namespace, image, "")):
        return None
    message = (
        f"volume {volume.path} was there before and is based on {below}, which is not the declared source;"
        " declare it as it was, or move the file away"
    )
    return Obstacle("VolumeDiffers", message)


def image_request(stored: StoredObject, spec: VirtualImageSpec, pool: PoolPlace) -> ImageRequest:
    """What is to be fetched for a VirtualImage."""
    origin, source = _find_source(stored, spec.source)
    container = spec.source.container_disk
    return ImageRequest(
        uid=stored.uid,
        path=volume_path(stored, spec, pool),
        format=spec.format.value,
        origin=origin,
        source=source,
        checksum=spec.checksum,
        compression=spec.compression,
        trust=Trust.ANY if stored.profile == "privileged" else Trust.LISTED,
        member=container.path if container is not None else None,
    )


def _find_source(stored: StoredObject, source: ImageSource) -> tuple[Origin, str]:
    if source.path is not None:
        return Origin.PATH, posixpath.normpath(source.path)
    if source.container_disk is not None:
        return Origin.CONTAINER_DISK, source.container_disk.image
    if source.url is None:
        return Origin.UPLOAD, stored.uid
    parts = urllib.parse.urlsplit(source.url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Origin.PATH, posixpath.normpath(urllib.parse.unquote(parts.path))
    return Origin.URL, source.url


def plan_virtual_image(stored: StoredObject, spec: VirtualImageSpec, observed: VolumeObservation) -> Plan:
    """Steps to a VirtualImage: nothing once its copy is there, for an image never changes."""
    pool = observed.references.pools.get(spec.pool, Obstacle("PoolNotFound", f"StoragePool {spec.pool} is not there"))
    if isinstance(pool, Obstacle):
        return Plan(waiting=(pool,))
    if (found := find_place_obstacle(pool, owner_of(stored, spec))) is not None:
        return Plan(blocked=(found,))
    request = dataclasses.replace(image_request(stored, spec, pool), twin_path=observed.twin_path)
    obstacle = _find_transfer(stored, request, observed.transfer)
    if obstacle is not None:
        return Plan(waiting=(obstacle,))
    if observed.volume is not None and _is_summed(stored, spec, observed.transfer):
        return Plan()
    return Plan(steps=(ImportImage(request=request),))


def _is_summed(stored: StoredObject, spec: VirtualImageSpec, transfer: TransferFacts | None) -> bool:
    """Whether what is in place was summed for this object, and not left by an earlier one of its name; what is packed, or was
    taken out of a container image, cannot be summed any more."""
    if spec.compression is not ImageCompression.NONE or spec.source.container_disk is not None:
        return True
    return bool(stored.status.get("checksum")) or (transfer is not None and transfer.checksum is not None)


def _find_transfer(stored: StoredObject, request: ImageRequest, transfer: TransferFacts | None) -> Obstacle | None:
    if transfer is None or transfer.state in (TransferState.DONE, TransferState.FAILED):
        return None
    if transfer.state is TransferState.AWAITING:
        message = f"nothing was sent yet; `xvirt image upload {stored.name} FILE -n {stored.namespace}` sends it"
        return Obstacle("AwaitingUpload", message)
    if transfer.state is TransferState.RECEIVING:
        return Obstacle("Uploading", "the image is being uploaded")
    messages = {
        TransferState.QUEUED: f"{request.shown} is fetched when one of the transfers before it has ended",
        TransferState.CHECKING: f"{request.shown} is here and is being checked",
    }
    return Obstacle(_BUSY_REASONS[request.origin], messages.get(transfer.state, f"{request.shown} is being fetched"))


def plan_volume_removal(
    stored: StoredObject, spec: VirtualDiskSpec | VirtualImageSpec, observed: VolumeObservation
) -> Plan:
    """Steps to the end of a VirtualDisk or VirtualImage; blocked while anything uses its volume. A transfer ends first: it could
    bring the volume back. A volume that was there and cannot be seen may stay."""
    pool = observed.references.pools[spec.pool]
    seen = str(stored.status.get("path") or "")
    if isinstance(pool, Obstacle):
        if pool.reason != "PoolNotFound":
            return Plan(waiting=(pool,))
        return Plan(is_gone=True, kept=(Kept(seen, is_hidden=True),) if seen else ())
    if observed.transfer is not None:
        return Plan(steps=(CancelImport(uid=observed.uid),))
    path, is_retained = volume_path(stored, spec, pool), spec.deletion_policy is DiskDeletionPolicy.RETAIN
    was_made = path in (seen, *stored.run.expected)
    if observed.volume is None:
        return Plan(is_gone=True, kept=(Kept(path, is_hidden=True),) if is_retained and was_made else ())
    if is_retained:
        return Plan(is_gone=True, kept=(Kept(path),))
    if observed.users:
        return Plan(waiting=(in_use(path, observed.users),))
    return Plan(steps=(DeleteVolume(path=path, format=spec.format.value),))
