"""How fast a disk of a VirtualMachine may be read and written; QEMU enforces it (https://libvirt.org/formatdomain.html, `iotune`)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from xvirt.model import limits
from xvirt.model.fields import Format, Mutability, Rule, field
from xvirt.model.quantity import ByteSize, cel_at_least

LIVE = Mutability.LIVE

_LENGTH = Rule(
    lambda rate: rate.burst_seconds is None or rate.burst is not None,
    "!has(self.burstSeconds) || has(self.burst)",
    "burstSeconds says how long burst lasts; give burst too, or remove it",
    "burstSeconds",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ByteRate:
    """Bytes per second."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda rate: rate.burst is None or rate.burst >= rate.per_second,
            f"!has(self.burst) || {cel_at_least('self.burst', 'self.perSecond')}",
            "burst is below perSecond; raise burst or lower perSecond",
            "burst",
        ),
        _LENGTH,
    )

    per_second: ByteSize = field(
        "Bytes per second in the long run.",
        LIVE,
        unit="bytes",
        minimum=limits.DISK_RATE_MIN_BYTES,
        maximum=limits.DISK_RATE_MAX_BYTES,
    )
    burst: ByteSize | None = field(
        "Bytes per second for `burstSeconds`, after a time of rest; absent: no bursts.",
        LIVE,
        default=None,
        unit="bytes",
        minimum=limits.DISK_RATE_MIN_BYTES,
        maximum=limits.DISK_RATE_MAX_BYTES,
    )
    burst_seconds: int | None = field(
        "How long `burst` may last; absent: one second.",
        LIVE,
        default=None,
        unit="s",
        minimum=1,
        maximum=limits.DISK_BURST_MAX_S,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperationRate:
    """Reads and writes per second."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda rate: rate.burst is None or rate.burst >= rate.per_second,
            "!has(self.burst) || self.burst >= self.perSecond",
            "burst is below perSecond; raise burst or lower perSecond",
            "burst",
        ),
        _LENGTH,
    )

    per_second: int = field(
        "Operations per second in the long run.", LIVE, minimum=1, maximum=limits.DISK_RATE_MAX_IOPS
    )
    burst: int | None = field(
        "Operations per second for `burstSeconds`, after a time of rest; absent: no bursts.",
        LIVE,
        default=None,
        minimum=1,
        maximum=limits.DISK_RATE_MAX_IOPS,
    )
    burst_seconds: int | None = field(
        "How long `burst` may last; absent: one second.",
        LIVE,
        default=None,
        unit="s",
        minimum=1,
        maximum=limits.DISK_BURST_MAX_S,
    )


def has_operations(value: DiskLimits) -> bool:
    """Whether operations are limited."""
    return any(item is not None for item in (value.total_iops, value.read_iops, value.write_iops))


def has_bytes(value: DiskLimits) -> bool:
    """Whether bytes are limited."""
    return any(item is not None for item in (value.total_bytes, value.read_bytes, value.write_bytes))


_HAS_OPERATIONS = "has(self.totalIops) || has(self.readIops) || has(self.writeIops)"
_HAS_BYTES = "has(self.totalBytes) || has(self.readBytes) || has(self.writeBytes)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiskLimits:
    """Limits of a disk, or of all disks of a group together."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda value: value.total_bytes is None or (value.read_bytes is None and value.write_bytes is None),
            "!has(self.totalBytes) || (!has(self.readBytes) && !has(self.writeBytes))",
            "totalBytes excludes readBytes and writeBytes; keep the one or the others",
            "totalBytes",
        ),
        Rule(
            lambda value: value.total_iops is None or (value.read_iops is None and value.write_iops is None),
            "!has(self.totalIops) || (!has(self.readIops) && !has(self.writeIops))",
            "totalIops excludes readIops and writeIops; keep the one or the others",
            "totalIops",
        ),
        Rule(
            lambda value: value.iops_size is None or has_operations(value),
            f"!has(self.iopsSize) || {_HAS_OPERATIONS}",
            "iopsSize says what counts as one operation; limit operations too, or remove it",
            "iopsSize",
        ),
        Rule(
            lambda value: value.group is None or has_operations(value) or has_bytes(value),
            f"!has(self.group) || {_HAS_OPERATIONS} || {_HAS_BYTES}",
            "a group without limits says nothing; give it some or remove group",
            "group",
        ),
    )

    total_bytes: ByteRate | None = field("Bytes read and written.", LIVE, default=None)
    read_bytes: ByteRate | None = field("Bytes read.", LIVE, default=None)
    write_bytes: ByteRate | None = field("Bytes written.", LIVE, default=None)
    total_iops: OperationRate | None = field("Reads and writes.", LIVE, default=None)
    read_iops: OperationRate | None = field("Reads.", LIVE, default=None)
    write_iops: OperationRate | None = field("Writes.", LIVE, default=None)
    iops_size: ByteSize | None = field(
        "A larger operation counts as one for each so many bytes of it; absent: any counts as one.",
        LIVE,
        default=None,
        unit="bytes",
        minimum=512,
        maximum=1 << 30,
    )
    group: str | None = field(
        "Disks of this machine with the same group share these limits; each must state the same.",
        LIVE,
        default=None,
        format=Format.LABEL,
        max_length=63,
    )
