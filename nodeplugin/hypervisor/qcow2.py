"""What a qcow2 file's header says (QEMU docs/interop/qcow2): read here, because a `qemu-img info` per look costs a process."""

from __future__ import annotations

import dataclasses
import os
import struct

MAGIC = b"QFI\xfb"
_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_INCOMPATIBLE_OFFSET = 72
_EXTERNAL_DATA_BIT = 1 << 2
_BACKING_MAX_BYTES = 1023


@dataclasses.dataclass(frozen=True)
class Qcow2Header:
    """Virtual size in bytes, and what the file depends on."""

    capacity_bytes: int
    backing_path: str | None
    is_encrypted: bool
    has_data_file: bool


def read_header(path: str) -> Qcow2Header | None:
    """The header of a qcow2 file; None where the file is not one. Raises OSError."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as handle:  # perhaps a FIFO
        head = handle.read(_HEADER.size + 8)
        if len(head) < _HEADER.size or head[:4] != MAGIC:
            return None
        fields = _HEADER.unpack_from(head)
        version, backing_offset, backing_size = fields[1], fields[2], fields[3]
        if version not in (2, 3) or backing_size > _BACKING_MAX_BYTES:
            return None
        incompatible = 0
        if version == 3 and len(head) >= _INCOMPATIBLE_OFFSET + 8:
            (incompatible,) = struct.unpack_from(">Q", head, _INCOMPATIBLE_OFFSET)
        backing = None
        if backing_offset:
            backing = os.pread(handle.fileno(), backing_size, backing_offset).decode(errors="surrogateescape")
    return Qcow2Header(
        capacity_bytes=fields[5],
        backing_path=os.path.normpath(os.path.join(os.path.dirname(path), backing)) if backing else None,
        is_encrypted=fields[6] != 0,
        has_data_file=bool(incompatible & _EXTERNAL_DATA_BIT),
    )
