"""The blocking client. Every unary call has a deadline and is repeated while the node cannot be reached and time is left:
all of them are harmless to repeat."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import grpc

from xvirt.client.target import Target, TlsFiles
from xvirt.model.errors import InvalidSpec, Problem, Unavailable
from xvirt.model.exchange import (
    ApplyCall,
    ApplyResult,
    Description,
    Event,
    NodeDescription,
    ObjectRef,
    ObjectView,
    OperateCall,
    Operation,
    Token,
    WatchEvent,
)
from xvirt.nodeapi.v1 import node_pb2 as pb
from xvirt.nodeapi.v1.image_pb2_grpc import ImageUploadsStub
from xvirt.nodeapi.v1.node_pb2_grpc import NodeStub
from xvirt.wire import messages
from xvirt.wire.limits import KEEPALIVE_TIME_MS, KEEPALIVE_TIMEOUT_MS, MESSAGE_MAX_BYTES, UNARY_TIMEOUT_S
from xvirt.wire.status import decode_error

RETRY_FIRST_S = 0.1
RETRY_MAX_S = 1.0
RETRY_WITHIN_S = 3.0
"""A node that is restarted is back by then; longer waits are the caller's business."""


def open_channel(target: Target) -> grpc.Channel:
    """A channel with keepalive; TCP is always mutual TLS, with the node's name checked. Raises InvalidSpec for unreadable files."""
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", MESSAGE_MAX_BYTES),
        ("grpc.max_send_message_length", MESSAGE_MAX_BYTES),
        ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.enable_http_proxy", 0),
    ]
    if target.tls is None:
        return grpc.insecure_channel(target.grpc_address(), options)
    options.append(("grpc.ssl_target_name_override", target.node_name))
    return grpc.secure_channel(target.grpc_address(), _credentials(target.tls), options)


def _credentials(files: TlsFiles) -> grpc.ChannelCredentials:
    try:
        return grpc.ssl_channel_credentials(
            files.ca.read_bytes(), files.key.read_bytes(), files.certificate.read_bytes()
        )
    except OSError as error:
        raise InvalidSpec([Problem(str(error.filename), f"cannot be read: {error.strerror}")]) from error


def _stamp(files: TlsFiles | None) -> tuple[int, ...]:
    if files is None:
        return ()
    with contextlib.suppress(OSError):
        return tuple(path.stat().st_mtime_ns for path in (files.ca, files.certificate, files.key))
    return ()


