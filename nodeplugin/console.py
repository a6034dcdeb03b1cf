"""The boot log that a machine's serial console leaves behind."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

CHUNK_BYTES = 64 << 10
TAIL_MAX_BYTES = 4 << 20
FOLLOW_INTERVAL_S = 0.2


def follow_log(path: str, *, follow: bool, tail_bytes: int) -> Iterator[bytes]:
    """Chunks of a log file from `tail_bytes` before its end (0: at most 4 MiB); with `follow` an empty chunk stands for
    "nothing new", so that the caller can look whether anybody still listens."""
    try:
        handle = open(path, "rb")  # noqa: SIM115 - the generator below closes it
    except FileNotFoundError:
        return iter(())
    return _read(handle.fileno(), handle, follow=follow, tail_bytes=tail_bytes or TAIL_MAX_BYTES)


def _read(descriptor: int, handle: object, *, follow: bool, tail_bytes: int) -> Iterator[bytes]:
    with handle:  # type: ignore[attr-defined]
        size = os.fstat(descriptor).st_size
        os.lseek(descriptor, max(0, size - min(tail_bytes, TAIL_MAX_BYTES)), os.SEEK_SET)
        while True:
            chunk = os.read(descriptor, CHUNK_BYTES)
            if not chunk and not follow:
                return
            if not chunk:
                time.sleep(FOLLOW_INTERVAL_S)
                if os.fstat(descriptor).st_size < os.lseek(descriptor, 0, os.SEEK_CUR):
                    os.lseek(descriptor, 0, os.SEEK_SET)
            yield chunk
