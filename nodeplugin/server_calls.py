"""Each RPC: who calls, decode, call the node, encode; errors to status."""

from __future__ import annotations

import functools
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

import grpc

from nodeplugin.api import NodeApi
from nodeplugin.telemetry import OK, SILENT, Telemetry, Work
from xvirt.model.errors import Exhausted, Forbidden, InternalError, InvalidSpec, Problem, Unsupported, XvirtError
from xvirt.model.exchange import Caller, WatchEvent, WatchType
from xvirt.nodeapi.v1 import node_pb2 as pb
from xvirt.nodeapi.v1.node_pb2_grpc import NodeServicer
from xvirt.wire import messages
from xvirt.wire.limits import CONSOLE_CHUNK_BYTES, HEARTBEAT_INTERVAL_S, STREAMS_MAX
from xvirt.wire.status import encode_error

logger = logging.getLogger(__name__)
T = TypeVar("T")
POLL_S = 0.25


def abort(context: grpc.ServicerContext, error: XvirtError) -> NoReturn:
    """End a call with an error."""
    code, message, metadata = encode_error(error)
    context.set_trailing_metadata(metadata)
    context.abort(code, message)
    raise AssertionError("abort returns never")


def guarded(method: Callable[..., T]) -> Callable[..., T]:
    """Errors of ours become status; anything else is a bug with an id to find it in the log, and no traceback on the wire."""

    @functools.wraps(method)
    def wrapper(self: Any, request: Any, context: grpc.ServicerContext) -> T:
        began_s, outcome = time.monotonic(), OK
        try:
            return method(self, request, context)
        except XvirtError as error:
            outcome = type(error).__name__
            abort(context, error)
        except Exception as error:
            outcome = type(error).__name__
            if not context.is_active():
                raise
            name = secrets.token_hex(4)
            logger.exception("bug %s in %s", name, method.__name__)
            abort(
                context,
                InternalError(f"{type(error).__name__} in {method.__name__}; the node's log has it as bug {name}"),
            )
        finally:
            self.telemetry.ended(Work.RPC, method.__name__, outcome, time.monotonic() - began_s)

    return wrapper


def guarded_stream(method: Callable[..., Iterator[T]]) -> Callable[..., Iterator[T]]:
    """`guarded`, for a stream of answers."""

    @functools.wraps(method)
    def wrapper(self: Any, request: Any, context: grpc.ServicerContext) -> Iterator[T]:
        try:
            yield from method(self, request, context)
        except XvirtError as error:
            abort(context, error)

    return wrapper


