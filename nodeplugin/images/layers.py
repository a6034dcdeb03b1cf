"""One file out of a container image's layer: a tar archive of somebody whom nobody vouches for.

Only the wanted member's bytes are written, under a name of ours; nothing else of the archive reaches the disk, so no path, link or device
in it can do harm. The archive is read forward, once, with bounds on its heads, its members and its unpacked size.
"""

from __future__ import annotations

import dataclasses
import io
import posixpath
import tarfile
from collections.abc import Iterator
from typing import IO

from nodeplugin.images.files import Sink
from nodeplugin.images.task import Task
from nodeplugin.images.unpack import MAGIC, read_unpacked
from xvirt.model.errors import InvalidSpec, Problem, Refused
from xvirt.model.storage import ImageCompression

DISK_FOLDER = "disk"
"""Where KubeVirt's containerDisk has its file (https://kubevirt.io/user-guide/storage/disks_and_volumes/#containerdisk)."""
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
"""A file that is not in the layers below any more, and a folder of which nothing below is (OCI image specification, layer.md)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """What a layer says of the disk. `found`: the member that was written; `hides_below`: layers below are not to be asked."""

    found: str | None = None
    hides_below: bool = False


def extract_disk(source: str, target: str, member: str | None, task: Task, subject: str) -> LayerFacts:
    """Write a layer's disk, if it has one, to `target`. `member` is its path in the image; None: the only file in /disk.

    Raises InvalidSpec for a torn archive and where there are several files, Refused beyond a bound, Exhausted where the disk is full,
    OSError, Cancelled.
    """
    with open(source, "rb") as packed:
        head = packed.read(8)
        packed.seek(0)
        compression = next((kind for kind, magic in MAGIC.items() if head.startswith(magic)), ImageCompression.NONE)
        stream = _Forward(read_unpacked(packed, compression, task, subject), task, subject)
        try:
            with tarfile.TarFile(fileobj=stream, mode="r") as archive:
                return _Search(member, task, subject).run(archive, target)
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise _corrupt(subject, f"a layer is no tar archive, or torn: {error}") from error


def clean_path(path: str) -> str:
    """A path in an image without the marks of its root: `./disk/a` and `/disk/a` are `disk/a`."""
    return posixpath.normpath("/" + path).lstrip("/")


class _Search:
    """The way through one archive."""

    def __init__(self, member: str | None, task: Task, subject: str) -> None:
        self._wanted = clean_path(member) if member is not None else None
        self._task = task
        self._subject = subject
        self._found: str | None = None
        self._hides_below = False

    def run(self, archive: tarfile.TarFile, target: str) -> LayerFacts:
        """Every member once."""
        count = 0
        while (item := archive.next()) is not None:
            count += 1
            if count > self._task.limits.layer_members_max:
                message = f"{self._subject}: a layer has more than {self._task.limits.layer_members_max} members"
                raise Refused(message, reason="ImageTooLarge")
            archive.members.clear()  # type: ignore[attr-defined]  # it would keep every head
            path = clean_path(item.name)
            self._note_whiteout(path)
            if self._is_disk(path, item):
                self._write(archive, item, path, target)
        return LayerFacts(found=self._found, hides_below=self._hides_below)

    def _note_whiteout(self, path: str) -> None:
        folder, name = posixpath.split(path)
        if not name.startswith(_WHITEOUT):
            return
        hidden = folder if name == _OPAQUE else posixpath.join(folder, name.removeprefix(_WHITEOUT))
        wanted = self._wanted if self._wanted is not None else DISK_FOLDER
        self._hides_below = self._hides_below or wanted == hidden or wanted.startswith(hidden + "/") or hidden == ""

    def _is_disk(self, path: str, item: tarfile.TarInfo) -> bool:
        if self._wanted is not None:
            is_it = path == self._wanted
        else:
            folder, name = posixpath.split(path)
            is_it = folder == DISK_FOLDER and not name.startswith(_WHITEOUT) and not item.isdir()
        if is_it and not item.isreg():
            raise _corrupt(self._subject, f"/{path} is no regular file")
        return is_it

    def _write(self, archive: tarfile.TarFile, item: tarfile.TarInfo, path: str, target: str) -> None:
        if self._found is not None:
            message = f"/{self._found} and /{path} are both in /{DISK_FOLDER}"
            remedy = "name one in source.containerDisk.path"
            raise InvalidSpec(
                [Problem("spec.source.containerDisk", f"{self._subject}: {message}", remedy)], reason="ImageCorrupt"
            )
        content = archive.extractfile(item)
        if content is None:
            raise _corrupt(self._subject, f"/{path} has no content")
        with Sink(target, self._task) as sink:
            sink.expect(item.size)
            while chunk := content.read(self._task.limits.chunk_bytes):
                sink.write(chunk)
            if sink.size_bytes != item.size:
                raise _corrupt(self._subject, f"/{path} ends in the middle")
            sink.sync()
        self._found = path


def _corrupt(subject: str, message: str) -> InvalidSpec:
    problem = Problem("spec.source.containerDisk", f"{subject}: {message}", "name a container image that holds a disk")
    return InvalidSpec([problem], reason="ImageCorrupt")


class _Forward(io.RawIOBase):
    """A stream that `tarfile` may read and skip forward in, never back. Bounded: a head as a whole, and all that is unpacked."""

    def __init__(self, chunks: Iterator[bytes], task: Task, subject: str) -> None:
        self._chunks = chunks
        self._limits = task.limits
        self._subject = subject
        self._buffer = b""
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset < self._position:
            raise tarfile.ReadError("the archive leads backwards")
        while self._position < offset and self._take(min(offset - self._position, self._limits.chunk_bytes)):
            pass
        return self._position

    def read(self, size: int = -1) -> bytes:
        bound = max(self._limits.layer_head_max_bytes, self._limits.chunk_bytes)
        if size < 0 or size > bound:
            raise Refused(
                f"{self._subject}: a layer holds a head of {size} bytes, at most {bound}", reason="ImageTooLarge"
            )
        parts: list[bytes] = []
        while size > 0 and (part := self._take(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _take(self, size: int) -> bytes:
        if not self._buffer:
            self._buffer = next(self._chunks, b"")
        part, self._buffer = self._buffer[:size], self._buffer[size:]
        self._position += len(part)
        if self._position > 2 * self._limits.size_max_bytes:
            message = f"{self._subject}: a layer unpacks to more than {2 * self._limits.size_max_bytes} bytes"
            raise Refused(message, reason="ImageTooLarge")
        return part


def read_small(body: IO[bytes], bound: int, subject: str) -> bytes:
    """All of a short body. Raises Refused beyond the bound."""
    data = body.read(bound + 1)
    if len(data) > bound:
        raise Refused(f"{subject} is longer than {bound} bytes", reason="ImageTooLarge")
    return data
