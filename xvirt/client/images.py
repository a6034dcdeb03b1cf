"""Sending an image, from where an earlier try broke."""

from __future__ import annotations

import dataclasses
import queue
import time
from collections.abc import Callable, Iterator
from typing import IO

from xvirt.client import calls
from xvirt.client.blocking import NodeClient, Stream
from xvirt.model.errors import RetryLater
from xvirt.model.exchange import ObjectRef
from xvirt.nodeapi.v1 import image_pb2 as pb

CHUNK_BYTES = 1 << 20
ATTEMPTS_MAX = 5
"""In a row of which none brought the upload further."""
PAUSE_S = 1.0
_RETRIED = frozenset({"NodeUnreachable", "Stopping", "Truncated", "UploadOpen", "PoolNotReady"})


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """What is sent: a file that can be sought in, and its size in bytes."""

    handle: IO[bytes]
    size_bytes: int


def upload_image(client: NodeClient, ref: ObjectRef, file: ImageFile, progress: Callable[[int], None]) -> None:
    """Send a file; `progress` gets the bytes that were sent. Raises what the node answers, Unavailable after several tries."""
    attempts, best = 0, -1
    while True:
        sender = _Sender(ref, file, progress)
        try:
            sender.run(client)
            return
        except RetryLater as error:
            attempts = attempts + 1 if sender.sent_bytes <= best else 1
            best = max(best, sender.sent_bytes)
            if error.reason not in _RETRIED or attempts >= ATTEMPTS_MAX:
                raise
        time.sleep(PAUSE_S)


class _Sender:
    """One stream."""

    def __init__(self, ref: ObjectRef, file: ImageFile, progress: Callable[[int], None]) -> None:
        self._ref = ref
        self._file = file
        self._progress = progress
        self._offsets: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self.sent_bytes = 0

    def run(self, client: NodeClient) -> None:
        call = calls.upload(self._ref, self._file.size_bytes)
        try:
            with Stream(client, call, None, self._requests(call.request)) as stream:
                self._offsets.put(stream.next())
                stream.next()
        finally:
            self._offsets.put(None)

    def _requests(self, first: pb.UploadRequest) -> Iterator[pb.UploadRequest]:
        yield first
        offset = self._offsets.get()
        if offset is None:
            return
        self._file.handle.seek(offset)
        self.sent_bytes = offset
        while chunk := self._file.handle.read(CHUNK_BYTES):
            yield pb.UploadRequest(data=chunk)
            self.sent_bytes += len(chunk)
            self._progress(self.sent_bytes)
        yield pb.UploadRequest(finish=True)
