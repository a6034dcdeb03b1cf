"""Files of transfers: where they lie, how they are written, and that the disk is not filled to its end."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import re
from pathlib import Path

from nodeplugin.images.limits import ImageLimits
from nodeplugin.images.port import ImageRequest, Origin
from nodeplugin.images.task import Task
from xvirt.model.errors import Exhausted, Refused, RetryLater, XvirtError

IMAGE_MODE = 0o644
"""Shared by many domains, and read by QEMU also where libvirt's dynamic_ownership is off."""
PARTIAL_MODE = 0o600
_PARTIAL = re.compile(r"^\.image-([0-9a-f]{32})\.(download|json|json-new|unpacked)$")


def key_of(request: ImageRequest) -> str:
    """What two requests have in common that can share a transfer: the source, what is done with it, where it goes, and the rights it
    is fetched with. 32 hexadecimal digits."""
    parts = (
        os.path.dirname(request.path),
        request.origin.value,
        request.source,
        request.checksum or "",
        request.format,
        request.compression.value,
        request.trust.value,
        request.member or "",
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Note:
    """What a later process must know of a partial file. `boot_id`: after a crash of the host its end may be zeros that were never
    written. `is_complete`: an upload has ended."""

    validator: str = ""
    total_bytes: int | None = None
    boot_id: str = ""
    is_complete: bool = False


class Partial:
    """The files of one transfer in a pool's directory."""

    def __init__(self, directory: str, key: str) -> None:
        self.directory = directory
        stem = f"{directory}/.image-{key}"
        self.path = f"{stem}.download"
        self.unpacked_path = f"{stem}.unpacked"
        self._note_path = f"{stem}.json"

    def size_bytes(self) -> int:
        """Bytes that are there; 0 where there is no file."""
        try:
            return os.stat(self.path).st_size
        except FileNotFoundError:
            return 0

    def allocated_bytes(self) -> int:
        """Space that the files take."""
        total = 0
        for path in (self.path, self.unpacked_path):
            with contextlib.suppress(FileNotFoundError):
                total += os.stat(path).st_blocks * 512
        return total

    def load(self) -> Note:
        """The note; an empty one where there is none that can be read."""
        try:
            found = json.loads(Path(self._note_path).read_text())
            return Note(**found)
        except (OSError, ValueError, TypeError):
            return Note()

    def save(self, note: Note) -> None:
        """Write the note, whole or not at all."""
        new = f"{self._note_path}-new"
        Path(new).write_text(json.dumps(dataclasses.asdict(note)))
        os.rename(new, self._note_path)

    def reset(self) -> None:
        """Start over."""
        for path in (self._note_path, f"{self._note_path}-new", self.path, self.unpacked_path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def boot_id() -> str:
    """The running kernel's id: another one after each boot of the host."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def partial_names(directory: str) -> list[tuple[str, str]]:
    """(name, key) of every file of a transfer in a directory."""
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    return [(name, match[1]) for name in names if (match := _PARTIAL.match(name))]


class Sink:
    """A file that is written from `offset` on: summed, sparse, never beyond the cap, and never into the disk's reserve."""

    def __init__(self, path: str, task: Task, offset: int = 0) -> None:
        self._path = path
        self._task = task
        self._limits = task.limits
        self._digest = hashlib.sha256()
        self.size_bytes = 0
        self._unchecked = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, PARTIAL_MODE)
        try:
            self._sum_existing(offset)
            os.ftruncate(self._descriptor, offset)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _sum_existing(self, offset: int) -> None:
        while self.size_bytes < offset:
            self._task.check()
            chunk = os.pread(self._descriptor, min(self._limits.chunk_bytes, offset - self.size_bytes), self.size_bytes)
            if not chunk:
                raise RetryLater(f"{self._path} became shorter while it was read", reason="Truncated")
            self._digest.update(chunk)
            self.size_bytes += len(chunk)

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.ftruncate(self._descriptor, self.size_bytes)
        finally:
            os.close(self._descriptor)

    @property
    def checksum(self) -> str:
        """`sha256:...` of all bytes so far."""
        return f"sha256:{self._digest.hexdigest()}"

    def expect(self, total_bytes: int | None) -> None:
        """What is known to come. Raises Refused beyond the cap, Exhausted where it cannot fit."""
        check_size(total_bytes or 0, self._limits, self._path)
        check_space(self._path, max(0, (total_bytes or 0) - self.size_bytes), self._limits)

    def write(self, data: bytes) -> None:
        """Append. Raises Refused beyond the cap, Exhausted where the disk is full, OSError."""
        check_size(self.size_bytes + len(data), self._limits, self._path)
        self._unchecked += len(data)
        if self._unchecked >= self._limits.space_check_bytes:
            self._unchecked = 0
            check_space(self._path, 0, self._limits)
        self._digest.update(data)
        self._write_sparse(data)
        self.size_bytes += len(data)

    def _write_sparse(self, data: bytes) -> None:
        block = self._limits.sparse_bytes
        zeros = bytes(block)
        start, end = 0, 0  # of the run that is not zeros
        while end < len(data):
            step = min(block - (self.size_bytes + end) % block, len(data) - end)
            if step == block and data[end : end + step] == zeros:
                self._write_at(data[start:end], start)
                start = end + step
            end += step
        self._write_at(data[start:end], start)

    def _write_at(self, data: bytes, offset: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, self.size_bytes + offset)
            view, offset = view[written:], offset + written

    def sync(self) -> None:
        """Have it on disk."""
        os.ftruncate(self._descriptor, self.size_bytes)
        os.fsync(self._descriptor)


def check_size(size_bytes: int, limits: ImageLimits, subject: str) -> None:
    """Raises Refused beyond the cap."""
    if size_bytes > limits.size_max_bytes:
        message = f"image {subject} is larger than {limits.size_max_bytes} bytes, the most that this node takes"
        raise Refused(f"{message}; `images.maxSize` of its config sets it", reason="ImageTooLarge")


def check_space(path: str, wanted_bytes: int, limits: ImageLimits) -> None:
    """Raises Exhausted where so many bytes more would not leave the reserve."""
    found = os.statvfs(os.path.dirname(path))
    free = found.f_bavail * found.f_frsize
    whole = found.f_blocks * found.f_frsize
    reserve = min(limits.space_reserve_bytes, whole * limits.space_reserve_percent // 100)
    if free < wanted_bytes + reserve:
        raise Exhausted(
            f"no space for an image in {os.path.dirname(path)}: {free} bytes are free, {wanted_bytes} more are needed and"
            f" {reserve} stay free for machines; free some, it goes on by itself",
            reason="NoSpace",
        )


def translate_file_error(error: OSError, subject: str) -> XvirtError:
    """An operating system's error about a file of ours."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Exhausted(f"no space left for {subject}; free some, it goes on by itself", reason="NoSpace")
    return RetryLater(f"{subject}: {error.strerror or error}", reason="ImageFailed")


def sync_directory(path: str) -> None:
    """Have a directory's entries on disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_upload(request: ImageRequest) -> bool:
    """Whether somebody sends the bytes."""
    return request.origin is Origin.UPLOAD
