"""The RPC of uploads, beside those of the node."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import grpc

from nodeplugin.images import port
from nodeplugin.images.limits import DEFAULT_LIMITS
from nodeplugin.server_calls import NodeCalls, guarded_stream
from xvirt.model.errors import InvalidSpec, Problem, RetryLater
from xvirt.nodeapi.v1 import image_pb2 as pb
from xvirt.nodeapi.v1.image_pb2_grpc import ImageUploadsServicer
from xvirt.wire import messages


class ImageCalls(NodeCalls, ImageUploadsServicer):
    """All services of a node."""

    @guarded_stream
    def Upload(
        self, requests: Iterator[pb.UploadRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.UploadResponse]:
        with _Idle(context, DEFAULT_LIMITS.upload_idle_s) as idle:
            first = next(requests, None)
            if first is None or not first.HasField("ref"):
                raise InvalidSpec([Problem("ref", "the first message must name the image")])
            ref = messages.decode_required_ref(first.ref)
            upload = self._api.open_upload(self._caller(context), ref, first.size_bytes)
            with contextlib.closing(upload):
                yield pb.UploadResponse(received_bytes=upload.received_bytes)
                self._receive(requests, upload, idle)
                received = first.size_bytes
            yield pb.UploadResponse(received_bytes=received, is_complete=True)

    def _receive(self, requests: Iterator[pb.UploadRequest], upload: port.Upload, idle: _Idle) -> None:
        for request in requests:
            idle.beat()
            if self.stopping.is_set():
                raise RetryLater("the node plugin is stopping; the upload goes on where it was", reason="Stopping")
            if request.data:
                upload.write(request.data)
            if request.finish:
                upload.finish()
                return
        raise RetryLater("the upload ended without its end; it goes on where it was", reason="Truncated")


class _Idle:
    """Cancels a call whose client sends nothing any more: reading its requests has no deadline of its own."""

    def __init__(self, context: grpc.ServicerContext, timeout_s: float) -> None:
        self._context = context
        self._timeout_s = timeout_s
        self._last = time.monotonic()
        self._ended = threading.Event()

    def beat(self) -> None:
        """Something came."""
        self._last = time.monotonic()

    def __enter__(self) -> _Idle:
        threading.Thread(target=self._watch, name="upload-idle", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def _watch(self) -> None:
        while not self._ended.wait(max(0.1, self._last + self._timeout_s - time.monotonic())):
            if time.monotonic() - self._last >= self._timeout_s:
                self._context.cancel()
                return
