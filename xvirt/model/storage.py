"""VirtualDisk, VirtualImage and StoragePool: volumes, what they are made from, and where they lie."""

from __future__ import annotations

import dataclasses
import enum
from typing import ClassVar

from xvirt.model import limits
from xvirt.model.fields import Format, Mutability, Rule, Tree, field
from xvirt.model.machine.disk import CopyMode, DiskDeletionPolicy, DiskFormat, Preallocation, preallocation_rules
from xvirt.model.meta import Condition, HostState, LastError, host_states
from xvirt.model.quantity import ByteSize

LIVE, RESTART, FIXED = Mutability.LIVE, Mutability.RESTART, Mutability.FIXED


class ImageCompression(enum.Enum):
    """How the file of an image is packed as a whole; stated, never guessed."""

    NONE = "None"
    GZIP = "Gzip"
    XZ = "Xz"
    ZSTD = "Zstd"


class PoolType(enum.Enum):
    """libvirt's pool types that xVirt knows."""

    DIR = "Dir"
    LVM = "Lvm"


@dataclasses.dataclass(frozen=True, kw_only=True)
class VolumeSource:
    """What a new volume is filled from; none of both is a blank volume."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda source: source.image is None or source.clone is None,
            "!(has(self.image) && has(self.clone))",
            "image and clone exclude each other; keep one",
        ),
    )

    image: str | None = field(
        "VirtualImage.", FIXED, default=None, format=Format.LABEL, max_length=63, references="VirtualImage"
    )
    clone: str | None = field(
        "VirtualDisk to copy once.", FIXED, default=None, format=Format.LABEL, max_length=63, references="VirtualDisk"
    )
    copy: CopyMode = field(
        "Linked keeps only differences from an image; Full stands alone.", FIXED, default=CopyMode.LINKED
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VirtualDiskSpec:
    """A volume with a life of its own."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda spec: (
                spec.size is not None
                or (spec.source is not None and (spec.source.image is not None or spec.source.clone is not None))
            ),
            "has(self.size) || (has(self.source) && (has(self.source.image) || has(self.source.clone)))",
            "a blank disk needs a size such as 10Gi",
            "size",
        ),
        *preallocation_rules(),
    )

    size: ByteSize | None = field(
        "Size; grows, also while attached, never shrinks; absent: the source's size.",
        LIVE,
        default=None,
        unit="bytes",
        minimum=limits.VOLUME_MIN_BYTES,
        maximum=limits.VOLUME_MAX_BYTES,
    )
    source: VolumeSource | None = field("Content; absent: blank.", FIXED, default=None)
    pool: str = field(
        "StoragePool that it lies in.",
        FIXED,
        default="default",
        format=Format.LABEL,
        max_length=63,
        references="StoragePool",
    )
    format: DiskFormat = field("Format.", FIXED, default=DiskFormat.QCOW2)
    preallocation: Preallocation = field("Allocation of a new volume.", FIXED, default=Preallocation.NONE)
    deletion_policy: DiskDeletionPolicy = field(
        "Retain leaves the volume when the object is deleted.", LIVE, default=DiskDeletionPolicy.RETAIN
    )
    host: str | None = field("Host that it lies on.", FIXED, default=None, format=Format.LABEL, max_length=63)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VolumeStatus:
    """A volume as it is; what the status of VirtualDisk and VirtualImage have in common."""

    observed_generation: int = field("Generation that this status is of; -1: none yet.", LIVE, default=-1)
    printable_status: str = field("One word for a table.", LIVE, default="Pending")
    path: str = field("Path on the host.", LIVE, default="", max_length=4096)
    size: ByteSize | None = field("Virtual size.", LIVE, default=None, unit="bytes")
    allocation: ByteSize | None = field("Space taken on the host.", LIVE, default=None, unit="bytes")
    checksum: str | None = field("SHA-256 of the source as it was read.", LIVE, default=None, format=Format.CHECKSUM)
    progress_percent: int | None = field("Progress of a copy or download.", LIVE, default=None, minimum=0, maximum=100)
    transferred: ByteSize | None = field("Downloaded or uploaded so far.", LIVE, default=None, unit="bytes")
    transfer_size: ByteSize | None = field(
        "All that is downloaded or uploaded; absent while the source does not tell.", LIVE, default=None, unit="bytes"
    )
    used_by: tuple[str, ...] = field("Domains and volumes that use it.", LIVE, default=(), max_items=1024)
    last_error: LastError | None = field("What went wrong last.", LIVE, default=None)
    conditions: tuple[Condition, ...] = field("Conditions.", LIVE, default=(), list_key="type")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VirtualDiskStatus(VolumeStatus):
    """A disk as it is."""

    node_name: str = field(
        "In a cluster: the host that it lies on, for good; empty until a machine that uses it has a host.",
        LIVE,
        default="",
        max_length=63,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VirtualImageStatus(VolumeStatus):
    """An image as it is."""

    hosts: tuple[HostState, ...] = host_states()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageUpload:
    """An image whose bytes somebody sends with `xvirt image upload`."""

    size: ByteSize | None = field(
        "Bytes that will be sent; absent: not known yet.",
        FIXED,
        default=None,
        unit="bytes",
        minimum=1,
        maximum=limits.VOLUME_MAX_BYTES,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContainerDisk:
    """A container image that holds a disk, as KubeVirt's containerDisk: a registry keeps it, nothing of it is run."""

    image: str = field(
        "Registry, repository, and tag or digest; without both: `latest`.",
        FIXED,
        format=Format.CONTAINER_IMAGE,
        max_length=512,
    )
    path: str | None = field(
        "The disk's file in the image; absent: the only file in /disk.",
        FIXED,
        default=None,
        format=Format.HOST_PATH,
        max_length=1024,
    )


def _image_source_count(source: ImageSource) -> int:
    return sum(item is not None for item in (source.path, source.url, source.upload, source.container_disk))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageSource:
    """Where an image comes from: exactly one."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda source: _image_source_count(source) == 1,
            "(has(self.path) ? 1 : 0) + (has(self.url) ? 1 : 0) + (has(self.upload) ? 1 : 0)"
            " + (has(self.containerDisk) ? 1 : 0) == 1",
            "give exactly one of path, url, upload and containerDisk",
        ),
    )

    path: str | None = field("File on the host.", FIXED, default=None, format=Format.HOST_PATH, max_length=4096)
    url: str | None = field(
        "file://, http:// or https:// URL.", FIXED, default=None, format=Format.URL, max_length=4096
    )
    upload: ImageUpload | None = field("Sent by `xvirt image upload`.", FIXED, default=None)
    container_disk: ContainerDisk | None = field("Out of a container image.", FIXED, default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VirtualImageSpec:
    """A checked copy of an image in a pool, that disks are made from. An image never changes: a new content is a new object."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda spec: spec.source.container_disk is None or spec.compression is ImageCompression.NONE,
            "!has(self.source.containerDisk) || !has(self.compression) || self.compression == 'None'",
            "a container image is unpacked by itself; remove compression",
            "compression",
        ),
    )

    source: ImageSource = field("Where it comes from.", FIXED)
    format: DiskFormat = field("Format of the file, once unpacked; never guessed.", FIXED, default=DiskFormat.QCOW2)
    compression: ImageCompression = field(
        "How the file is packed as a whole; never guessed.", FIXED, default=ImageCompression.NONE
    )
    checksum: str | None = field(
        "Expected SHA-256 of the file as it is fetched, before it is unpacked; of a container image: its digest.",
        FIXED,
        default=None,
        format=Format.CHECKSUM,
    )
    pool: str = field(
        "StoragePool of the copy.",
        FIXED,
        default="default",
        format=Format.LABEL,
        max_length=63,
        references="StoragePool",
    )
    deletion_policy: DiskDeletionPolicy = field(
        "Delete removes the copy with the object, once no disk is based on it.", LIVE, default=DiskDeletionPolicy.DELETE
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoragePoolSpec:
    """A libvirt pool."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda spec: (spec.type is PoolType.DIR) == (spec.path is not None),
            "(!has(self.type) || self.type == 'Dir') == has(self.path)",
            "a Dir pool needs a path, and only a Dir pool has one",
            "path",
        ),
        Rule(
            lambda spec: (spec.type is PoolType.LVM) == (spec.volume_group is not None),
            "(has(self.type) && self.type == 'Lvm') == has(self.volumeGroup)",
            "an Lvm pool needs a volumeGroup, and only an Lvm pool has one",
            "volumeGroup",
        ),
        Rule(
            lambda spec: spec.type is PoolType.LVM or not spec.devices,
            "(has(self.type) && self.type == 'Lvm') || !has(self.devices) || size(self.devices) == 0",
            "only an Lvm pool is made of devices; remove them",
            "devices",
        ),
    )

    type: PoolType = field("Dir: files in a directory. Lvm: logical volumes of a group.", FIXED, default=PoolType.DIR)
    path: str | None = field(
        "Directory on the host, of a Dir pool.", FIXED, default=None, format=Format.HOST_PATH, max_length=4096
    )
    volume_group: str | None = field(
        "LVM volume group, of an Lvm pool.", FIXED, default=None, format=Format.VOLUME_GROUP, max_length=63
    )
    devices: tuple[str, ...] = field(
        "Blank devices that the volume group is made of where the host has none of this name.",
        FIXED,
        default=(),
        format=Format.HOST_PATH,
        max_length=4096,
        max_items=64,
    )
    autostart: bool = field("Whether libvirt starts it with the host.", LIVE, default=True)
    hosts: tuple[str, ...] = field(
        "Hosts that have it; empty: all.", LIVE, default=(), format=Format.LABEL, max_length=63, max_items=1024
    )
    pool: Tree | None = field(
        "Everything else that libvirt can do with the pool, such as permissions: a tree laid over the generated pool XML, strings"
        " only.",
        FIXED,
        default=None,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoolHostState(HostState):
    """A pool as one host has it."""

    capacity: ByteSize | None = field("Size of the file system or group there.", LIVE, default=None, unit="bytes")
    available: ByteSize | None = field("Free space there.", LIVE, default=None, unit="bytes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoragePoolStatus:
    """A pool as it is."""

    observed_generation: int = field("Generation that this status is of; -1: none yet.", LIVE, default=-1)
    printable_status: str = field("One word for a table.", LIVE, default="Pending")
    uuid: str | None = field("libvirt's UUID of the pool.", LIVE, default=None, format=Format.UUID)
    path: str = field("Directory.", LIVE, default="", max_length=4096)
    capacity: ByteSize | None = field(
        "Size of the file system or group; of a pool on several hosts: theirs together.",
        LIVE,
        default=None,
        unit="bytes",
    )
    available: ByteSize | None = field(
        "Free space; of a pool on several hosts: theirs together.", LIVE, default=None, unit="bytes"
    )
    hosts: tuple[PoolHostState, ...] = host_states()
    last_error: LastError | None = field("What went wrong last.", LIVE, default=None)
    conditions: tuple[Condition, ...] = field("Conditions.", LIVE, default=(), list_key="type")
