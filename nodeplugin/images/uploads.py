"""Images that somebody sends: received into the same partial file that a download would use, and gone on with after a broken try."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from nodeplugin.images.files import Note, Partial, Sink, boot_id, key_of, translate_file_error
from nodeplugin.images.limits import ImageLimits
from nodeplugin.images.port import ImageRequest, TransferFacts, TransferState
from nodeplugin.images.task import Cancelled, Task
from xvirt.model.errors import Busy, Conflict, Exhausted, Refused


class Uploads:
    """Uploads under way."""

    def __init__(self, limits: ImageLimits, tell: Callable[[str], None]) -> None:
        self._limits = limits
        self._tell = tell
        self._lock = threading.Lock()
        self._open: dict[str, OpenUpload] = {}
        self._awaited: dict[str, TransferFacts] = {}

    def is_complete(self, request: ImageRequest) -> bool:
        """Whether all has come; where not, `find` says so from now on."""
        partial = _partial(request)
        note = partial.load()
        with self._lock:
            if note.is_complete and request.uid not in self._open:
                self._awaited.pop(request.uid, None)
                return True
            self._awaited[request.uid] = TransferFacts(
                state=TransferState.AWAITING, done_bytes=partial.size_bytes(), total_bytes=note.total_bytes
            )
        return False

    def find(self, uid: str) -> TransferFacts | None:
        """An upload that goes on or is waited for."""
        with self._lock:
            upload, awaited = self._open.get(uid), self._awaited.get(uid)
        if upload is None:
            return awaited
        task = upload.task
        return TransferFacts(state=TransferState.RECEIVING, done_bytes=task.done_bytes, total_bytes=upload.total_bytes)

    def open_paths(self) -> frozenset[str]:
        """Partial files of the uploads that go on."""
        with self._lock:
            return frozenset(upload.partial.path for upload in self._open.values())

    def forget(self, uid: str) -> None:
        """The image is deleted."""
        with self._lock:
            self._awaited.pop(uid, None)
            upload = self._open.get(uid)
        if upload is not None:
            upload.task.cancel()

    def open(self, request: ImageRequest, total_bytes: int | None) -> OpenUpload:
        """Begin, or go on. Raises Busy while another sender is at it, Exhausted where too many are, Refused for another size."""
        partial = _partial(request)
        with self._lock:
            if request.uid in self._open:
                raise Busy("this image is being uploaded already; wait for that or end it", reason="UploadOpen")
            if len(self._open) >= self._limits.pending_uploads_max:
                raise Exhausted(f"{self._limits.pending_uploads_max} uploads go on already", reason="TooManyUploads")
            task = Task(self._limits, lambda: self._tell(request.uid))
            upload = OpenUpload(partial, total_bytes, task, lambda: self._close(request.uid))
            self._open[request.uid] = upload
        try:
            upload.begin()
        except BaseException:
            self._close(request.uid)
            raise
        self._tell(request.uid)
        return upload

    def _close(self, uid: str) -> None:
        with self._lock:
            upload = self._open.pop(uid, None)
            self._awaited.pop(uid, None)
        if upload is not None and upload.task.is_cancelled:
            upload.partial.reset()
        self._tell(uid)


class OpenUpload:
    """Implements `nodeplugin.images.port.Upload`. Used by one thread."""

    def __init__(self, partial: Partial, total_bytes: int | None, task: Task, closed: Callable[[], None]) -> None:
        self.partial = partial
        self.total_bytes = total_bytes
        self.task = task
        self._closed = closed
        self._sink: Sink | None = None

    def begin(self) -> None:
        """Go on from what an earlier try of the same size left, or begin anew."""
        note = self.partial.load()
        offset = self.partial.size_bytes()
        if note.total_bytes != self.total_bytes or note.boot_id != boot_id() or note.is_complete:
            self.partial.reset()
            offset = 0
        try:
            self._sink = Sink(self.partial.path, self.task, offset)
            self._sink.expect(self.total_bytes)
        except OSError as error:
            raise translate_file_error(error, self.partial.path) from error
        self.partial.save(Note(total_bytes=self.total_bytes, boot_id=boot_id()))
        self.task.done_bytes = offset

    @property
    def received_bytes(self) -> int:
        return self._sink.size_bytes if self._sink is not None else 0

    def write(self, data: bytes) -> None:
        sink = self._sink
        if sink is None:
            raise Conflict("the upload is closed")
        if self.total_bytes is not None and sink.size_bytes + len(data) > self.total_bytes:
            raise Refused(f"more than the {self.total_bytes} bytes came that were announced", reason="UploadTooLong")
        try:
            sink.write(data)
            self.task.report(sink.size_bytes, self.total_bytes)
        except OSError as error:
            self.close()
            raise translate_file_error(error, self.partial.path) from error
        except Cancelled:
            self.close()
            raise Conflict("the image was deleted while it was uploaded", reason="Deleting") from None

    def finish(self) -> None:
        sink = self._sink
        if sink is None:
            raise Conflict("the upload is closed")
        if self.total_bytes is not None and sink.size_bytes != self.total_bytes:
            message = f"{sink.size_bytes} of {self.total_bytes} bytes came"
            raise Refused(f"{message}; send the rest, the upload goes on there", reason="Truncated")
        sink.sync()
        self.partial.save(Note(total_bytes=sink.size_bytes, boot_id=boot_id(), is_complete=True))
        self.close()

    def close(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.__exit__()
            self._closed()


def _partial(request: ImageRequest) -> Partial:
    return Partial(os.path.dirname(request.path), key_of(request))
