"""Each RPC: who calls, decode, call the node, encode; errors to status."""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeVar

import grpc

from nodeplugin.api import NodeApi
from nodeplugin.hypervisor.port import ConsoleStream
from nodeplugin.server_options import ServerLimits
from nodeplugin.server_streams import Shares, StreamSlots
from nodeplugin.telemetry import OK, SILENT, Telemetry, Work
from nodeplugin.views import EncodedViews
from xvirt.model.errors import (
    Forbidden,
    InternalError,
    InvalidSpec,
    Problem,
    Unavailable,
    XvirtError,
)
from xvirt.model.exchange import Caller, Detail, WatchEvent, WatchType
from xvirt.nodeapi.v1 import node_pb2 as pb
from xvirt.nodeapi.v1.node_pb2_grpc import NodeServicer
from xvirt.wire import messages
from xvirt.wire.limits import CONSOLE_CHUNK_BYTES
from xvirt.wire.status import TOO_MANY_CALLS, encode_error

logger = logging.getLogger(__name__)
T = TypeVar("T")
POLL_S = 0.25
LIMITS = ServerLimits()


def abort(context: grpc.ServicerContext, error: XvirtError) -> NoReturn:
    """End a call with an error."""
    code, message, metadata = encode_error(error)
    context.set_trailing_metadata(metadata)
    context.abort(code, message)
    raise AssertionError("abort returns never")


def to_error(error: Exception, method: str) -> XvirtError:
    """Ours as they are; anything else is a bug with an id to find it in the log, and no traceback on the wire."""
    if isinstance(error, XvirtError):
        return error
    name = secrets.token_hex(4)
    logger.error("bug %s in %s", name, method, exc_info=error)
    return InternalError(f"{type(error).__name__} in {method}; the node's log has it as bug {name}")


def guarded(method: Callable[..., T]) -> Callable[..., T]:
    """Errors become status, and the telemetry hears how it went. (What nobody waits for any more gRPC does not begin.)"""

    @functools.wraps(method)
    def wrapper(self: Any, request: Any, context: grpc.ServicerContext) -> T:
        began_s, outcome = time.monotonic(), OK
        try:
            with self.shares.take(self.client(context)):
                return method(self, request, context)
        except Exception as error:  # noqa: BLE001 - told to the caller, and logged where it is no error of ours
            outcome = type(error).__name__
            abort(context, to_error(error, method.__name__))
        finally:
            self.telemetry.ended(Work.RPC, method.__name__, outcome, time.monotonic() - began_s)

    return wrapper


def guarded_stream(method: Callable[..., Iterator[T]]) -> Callable[..., Iterator[T]]:
    """`guarded`, for a stream of answers; it holds one of the listener's slots, and a stop of the node is told as an error."""

    @functools.wraps(method)
    def wrapper(self: Any, request: Any, context: grpc.ServicerContext) -> Iterator[T]:
        try:
            with self.slots.take(context, self.client(context)) as slot:
                for answer in method(self, request, context):
                    with slot.sending():
                        yield answer
        except Exception as error:  # noqa: BLE001 - as above
            if not context.is_active():
                return
            abort(context, to_error(error, method.__name__))

    return wrapper


