"""Disks of a VirtualMachine: what they hold, how they are attached, how they are reported."""

from __future__ import annotations

import dataclasses
import enum
import re
from typing import Any, ClassVar

from xvirt.model import limits
from xvirt.model.fields import Format, Mutability, Rule, field
from xvirt.model.machine.disk_limits import DiskLimits
from xvirt.model.quantity import ByteSize

LIVE, RESTART, FIXED = Mutability.LIVE, Mutability.RESTART, Mutability.FIXED


TARGET = "[vsh]d[a-z]{1,3}"
"""Targets of disks on the buses that `DiskBus` has."""


class DiskDeletionPolicy(enum.Enum):
    """What becomes of a volume when its declaration is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class DiskDevice(enum.Enum):
    """What the guest sees."""

    DISK = "Disk"
    CDROM = "Cdrom"


class DiskBus(enum.Enum):
    """Bus of a disk; `sata` needs AHCI in the guest, which Debian's cloud kernel lacks; `ide` is machine type `pc`'s."""

    VIRTIO = "virtio"
    SCSI = "scsi"
    SATA = "sata"
    USB = "usb"
    IDE = "ide"


class DiskFormat(enum.Enum):
    """Format of a volume."""

    QCOW2 = "qcow2"
    RAW = "raw"


class DiskCache(enum.Enum):
    """Host cache mode (https://libvirt.org/formatdomain.html#hard-drives-floppy-disks-cdroms)."""

    NONE = "none"
    WRITEBACK = "writeback"
    WRITETHROUGH = "writethrough"
    DIRECTSYNC = "directsync"
    UNSAFE = "unsafe"


class DiskDiscard(enum.Enum):
    """Whether a guest's discard frees space on the host."""

    UNMAP = "unmap"
    IGNORE = "ignore"


class DiskIo(enum.Enum):
    """How QEMU hands a disk's requests to the host's kernel."""

    NATIVE = "native"
    THREADS = "threads"
    IO_URING = "io_uring"


class DetectZeroes(enum.Enum):
    """What is done with blocks of zeroes that the guest writes."""

    OFF = "off"
    ON = "on"
    UNMAP = "unmap"


class DiskErrorPolicy(enum.Enum):
    """What happens when the host cannot write (or read) a disk."""

    STOP = "stop"
    REPORT = "report"
    IGNORE = "ignore"
    ENOSPACE = "enospace"


class TrayState(enum.Enum):
    """Tray of a CD drive, as the guest left it."""

    OPEN = "Open"
    CLOSED = "Closed"


class Preallocation(enum.Enum):
    """How much of a new volume is allocated at once."""

    NONE = "None"
    METADATA = "Metadata"
    FULL = "Full"


class CopyMode(enum.Enum):
    """Whether a volume made from another depends on it."""

    LINKED = "Linked"
    FULL = "Full"


def preallocation_rules() -> tuple[Rule, ...]:
    """What `preallocation` of a new volume goes with; shared by all that make one."""
    return (
        Rule(
            lambda disk: disk.preallocation is not Preallocation.METADATA or disk.format is DiskFormat.QCOW2,
            "!has(self.preallocation) || self.preallocation != 'Metadata' || !has(self.format) || self.format == 'qcow2'",
            "a raw volume has no metadata; write None or Full",
            "preallocation",
        ),
        Rule(
            lambda disk: disk.preallocation is Preallocation.NONE or not _is_linked(disk),
            "!has(self.preallocation) || self.preallocation == 'None' || !has(self.source) || !has(self.source.image)"
            " || (has(self.source.copy) && self.source.copy == 'Full') || (has(self.format) && self.format == 'raw')",
            "a Linked copy takes space as it comes to differ; write copy: Full, or leave this out",
            "preallocation",
        ),
    )


def _is_linked(disk: Any) -> bool:
    source = disk.source
    is_of_image = source is not None and source.image is not None and source.copy is CopyMode.LINKED
    return is_of_image and disk.format is DiskFormat.QCOW2


def _source_count(source: DiskSource) -> int:
    return sum(item is not None for item in (source.image, source.disk, source.clone, source.path))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiskSource:
    """Where a disk's content comes from: at most one of `image`, `disk`, `clone`, `path`; none of them is a blank disk of `size`."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda source: _source_count(source) <= 1,
            "(has(self.image) ? 1 : 0) + (has(self.disk) ? 1 : 0) + (has(self.clone) ? 1 : 0)"
            " + (has(self.path) ? 1 : 0) <= 1",
            "image, disk, clone and path exclude each other; keep one",
        ),
        Rule(
            lambda source: _source_count(source) > 0 or source.size is not None,
            "has(self.image) || has(self.disk) || has(self.clone) || has(self.path) || has(self.size)",
            "a blank disk needs a size such as 10Gi",
            "size",
        ),
        Rule(
            lambda source: source.path is None or source.size is None,
            "!has(self.path) || !has(self.size)",
            "what is at path is used as it is; remove size",
            "size",
        ),
        Rule(
            lambda source: source.disk is None or source.size is None,
            "!has(self.disk) || !has(self.size)",
            "a VirtualDisk has its own size; remove this one",
            "size",
        ),
    )

    image: str | None = field(
        "VirtualImage to start from.",
        FIXED,
        default=None,
        format=Format.LABEL,
        max_length=63,
        references="VirtualImage",
    )
    disk: str | None = field(
        "VirtualDisk to attach; it outlives this machine.",
        FIXED,
        default=None,
        format=Format.LABEL,
        max_length=63,
        references="VirtualDisk",
    )
    clone: str | None = field(
        "VirtualDisk to copy once.", FIXED, default=None, format=Format.LABEL, max_length=63, references="VirtualDisk"
    )
    path: str | None = field(
        "File of the host, or block device below /dev, that is there already; used as it is, never made and never deleted. Needs"
        " policy profile privileged.",
        FIXED,
        default=None,
        format=Format.HOST_PATH,
        max_length=4096,
    )
    copy: CopyMode = field(
        "Linked keeps only differences from an image; Full stands alone. A clone is always Full.",
        FIXED,
        default=CopyMode.LINKED,
    )
    size: ByteSize | None = field(
        "Size of the volume; grows live, never shrinks; absent: the source's size.",
        LIVE,
        default=None,
        unit="bytes",
        minimum=limits.VOLUME_MIN_BYTES,
        maximum=limits.VOLUME_MAX_BYTES,
    )


def _has_volume_to_make(source: DiskSource | None) -> bool:
    return source is not None and (source.clone is not None or source.size is not None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Disk:
    """One disk or CD drive."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda disk: disk.source is not None or disk.device is DiskDevice.CDROM,
            "has(self.source) || self.device == 'Cdrom'",
            "a disk needs a source; only a Cdrom may be empty",
            "source",
        ),
        Rule(
            lambda disk: disk.device is not DiskDevice.CDROM or disk.bus is not DiskBus.VIRTIO,
            "self.device != 'Cdrom' || self.bus != 'virtio'",
            "a Cdrom cannot be on the virtio bus; use scsi, sata or usb",
            "bus",
        ),
        Rule(
            lambda disk: not disk.adopted or re.fullmatch(TARGET, disk.name) is not None,
            f"!has(self.adopted) || !self.adopted || self.name.matches('^{TARGET}$')",
            "an adopted disk is known by its target; name it so, for example vda",
            "name",
        ),
        Rule(
            lambda disk: disk.device is not DiskDevice.CDROM or not _has_volume_to_make(disk.source),
            "self.device != 'Cdrom' || !has(self.source) || (!has(self.source.clone) && !has(self.source.size))",
            "a Cdrom holds an image or a disk as it is; name one, without size and clone",
            "source",
        ),
        Rule(
            lambda disk: disk.device is not DiskDevice.CDROM or disk.io_limits is None,
            "self.device != 'Cdrom' || !has(self.ioLimits)",
            "only a Disk has limits; remove ioLimits",
            "ioLimits",
        ),
        Rule(
            lambda disk: disk.io is not DiskIo.NATIVE or disk.cache in (DiskCache.NONE, DiskCache.DIRECTSYNC),
            "!has(self.io) || self.io != 'native' || (has(self.cache) && self.cache in ['none', 'directsync'])",
            "native works past the host's cache; set cache to none or directsync",
            "io",
        ),
        Rule(
            lambda disk: disk.detect_zeroes is not DetectZeroes.UNMAP or disk.discard is DiskDiscard.UNMAP,
            "!has(self.detectZeroes) || self.detectZeroes != 'unmap' || !has(self.discard) || self.discard == 'unmap'",
            "unmap frees zeroes as a discard does; set discard to unmap, or this to on",
            "detectZeroes",
        ),
        Rule(
            lambda disk: disk.queues is None or disk.bus is DiskBus.VIRTIO,
            "!has(self.queues) || !has(self.bus) || self.bus == 'virtio'",
            "only a disk on the virtio bus has queues; remove queues or use virtio",
            "queues",
        ),
        Rule(
            lambda disk: disk.io_thread is None or disk.bus is DiskBus.VIRTIO,
            "!has(self.ioThread) || !has(self.bus) || self.bus == 'virtio'",
            "only a disk on the virtio bus can be pinned to an I/O thread; remove ioThread or use virtio",
            "ioThread",
        ),
        *preallocation_rules(),
    )

    name: str = field("Name of the disk in this machine.", FIXED, format=Format.LABEL, max_length=63)
    source: DiskSource | None = field(
        "Content; a Cdrom may have none, and its medium is changed live, as a whole.",
        LIVE,
        default=None,
        is_whole=lambda disk: disk.get("device") == DiskDevice.CDROM.value,
    )
    device: DiskDevice = field("Disk or Cdrom.", FIXED, default=DiskDevice.DISK)
    bus: DiskBus = field("Bus that the guest sees.", RESTART, default=DiskBus.VIRTIO)
    pool: str = field(
        "StoragePool of the volume that this declaration makes.",
        FIXED,
        default="default",
        format=Format.LABEL,
        max_length=63,
        references="StoragePool",
    )
    format: DiskFormat = field("Format of the volume that this declaration makes.", FIXED, default=DiskFormat.QCOW2)
    preallocation: Preallocation = field(
        "How much of the volume that this declaration makes is allocated at once.", FIXED, default=Preallocation.NONE
    )
    read_only: bool = field("Whether the guest may only read.", RESTART, default=False)
    cache: DiskCache | None = field("Host cache mode; absent: QEMU's default.", RESTART, default=None)
    discard: DiskDiscard = field("What a guest's discard does.", RESTART, default=DiskDiscard.UNMAP)
    serial: str | None = field(
        "Serial that the guest sees; absent: the disk's name.",
        RESTART,
        default=None,
        format=Format.SERIAL,
        max_length=20,
    )
    io: DiskIo | None = field(
        "How requests reach the host's kernel; native needs cache none or directsync; absent: QEMU's default, threads.",
        RESTART,
        default=None,
    )
    detect_zeroes: DetectZeroes | None = field(
        "Whether blocks of zeroes are written as holes (on) or freed as by a discard (unmap); absent: off.",
        RESTART,
        default=None,
    )
    error_policy: DiskErrorPolicy | None = field(
        "What an error of the host does: stop pauses the machine, report tells the guest, ignore goes on, enospace pauses for want of"
        " space and reports else; absent: enospace for writes, report for reads.",
        RESTART,
        default=None,
    )
    queues: int | None = field(
        "Queues of a virtio disk, at best one per vCPU; absent: one per vCPU.",
        RESTART,
        default=None,
        minimum=1,
        maximum=256,
    )
    io_thread: int | None = field(
        "Which of the machine's `ioThreads` serves a virtio disk; absent: QEMU's main thread.",
        RESTART,
        default=None,
        minimum=1,
        maximum=limits.IO_THREADS_MAX,
    )
    io_limits: DiskLimits | None = field(
        "How fast it may be read and written; absent: not limited.", LIVE, default=None
    )
    force_eject: bool = field(
        "Whether a medium is changed although the guest has locked the tray of its Cdrom.", LIVE, default=False
    )
    boot_order: int | None = field("Place in the boot order.", RESTART, default=None, minimum=1, maximum=64)
    adopted: bool = field(
        "Whether the domain had it before xVirt: its name is its target, such as vda, and it has no alias of xVirt's and no serial"
        " but a declared one.",
        FIXED,
        default=False,
    )
    deletion_policy: DiskDeletionPolicy = field(
        "What becomes of the volume with the machine; a VirtualDisk and a Cdrom's medium are never touched.",
        LIVE,
        default=DiskDeletionPolicy.RETAIN,
    )

    @property
    def is_inline(self) -> bool:
        """Whether this declaration makes the volume, and may delete it."""
        is_made = self.source is not None and self.source.disk is None and self.source.path is None
        return is_made and self.device is DiskDevice.DISK  # a drive shows an image as it is


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiskStatus:
    """One disk as it is."""

    name: str = field("Declared name; empty for a disk that was not declared.", LIVE, default="")
    target: str = field("Target such as vda.", LIVE, default="")
    device: DiskDevice = field("Disk or Cdrom.", LIVE, default=DiskDevice.DISK)
    path: str = field("Volume's path on the host; empty: no medium in the drive.", LIVE, default="", max_length=4096)
    tray: TrayState | None = field("Tray of a Cdrom that runs.", LIVE, default=None)
    size: ByteSize | None = field("Virtual size.", LIVE, default=None, unit="bytes")
