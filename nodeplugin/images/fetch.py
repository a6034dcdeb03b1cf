"""From a source into the transfer's partial file: a path of the host, or a URL with resume."""

from __future__ import annotations

import os
import stat
import time

from nodeplugin.images.files import Note, Partial, Sink, boot_id
from nodeplugin.images.port import ImageRequest, show_url
from nodeplugin.images.task import Task
from nodeplugin.images.web import Answer, Gate, Request, get, translated
from xvirt.model.errors import Exhausted, NotFound, Refused, RetryLater


def fetch_path(request: ImageRequest, partial: Partial, gate: Gate, task: Task) -> str:
    """Copy a file of the host. Returns `sha256:...` of it. Raises NotFound, Refused, PolicyRefused, RetryLater, OSError of the copy."""
    path = request.source
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would wait for its writer
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"image {path} is not on this host", reason="SourceNotFound") from error
    except OSError as error:
        raise Refused(f"image {path} cannot be read: {error.strerror}", reason="SourceUnreadable") from error
    try:
        # Judged once more by what was opened: a link in an allowed folder may lead out of it.
        gate.policy.check_path(os.readlink(f"/proc/self/fd/{descriptor}"), request.trust)
        return _copy(descriptor, path, partial, task)
    finally:
        os.close(descriptor)


def _copy(descriptor: int, path: str, partial: Partial, task: Task) -> str:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise Refused(f"image {path} is not a regular file", reason="SourceUnreadable")
    with Sink(partial.path, task) as sink:
        sink.expect(status.st_size)
        while chunk := os.read(descriptor, task.limits.chunk_bytes):
            sink.write(chunk)
            task.report(sink.size_bytes, status.st_size)
        if sink.size_bytes != status.st_size:
            raise RetryLater(f"image {path} changed while it was read", reason="SourceChanged")
        sink.sync()
        return sink.checksum


class UrlFetch:
    """One URL into one partial file, over as many connections as it takes."""

    def __init__(
        self, request: ImageRequest, partial: Partial, gate: Gate, task: Task, authorization: str = ""
    ) -> None:
        self._url = request.source
        self._authorization = authorization
        self._has_checksum = request.checksum is not None
        self._partial = partial
        self._gate = gate
        self._task = task
        self.is_resumed = False
        """Whether bytes of several connections stand beside each other."""

    def run(self) -> str:
        """`sha256:...` of all bytes. Raises Refused, PolicyRefused, RetryLater, OSError of the file; what came stays, where another
        try may go on with it."""
        limits = self._task.limits
        attempts, best = 0, self._partial.size_bytes()
        while True:
            try:
                return self._attempt()
            except Exhausted:
                raise
            except RetryLater:
                size = self._partial.size_bytes()
                attempts = 0 if size >= best + limits.attempt_progress_bytes else attempts + 1
                best = max(best, size)
                if attempts >= limits.attempts_max:
                    raise
                self._task.pause(limits.attempt_pause_s * 2.0 ** max(0, attempts - 1))

    def _attempt(self) -> str:
        offset = self._usable_bytes()
        note = self._partial.load()
        if offset and offset == note.total_bytes:
            self.is_resumed = True
            with Sink(self._partial.path, self._task, offset) as sink:
                sink.sync()
                return sink.checksum
        request = Request(url=self._url, offset=offset, validator=note.validator, authorization=self._authorization)
        with get(request, self._gate, self._task) as answer:
            offset = self._judge(answer, offset, note)
            self.is_resumed = self.is_resumed or offset > 0
            with Sink(self._partial.path, self._task, offset) as sink:
                sink.expect(answer.total_bytes)
                if offset == 0:
                    fresh = Note(validator=answer.validator, total_bytes=answer.total_bytes, boot_id=boot_id())
                    self._partial.save(fresh)
                self._read(answer, sink)
                sink.sync()
                return sink.checksum

    def _usable_bytes(self) -> int:
        """How much of what is there can be gone on with. Without a validator or a checksum nobody could tell that it fits; after a
        crash of the host only a checksum can."""
        size, note = self._partial.size_bytes(), self._partial.load()
        is_safe = bool(note.validator) and note.boot_id == boot_id()
        is_sane = note.total_bytes is None or size <= note.total_bytes
        if size and is_sane and note.boot_id and (is_safe or self._has_checksum):
            return size
        self._partial.reset()
        return 0

    def _judge(self, answer: Answer, offset: int, note: Note) -> int:
        """Where the answer's body belongs. Raises RetryLater, after starting over, where the server's content is another one now."""
        if answer.status == 200:
            if not answer.is_framed and not self._has_checksum:
                message = f"{show_url(self._url)}: the server does not tell where the image ends"
                raise Refused(f"{message}; declare its checksum", reason="NoLength")
            if offset:
                self._partial.reset()
            return 0
        same_total = note.total_bytes is None or answer.total_bytes == note.total_bytes
        same_content = not note.validator or answer.validator == note.validator
        if answer.status == 206 and answer.start == offset and same_total and same_content:
            return offset
        self._partial.reset()
        raise RetryLater(f"{show_url(self._url)} has changed on the server; starting over", reason="SourceChanged")

    def _read(self, answer: Answer, sink: Sink) -> None:
        rate = Rate(self._task)
        while True:
            with translated(self._url, self._task):
                chunk = answer.body.read1(self._task.limits.chunk_bytes)
            if not chunk:
                break
            sink.write(chunk)
            rate.note(len(chunk), self._url)
            self._task.report(sink.size_bytes, answer.total_bytes)
        self._task.check()
        if answer.total_bytes is not None and sink.size_bytes != answer.total_bytes:
            message = f"{show_url(self._url)} ended after {sink.size_bytes} of {answer.total_bytes} bytes"
            raise RetryLater(message, reason="Truncated")


class Rate:
    """Ends a connection that trickles."""

    def __init__(self, task: Task) -> None:
        self._limits = task.limits
        self._since = time.monotonic()
        self._bytes = 0

    def note(self, size_bytes: int, url: str) -> None:
        """So many bytes came. Raises RetryLater where a window's mean is too low."""
        self._bytes += size_bytes
        elapsed = time.monotonic() - self._since
        if elapsed < self._limits.rate_window_s:
            return
        if self._bytes < self._limits.rate_min_bytes_s * elapsed:
            message = f"{show_url(url)} sends {self._bytes / elapsed:.0f} bytes a second"
            raise RetryLater(f"{message}, at least {self._limits.rate_min_bytes_s} are asked for", reason="TooSlow")
        self._since, self._bytes = time.monotonic(), 0
