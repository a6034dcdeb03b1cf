"""Transfers: a bounded pool of threads that brings images into pools, each source once for all who wait for it.

start -> QUEUED -> RUNNING -> CHECKING -> DONE     all who wait have the image, as links to one file
                 `-> FAILED                        told by the next start; forgotten then where another try may help
         forget  -> (ended; files removed when nobody waits any more)
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import os
import queue
import threading
from collections.abc import Callable, Collection

from nodeplugin.images.fetch import UrlFetch, fetch_path
from nodeplugin.images.files import (
    IMAGE_MODE,
    Partial,
    Sink,
    check_size,
    is_upload,
    key_of,
    partial_names,
    sync_directory,
    translate_file_error,
)
from nodeplugin.images.history import History
from nodeplugin.images.limits import DEFAULT_LIMITS, ImageLimits
from nodeplugin.images.policy import ImagePolicy
from nodeplugin.images.port import ImageRequest, Origin, TransferFacts, TransferState, Upload
from nodeplugin.images.registry import ContainerFetch
from nodeplugin.images.task import Cancelled, Task
from nodeplugin.images.unpack import find_packing, unpack
from nodeplugin.images.uploads import Uploads
from nodeplugin.images.web import Gate, Unauthorized
from xvirt.model.errors import Busy, Exhausted, InternalError, InvalidSpec, Problem, Refused, RetryLater, XvirtError
from xvirt.model.storage import ImageCompression

logger = logging.getLogger(__name__)

Check = Callable[[str, str, str], object]
"""(path, format, what messages call it): raises InvalidSpec where a file is no such image or reaches outside of itself."""


class _Job:
    """One source and all who wait for it."""

    def __init__(self, request: ImageRequest, key: str, task: Task) -> None:
        self.request = request
        self.key = key
        self.task = task
        self.waiting: dict[str, str] = {request.uid: request.path}
        self.partial = Partial(os.path.dirname(request.path), key)


class Transfers:
    """Implements `nodeplugin.images.port.Images`."""

    def __init__(
        self,
        check: Check,
        policy: ImagePolicy | None = None,
        ca_bundle: str | None = None,
        limits: ImageLimits = DEFAULT_LIMITS,
    ) -> None:
        self._check = check
        self._gate = Gate(policy=policy or ImagePolicy(), ca_bundle=ca_bundle)
        self._limits = limits
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._by_uid: dict[str, _Job] = {}
        self._history = History(limits)
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._is_closed = False
        self._listener: Callable[[str], None] = lambda uid: None
        self._uploads = Uploads(limits, self._tell)

    def subscribe(self, listener: Callable[[str], None]) -> None:
        self._listener = listener

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            jobs, threads = list(self._jobs.values()), list(self._threads)
        for job in jobs:
            job.task.cancel()
        for _ in threads:
            self._queue.put(None)
        for thread in threads:
            thread.join(self._limits.stop_timeout_s)

    # what workers ask

    def start(self, request: ImageRequest) -> None:
        self._gate.policy.check(request)
        with self._lock:
            self._history.check(request.uid, request.path)
        if is_upload(request) and not self._uploads.is_complete(request):
            return
        if request.twin_path is not None and self._link_twin(request, request.twin_path):
            return
        with self._lock:
            if self._is_closed:
                raise RetryLater("the node plugin is stopping", reason="Stopping")
            if request.uid in self._by_uid:
                return
            self._join(request)

    def _join(self, request: ImageRequest) -> None:
        self._history.clear(request.uid)
        key = key_of(request)
        job = self._jobs.get(key)
        if job is None:
            job = self._add(request, key)
        elif job.task.is_cancelled:
            raise Busy(f"a cancelled transfer of {request.source[:200]} is about to end", reason="Cancelling")
        job.waiting[request.uid] = request.path
        self._by_uid[request.uid] = job

    def _add(self, request: ImageRequest, key: str) -> _Job:
        if len(self._jobs) >= self._limits.transfers_max:
            raise Exhausted(f"{self._limits.transfers_max} image transfers wait already", reason="TooManyTransfers")
        job = _Job(request, key, Task(self._limits, lambda: self._tell_all(key)))
        self._jobs[key] = job
        self._queue.put(job)
        if len(self._threads) < self._limits.downloads_max:
            thread = threading.Thread(target=self._work, name=f"image-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return job

    def find(self, uid: str) -> TransferFacts | None:
        with self._lock:
            job, ended = self._by_uid.get(uid), self._history.facts(uid)
        if job is not None:
            task = job.task
            return TransferFacts(state=task.state, done_bytes=task.done_bytes, total_bytes=task.total_bytes)
        return ended if ended is not None else self._uploads.find(uid)

    def forget(self, uid: str) -> None:
        with self._lock:
            self._history.forget(uid)
            job = self._by_uid.pop(uid, None)
            if job is not None:
                job.waiting.pop(uid, None)
                if not job.waiting:
                    job.task.cancel()
        self._uploads.forget(uid)

    def open_upload(self, request: ImageRequest, total_bytes: int | None) -> Upload:
        with self._lock:
            if request.uid in self._by_uid:
                raise Busy("the image is uploaded already and being checked", reason="Checking")
            self._history.forget(request.uid)
        return self._uploads.open(request, total_bytes)

    def collect(self, directory: str, wanted: Collection[ImageRequest]) -> list[str]:
        keys = {key_of(request) for request in wanted}
        removed = []
        for name, key in partial_names(directory):
            with self._lock:
                if key in keys or key in self._jobs or Partial(directory, key).path in self._uploads.open_paths():
                    continue
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{directory}/{name}")
                    removed.append(name)
        return removed

    # what the threads do

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                job.task.check()
                self._run(job)
            except Cancelled:
                self._drop(job)
            except XvirtError as error:
                self._fail(job, error)
            except OSError as error:
                self._fail(job, translate_file_error(error, job.request.path))
            except Exception as error:
                logger.exception("bug while fetching %s", job.request.shown)
                self._fail(job, InternalError(f"{type(error).__name__}: {error}; this is a bug in xVirt"))

    def _run(self, job: _Job) -> None:
        request, partial, task = job.request, job.partial, job.task
        task.enter(TransferState.RUNNING)
        if os.path.lexists(request.path):
            self._sum_existing(job)
            return
        checksum, is_resumed = self._fetch(job)
        task.enter(TransferState.CHECKING)
        if request.checksum is not None and checksum != request.checksum:
            partial.reset()
            message = f"{request.shown} has checksum {checksum}, declared is {request.checksum}"
            if is_resumed:
                raise RetryLater(f"{message}; it was fetched in parts, and is fetched anew", reason="ChecksumDiffers")
            remedy = "mend the source or the checksum"
            raise InvalidSpec([Problem("spec.checksum", message, remedy)], reason="ChecksumDiffers")
        path = partial.path
        if request.origin is Origin.CONTAINER_DISK:
            path = partial.unpacked_path
        elif request.compression is not ImageCompression.NONE:
            path = partial.unpacked_path
            unpack(partial.path, path, request.compression, task, request.shown)
        self._inspect(path, request)
        task.check()
        os.chmod(path, IMAGE_MODE)
        self._place(job, path, checksum)

    def _sum_existing(self, job: _Job) -> None:
        """What is there already: put in place by a process that died before it could tell, or left by an earlier object."""
        request = job.request
        job.partial.reset()
        if request.compression is not ImageCompression.NONE or request.origin is Origin.CONTAINER_DISK:
            self._end(job, TransferFacts(state=TransferState.DONE, checksum=request.checksum))
            return
        size = os.stat(request.path).st_size
        with open(request.path, "rb") as handle:
            digest = _sum(handle.fileno(), size, job.task)
        if request.checksum not in (None, digest):
            message = f"{request.path} is there already and has checksum {digest}, declared is {request.checksum}"
            raise Refused(f"{message}; move it away, then the image is fetched", reason="ChecksumDiffers")
        self._end(job, TransferFacts(state=TransferState.DONE, checksum=digest))

    def _fetch(self, job: _Job) -> tuple[str, bool]:
        request, partial, task = job.request, job.partial, job.task
        gate = dataclasses.replace(self._gate, trust=request.trust)
        if request.origin is Origin.PATH:
            return fetch_path(request, partial, gate, task), False
        if request.origin is Origin.URL:
            fetch = UrlFetch(request, partial, gate, task)
            try:
                return fetch.run(), fetch.is_resumed
            except Unauthorized as error:
                raise error.refusal from error
        if request.origin is Origin.CONTAINER_DISK:
            container = ContainerFetch(request, partial, gate, task)
            return container.run(), container.is_resumed
        with Sink(partial.path, task, partial.size_bytes()) as sink:
            check_size(sink.size_bytes, self._limits, "upload")
            sink.sync()
            return sink.checksum, False

    def _inspect(self, path: str, request: ImageRequest) -> None:
        packing = find_packing(path)
        if packing is not None:
            message = f"{request.shown} is packed with {packing.value.lower()}, declared is {request.format}"
            remedy = f"set compression: {packing.value}"
            raise InvalidSpec([Problem("spec.compression", message, remedy)], reason="ImageCorrupt")
        self._check(path, request.format, request.shown)

    def _place(self, job: _Job, path: str, checksum: str) -> None:
        """Give the file its names, and let all who wait know. Under the lock: who leaves before gets none, who leaves after has it."""
        directory = job.partial.directory
        with self._lock:
            failed: dict[str, TransferFacts] = {}
            for uid, target in job.waiting.items():
                try:
                    os.link(path, target)
                except FileExistsError:
                    continue
                except OSError as error:
                    failed[uid] = TransferFacts(state=TransferState.FAILED, error=translate_file_error(error, target))
            if len(failed) == len(job.waiting) == 1:  # a file system without links
                os.rename(path, next(iter(job.waiting.values())))
                failed = {}
            sync_directory(directory)
            job.partial.reset()
            done = TransferFacts(state=TransferState.DONE, checksum=checksum)
            self._close_job(job, {uid: failed.get(uid, done) for uid in job.waiting})
        self._tell_each(job)

    def _fail(self, job: _Job, error: XvirtError) -> None:
        allocated = job.partial.allocated_bytes() if isinstance(error, Exhausted) else 0
        is_kept = isinstance(error, RetryLater) and not isinstance(error, Exhausted)  # a full disk is not kept full
        if not is_kept and not (is_upload(job.request) and isinstance(error, Exhausted)):
            job.partial.reset()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(job.partial.unpacked_path)
        self._end(job, TransferFacts(state=TransferState.FAILED, error=error), allocated)

    def _end(self, job: _Job, facts: TransferFacts, allocated_bytes: int = 0) -> None:
        with self._lock:
            self._close_job(job, dict.fromkeys(job.waiting, facts), allocated_bytes)
        self._tell_each(job)

    def _close_job(self, job: _Job, ends: dict[str, TransferFacts], allocated_bytes: int = 0) -> None:
        self._jobs.pop(job.key, None)
        for uid, facts in ends.items():
            self._by_uid.pop(uid, None)
            self._history.note(uid, facts, allocated_bytes)

    def _drop(self, job: _Job) -> None:
        """Cancelled: by the last who waited, or because the plugin stops and goes on with the file later."""
        with self._lock:
            is_unwanted = not job.waiting
            self._jobs.pop(job.key, None)
            for uid in job.waiting:
                self._by_uid.pop(uid, None)
        if is_unwanted:
            job.partial.reset()

    def _link_twin(self, request: ImageRequest, twin_path: str) -> bool:
        try:
            os.link(twin_path, request.path)
            sync_directory(os.path.dirname(request.path))
        except OSError:
            return False
        with self._lock:
            facts = TransferFacts(state=TransferState.DONE, checksum=request.checksum)
            self._history.note(request.uid, facts)
        return True

    def _tell(self, uid: str) -> None:
        self._listener(uid)

    def _tell_all(self, key: str) -> None:
        with self._lock:
            job = self._jobs.get(key)
            uids = list(job.waiting) if job is not None else []
        for uid in uids:
            self._listener(uid)

    def _tell_each(self, job: _Job) -> None:
        for uid in list(job.waiting):
            self._listener(uid)


def _sum(descriptor: int, size_bytes: int, task: Task) -> str:
    digest, done = hashlib.sha256(), 0
    while chunk := os.pread(descriptor, task.limits.chunk_bytes, done):
        digest.update(chunk)
        done += len(chunk)
        task.report(done, size_bytes)
    return f"sha256:{digest.hexdigest()}"