class NodeCalls(NodeServicer):
    """The service. `local` is the caller behind the Unix socket, `callers` those behind TLS, by common name."""

    def __init__(
        self, api: NodeApi, local: Caller | None, callers: Mapping[str, Caller], telemetry: Telemetry = SILENT
    ) -> None:
        self._api = api
        self.telemetry = telemetry
        self._local = local
        self._callers = callers
        self._streams = threading.BoundedSemaphore(STREAMS_MAX)
        self.stopping = threading.Event()

    def _caller(self, context: grpc.ServicerContext) -> Caller:
        if self._local is not None:
            return self._local
        names = context.auth_context().get("x509_common_name", ())
        name = bytes(names[0]).decode(errors="replace") if names else ""
        caller = self._callers.get(name)
        if caller is None:
            raise Forbidden(f"certificate of {name!r} is not in `clients` of the node's config", reason="UnknownClient")
        return caller

    @guarded
    def Apply(self, request: pb.ApplyRequest, context: grpc.ServicerContext) -> pb.ApplyResponse:
        return messages.encode_applied(self._api.apply(self._caller(context), messages.decode_apply(request)))

    @guarded
    def Delete(self, request: pb.DeleteRequest, context: grpc.ServicerContext) -> pb.DeleteResponse:
        ref, token = messages.decode_required_ref(request.ref), messages.decode_token(request.token)
        view = self._api.delete(self._caller(context), ref, token, force=request.force)
        return pb.DeleteResponse(object=messages.encode_view(view))

    @guarded
    def Get(self, request: pb.GetRequest, context: grpc.ServicerContext) -> pb.Object:
        return messages.encode_view(self._api.get(self._caller(context), messages.decode_required_ref(request.ref)))

    @guarded
    def List(self, request: pb.ListRequest, context: grpc.ServicerContext) -> pb.ListResponse:
        views = self._api.list_objects(self._caller(context), request.kind, request.namespace)
        return pb.ListResponse(objects=[messages.encode_view(view) for view in views])

    @guarded
    def Operate(self, request: pb.OperateRequest, context: grpc.ServicerContext) -> pb.Operation:
        call = messages.decode_operate(request)
        return messages.encode_operation(self._api.operate(self._caller(context), call))

    @guarded
    def Describe(self, request: pb.DescribeRequest, context: grpc.ServicerContext) -> pb.DescribeResponse:
        ref = messages.decode_required_ref(request.ref)
        return messages.encode_description(self._api.describe(self._caller(context), ref))

    @guarded
    def NodeInfo(self, request: pb.NodeInfoRequest, context: grpc.ServicerContext) -> pb.NodeInfoResponse:
        return messages.encode_node(self._api.node_info(self._caller(context)))

    @guarded
    def ListEvents(self, request: pb.ListEventsRequest, context: grpc.ServicerContext) -> pb.ListEventsResponse:
        ref = messages.decode_required_ref(request.ref) if request.HasField("ref") else None
        events = self._api.list_events(self._caller(context), ref)
        return pb.ListEventsResponse(events=[messages.encode_event(event) for event in events])

    @guarded
    def Adopt(self, request: pb.AdoptRequest, context: grpc.ServicerContext) -> pb.ApplyResponse:
        raise Unsupported("this release does not adopt domains yet")

    @guarded
    def ListForeign(self, request: pb.ListForeignRequest, context: grpc.ServicerContext) -> pb.ListForeignResponse:
        raise Unsupported("this release does not list foreign domains yet")

    @guarded_stream
    def Watch(self, request: pb.WatchRequest, context: grpc.ServicerContext) -> Iterator[pb.WatchEvent]:
        with self._slot():
            subscription = self._api.watch(self._caller(context), request.kind, request.namespace)
            context.add_callback(subscription.close)
            quiet_s, last = 0.0, WatchEvent(type=WatchType.HEARTBEAT, boot_id="", sequence=0)
            try:
                while context.is_active() and not self.stopping.is_set():
                    event = subscription.next_event(POLL_S)
                    quiet_s = 0.0 if event is not None else quiet_s + POLL_S
                    if event is not None:
                        last = event
                        yield messages.encode_watch_event(event)
                    elif quiet_s >= HEARTBEAT_INTERVAL_S:
                        quiet_s = 0.0
                        heartbeat = WatchEvent(type=WatchType.HEARTBEAT, boot_id=last.boot_id, sequence=last.sequence)
                        yield messages.encode_watch_event(heartbeat)
            finally:
                subscription.close()

    @guarded_stream
    def ConsoleLog(self, request: pb.ConsoleLogRequest, context: grpc.ServicerContext) -> Iterator[pb.ConsoleResponse]:
        with self._slot():
            ref = messages.decode_required_ref(request.ref)
            chunks = self._api.console_log(
                self._caller(context), ref, follow=request.follow, tail_bytes=request.tail_bytes
            )
            for chunk in chunks:
                if not context.is_active() or self.stopping.is_set():
                    return
                if chunk:
                    yield pb.ConsoleResponse(output=chunk)

    @guarded_stream
    def Console(
        self, requests: Iterator[pb.ConsoleRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.ConsoleResponse]:
        with self._slot():
            first = next(requests, None)
            if first is None:
                raise InvalidSpec([Problem("ref", "the first message must name the machine")])
            ref = messages.decode_required_ref(first.ref)
            stream = self._api.console(self._caller(context), ref, force=first.force)
            context.add_callback(stream.close)
            threading.Thread(target=_feed, args=(requests, stream), name="console-input", daemon=True).start()
            try:
                while context.is_active() and not self.stopping.is_set():
                    data = stream.read(CONSOLE_CHUNK_BYTES, POLL_S)
                    if data is None:
                        return
                    if data:
                        yield pb.ConsoleResponse(output=data)
            finally:
                stream.close()

    def _slot(self) -> _Slot:
        if not self._streams.acquire(blocking=False):
            raise Exhausted(f"{STREAMS_MAX} streams are open on this node; close one", reason="TooManyStreams")
        return _Slot(self._streams)


class _Slot:
    """One of the node's streams."""

    def __init__(self, streams: threading.BoundedSemaphore) -> None:
        self._streams = streams

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._streams.release()


def _feed(requests: Iterator[pb.ConsoleRequest], stream: Any) -> None:
    """Input of a console. Ends with the client's stream or the guest's console."""
    try:
        for request in requests:
            if request.input:
                stream.write(request.input)
    except Exception as error:  # noqa: BLE001 - gRPC raises its own when the client goes; there is nobody to tell
        logger.debug("console input ended: %s", error)