class NodeClient:
    """Calls of one node. A context manager; threads may share it. The channel is made anew when the TLS files change."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._stamp = _stamp(target.tls)
        self._channel = open_channel(target)
        self._stub = NodeStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    # calls

    def apply(self, call: ApplyCall, timeout_s: float = UNARY_TIMEOUT_S) -> ApplyResult:
        return messages.decode_applied(self._unary("Apply", messages.encode_apply(call), timeout_s))

    def delete(self, ref: ObjectRef, token: Token | None = None, *, force: bool = False) -> ObjectView:
        request = pb.DeleteRequest(
            ref=messages.encode_ref(ref), token=messages.encode_token(token or Token()), force=force
        )
        return messages.decode_view(self._unary("Delete", request).object)

    def get(self, ref: ObjectRef) -> ObjectView:
        return messages.decode_view(self._unary("Get", pb.GetRequest(ref=messages.encode_ref(ref))))

    def list_objects(self, kind: str = "", namespace: str = "") -> list[ObjectView]:
        answer = self._unary("List", pb.ListRequest(kind=kind, namespace=namespace))
        return [messages.decode_view(item) for item in answer.objects]

    def operate(self, call: OperateCall) -> Operation:
        return messages.decode_operation(self._unary("Operate", messages.encode_operate(call)))

    def describe(self, ref: ObjectRef) -> Description:
        return messages.decode_description(self._unary("Describe", pb.DescribeRequest(ref=messages.encode_ref(ref))))

    def node_info(self) -> NodeDescription:
        return messages.decode_node(self._unary("NodeInfo", pb.NodeInfoRequest()))

    def list_events(self, ref: ObjectRef | None = None) -> list[Event]:
        request = pb.ListEventsRequest(ref=messages.encode_ref(ref) if ref else None)
        return [messages.decode_event(item) for item in self._unary("ListEvents", request).events]

    # streams

    @contextlib.contextmanager
    def watch(self, kind: str = "", namespace: str = "") -> Iterator[Iterator[WatchEvent]]:
        """One full snapshot, SYNCED, then deltas, until the block is left. A broken stream raises Unavailable: watch again."""
        stream = self._current().Watch(pb.WatchRequest(kind=kind, namespace=namespace))
        try:
            yield (messages.decode_watch_event(item) for item in self._iterate(stream))
        finally:
            stream.cancel()

    def console(self, ref: ObjectRef, *, force: bool = False) -> ConsoleSession:
        """The serial console."""
        return ConsoleSession(self, ref, force=force)

    def console_log(self, ref: ObjectRef, *, follow: bool = False, tail_bytes: int = 0) -> Iterator[bytes]:
        """Chunks of the boot log."""
        request = pb.ConsoleLogRequest(ref=messages.encode_ref(ref), follow=follow, tail_bytes=tail_bytes)
        stream = self._current().ConsoleLog(request)
        try:
            for item in self._iterate(stream):
                yield item.output
        finally:
            stream.cancel()

    def open_console(self, requests: Iterator[pb.ConsoleRequest]) -> Any:
        """The raw stream of a console."""
        return self._current().Console(requests)

    def open_upload(self, requests: Iterator[Any]) -> Any:
        """The raw stream of an upload (`xvirt.client.images`)."""
        self._current()
        return ImageUploadsStub(self._channel).Upload(requests)

    # how

    def _current(self) -> Any:
        stamp = _stamp(self._target.tls)
        with self._lock:
            if stamp != self._stamp:
                old, self._channel = self._channel, open_channel(self._target)
                self._stub = NodeStub(self._channel)
                self._stamp = stamp
                old.close()
            return self._stub

    def _unary(self, method: str, request: Any, timeout_s: float = UNARY_TIMEOUT_S) -> Any:
        began = time.monotonic()
        delay_s = RETRY_FIRST_S
        while True:
            left = timeout_s - (time.monotonic() - began)
            try:
                return getattr(self._current(), method)(request, timeout=max(left, 0.001))
            except grpc.RpcError as error:
                failure = self._translate(error)
                is_lost = isinstance(failure, Unavailable) and failure.reason == "NodeUnreachable"
                if not is_lost or time.monotonic() - began + delay_s > min(timeout_s, RETRY_WITHIN_S):
                    raise failure from None
            time.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_MAX_S)

    def _iterate(self, stream: Any) -> Iterator[Any]:
        try:
            yield from stream
        except grpc.RpcError as error:
            raise self._translate(error) from None

    def _translate(self, error: Any) -> Exception:
        metadata = [(item[0], item[1]) for item in error.trailing_metadata() or ()]
        return decode_error(error.code(), error.details() or "", metadata, self._target.address)

    def translate(self, work: Callable[[], Any]) -> Any:
        """Run something that may raise gRPC's errors, and raise ours."""
        try:
            return work()
        except grpc.RpcError as error:
            raise self._translate(error) from None


class ConsoleSession:
    """A console: `read` blocks for output and gives None at the end; `write` sends input."""

    def __init__(self, client: NodeClient, ref: ObjectRef, *, force: bool) -> None:
        self._client = client
        self._input: queue.SimpleQueue[pb.ConsoleRequest | None] = queue.SimpleQueue()
        self._input.put(pb.ConsoleRequest(ref=messages.encode_ref(ref), force=force))
        self._stream = client.open_console(self._requests())

    def _requests(self) -> Iterator[pb.ConsoleRequest]:
        while (request := self._input.get()) is not None:
            yield request

    def read(self) -> bytes | None:
        def work() -> bytes | None:
            answer = next(self._stream, None)
            return None if answer is None else bytes(answer.output)

        result: bytes | None = self._client.translate(work)
        return result

    def write(self, data: bytes) -> None:
        self._input.put(pb.ConsoleRequest(input=data))

    def close(self) -> None:
        self._input.put(None)
        self._stream.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