class NodeCalls(NodeServicer):
    """The service. `local` is the caller behind the Unix socket, `callers` those behind TLS, by common name."""

    def __init__(
        self,
        api: NodeApi,
        local: Caller | None,
        callers: Mapping[str, Caller],
        telemetry: Telemetry = SILENT,
        limits: ServerLimits = LIMITS,
    ) -> None:
        self._api = api
        self.telemetry = telemetry
        self._local = local
        self._callers = callers
        self._limits = limits
        self.slots = StreamSlots(limits)
        self._encoded = {detail: EncodedViews() for detail in Detail}
        self.shares = Shares(limits.calls_per_client, "calls", TOO_MANY_CALLS)
        self.stopping = threading.Event()

    def _caller(self, context: grpc.ServicerContext) -> Caller:
        if self._local is not None:
            return self._local
        name = self.client(context)
        caller = self._callers.get(name)
        if caller is None:
            raise Forbidden(f"certificate of {name!r} is not in `clients` of the node's config", reason="UnknownClient")
        return caller

    def client(self, context: grpc.ServicerContext) -> str:
        """The common name of the certificate; empty behind the Unix socket, where everybody is the host's root."""
        names = context.auth_context().get("x509_common_name", ()) if self._local is None else ()
        return bytes(names[0]).decode(errors="replace") if names else ""

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
        detail = messages.decode_detail(request)
        views = self._api.list_objects(self._caller(context), request.kind, request.namespace, detail)
        return pb.ListResponse(objects=self._encoded[detail].encode(views))

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
        call = messages.decode_adopt(request)
        return messages.encode_applied(self._api.adopt(self._caller(context), call))

    @guarded
    def AcceptEpoch(self, request: pb.AcceptEpochRequest, context: grpc.ServicerContext) -> pb.AcceptEpochResponse:
        refs = self._api.accept_epoch(self._caller(context), request.authority)
        return pb.AcceptEpochResponse(refs=[messages.encode_ref(item) for item in refs])

    @guarded
    def ListForeign(self, request: pb.ListForeignRequest, context: grpc.ServicerContext) -> pb.ListForeignResponse:
        domains = self._api.list_foreign(self._caller(context))
        return pb.ListForeignResponse(domains=[messages.encode_foreign(item) for item in domains])

    @guarded
    def ListOrphans(self, request: pb.ListOrphansRequest, context: grpc.ServicerContext) -> pb.ListOrphansResponse:
        orphans = self._api.list_orphans(self._caller(context), request.namespace)
        return pb.ListOrphansResponse(orphans=[messages.encode_orphan(item) for item in orphans])

    @guarded_stream
    def Watch(self, request: pb.WatchRequest, context: grpc.ServicerContext) -> Iterator[pb.WatchEvent]:
        subscription = self._api.watch(self._caller(context), request.kind, request.namespace)
        context.add_callback(subscription.close)
        quiet_s, last = 0.0, WatchEvent(type=WatchType.HEARTBEAT, boot_id="", sequence=0)
        try:
            while self._goes_on(context):
                event = subscription.next_event(POLL_S)
                quiet_s = 0.0 if event is not None else quiet_s + POLL_S
                if event is not None:
                    last = event
                    yield messages.encode_watch_event(event)
                elif quiet_s >= self._limits.heartbeat_interval_s:
                    quiet_s = 0.0
                    heartbeat = WatchEvent(type=WatchType.HEARTBEAT, boot_id=last.boot_id, sequence=last.sequence)
                    yield messages.encode_watch_event(heartbeat)
        finally:
            subscription.close()

    @guarded_stream
    def ConsoleLog(self, request: pb.ConsoleLogRequest, context: grpc.ServicerContext) -> Iterator[pb.ConsoleResponse]:
        ref = messages.decode_required_ref(request.ref)
        if request.tail_bytes < 0:
            raise InvalidSpec([Problem("tail_bytes", "must not be below 0")])
        chunks = self._api.console_log(self._caller(context), ref, follow=request.follow, tail_bytes=request.tail_bytes)
        for chunk in chunks:
            if not self._goes_on(context):
                return
            if chunk:
                yield pb.ConsoleResponse(output=chunk)

    @guarded_stream
    def Console(
        self, requests: Iterator[pb.ConsoleRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.ConsoleResponse]:
        first = self._first_message(requests, context)
        ref = messages.decode_required_ref(first.ref)
        stream = self._api.console(self._caller(context), ref, force=first.force)
        context.add_callback(stream.close)
        threading.Thread(target=_feed, args=(requests, stream), name="console-input", daemon=True).start()
        try:
            while self._goes_on(context):
                data = stream.read(CONSOLE_CHUNK_BYTES, POLL_S)
                if data is None:
                    return
                if data:
                    yield pb.ConsoleResponse(output=data)
        finally:
            stream.close()

    def _goes_on(self, context: grpc.ServicerContext) -> bool:
        """Whether somebody still reads. Raises Unavailable where the node plugin stops."""
        if self.stopping.is_set():
            raise Unavailable("the node plugin is stopping; begin the stream anew", reason="NodeStopping")
        return context.is_active()

    def _first_message(self, requests: Iterator[pb.ConsoleRequest], context: grpc.ServicerContext) -> pb.ConsoleRequest:
        """Raises InvalidSpec where the client ends its side or says nothing in time."""
        found: queue.SimpleQueue[pb.ConsoleRequest | None] = queue.SimpleQueue()
        threading.Thread(target=_read_first, args=(requests, found), name="console-first", daemon=True).start()
        deadline_s = time.monotonic() + self._limits.first_message_timeout_s
        while self._goes_on(context) and time.monotonic() < deadline_s:
            with contextlib.suppress(queue.Empty):
                if (first := found.get(timeout=POLL_S)) is not None:
                    return first
                break
        wrong = f"the first message must name the machine, within {self._limits.first_message_timeout_s:g} s"
        raise InvalidSpec([Problem("ref", wrong)])


def _read_first(requests: Iterator[pb.ConsoleRequest], found: queue.SimpleQueue[pb.ConsoleRequest | None]) -> None:
    try:
        found.put(next(requests, None))
    except Exception as error:  # noqa: BLE001 - gRPC raises its own when the client goes; there is nobody to tell
        logger.debug("console ended before it began: %s", error)
        found.put(None)


def _feed(requests: Iterator[pb.ConsoleRequest], stream: ConsoleStream) -> None:
    """Input of a console. Ends with the client's stream or the guest's console."""
    try:
        for request in requests:
            if request.input:
                stream.write(request.input)
    except Exception as error:  # noqa: BLE001 - gRPC raises its own when the client goes; there is nobody to tell
        logger.debug("console input ended: %s", error)
