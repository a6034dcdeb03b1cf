"""A fake node behind mutual TLS: decode, call, encode, and the faults that a test has asked for. One event loop for all hosts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NoReturn, TypeVar

import grpc
from grpc import aio

from nodeplugin.server_tls import CertificateSource
from tools.cluster.fakehosts.faults import MUTATING, Asked, Loss
from tools.cluster.fakehosts.node import FakeNode
from xvirt.model.errors import Forbidden, Unsupported, XvirtError
from xvirt.model.exchange import Caller, Token, WatchEvent, WatchType
from xvirt.nodeapi.v1 import node_pb2 as pb
from xvirt.nodeapi.v1.node_pb2_grpc import NodeServicer, add_NodeServicer_to_server
from xvirt.wire import messages
from xvirt.wire.certificates import TlsFiles
from xvirt.wire.limits import HEARTBEAT_INTERVAL_S, MESSAGE_MAX_BYTES, PING_INTERVAL_MIN_MS
from xvirt.wire.status import encode_error

T = TypeVar("T")
Context = aio.ServicerContext[Any, Any]
NO_CONSOLE = Unsupported("a fake node has no console")
NO_TOKEN = Token()
CUT = "the connection was cut"
_FROZEN_LOOK_S = 0.05
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", MESSAGE_MAX_BYTES),
    ("grpc.max_send_message_length", MESSAGE_MAX_BYTES),
    ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MIN_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),
]


class Stream:
    """One open watch: sleeps until there is something to read, or it is cut."""

    def __init__(self) -> None:
        self.is_cut = False
        self._event = asyncio.Event()

    def wake(self) -> None:
        """There is something to read."""
        self._event.set()

    def cut(self) -> None:
        """The connection breaks."""
        self.is_cut = True
        self._event.set()

    async def wait(self, timeout_s: float) -> bool:
        """False where nothing came in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class HostCalls(NodeServicer):
    """The RPCs of one host. `callers` by common name."""

    def __init__(self, node: FakeNode, callers: Mapping[str, Caller]) -> None:
        self._node = node
        self._callers = callers
        self._streams: set[Stream] = set()

    def drop_streams(self) -> None:
        """End every watch as a broken connection does."""
        for stream in self._streams:
            stream.cut()

    async def Apply(self, request: pb.ApplyRequest, context: Context) -> pb.ApplyResponse:
        call = messages.decode_apply(request)
        subject = call.document.get("metadata", {}).get("uid") or call.document.get("metadata", {}).get("name", "")
        work = lambda caller: messages.encode_applied(self._node.apply(caller, call))  # noqa: E731
        return await self._answer("Apply", context, work, subject=subject, token=call.token)

    async def Delete(self, request: pb.DeleteRequest, context: Context) -> pb.DeleteResponse:
        ref, token = messages.decode_ref(request.ref), messages.decode_token(request.token)

        def work(caller: Caller) -> pb.DeleteResponse:
            view = self._node.delete(caller, ref, token, force=request.force)
            return pb.DeleteResponse(object=messages.encode_view(view))

        return await self._answer("Delete", context, work, subject=ref.uid or ref.name, token=token)

    async def Operate(self, request: pb.OperateRequest, context: Context) -> pb.Operation:
        call = messages.decode_operate(request)
        work = lambda caller: messages.encode_operation(self._node.operate(caller, call))  # noqa: E731
        return await self._answer("Operate", context, work, subject=call.ref.uid or call.ref.name, token=call.token)

    async def Adopt(self, request: pb.AdoptRequest, context: Context) -> pb.ApplyResponse:
        call = messages.decode_adopt(request)
        work = lambda caller: messages.encode_applied(self._node.adopt(caller, call))  # noqa: E731
        return await self._answer("Adopt", context, work, subject=call.domain_uuid, token=call.token)

    async def AcceptEpoch(self, request: pb.AcceptEpochRequest, context: Context) -> pb.AcceptEpochResponse:
        def work(caller: Caller) -> pb.AcceptEpochResponse:
            refs = self._node.accept_epoch(caller, request.authority)
            return pb.AcceptEpochResponse(refs=[messages.encode_ref(item) for item in refs])

        return await self._answer("AcceptEpoch", context, work)

    async def Get(self, request: pb.GetRequest, context: Context) -> pb.Object:
        ref = messages.decode_ref(request.ref)
        return await self._answer("Get", context, lambda caller: messages.encode_view(self._node.get(caller, ref)))

    async def List(self, request: pb.ListRequest, context: Context) -> pb.ListResponse:
        detail = messages.decode_detail(request)

        def work(caller: Caller) -> pb.ListResponse:
            views = self._node.list_objects(caller, request.kind, request.namespace, detail)
            return pb.ListResponse(objects=[messages.encode_view(view) for view in views])

        return await self._answer("List", context, work)

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:
        ref = messages.decode_ref(request.ref)
        work = lambda caller: messages.encode_description(self._node.describe(caller, ref))  # noqa: E731
        return await self._answer("Describe", context, work)

    async def NodeInfo(self, request: pb.NodeInfoRequest, context: Context) -> pb.NodeInfoResponse:
        work = lambda caller: messages.encode_node(self._node.node_info(caller))  # noqa: E731
        return await self._answer("NodeInfo", context, work)

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        return await self._answer("ListEvents", context, lambda _: pb.ListEventsResponse())

    async def ListForeign(self, request: pb.ListForeignRequest, context: Context) -> pb.ListForeignResponse:
        return await self._answer("ListForeign", context, lambda _: pb.ListForeignResponse())

    async def ListOrphans(self, request: pb.ListOrphansRequest, context: Context) -> pb.ListOrphansResponse:
        return await self._answer("ListOrphans", context, lambda _: pb.ListOrphansResponse())

    async def Console(
        self, requests: AsyncIterator[pb.ConsoleRequest], context: Context
    ) -> AsyncIterator[pb.ConsoleResponse]:
        await abort(context, NO_CONSOLE)
        yield pb.ConsoleResponse()  # what makes it a stream

    async def ConsoleLog(self, request: pb.ConsoleLogRequest, context: Context) -> AsyncIterator[pb.ConsoleResponse]:
        await abort(context, NO_CONSOLE)
        yield pb.ConsoleResponse()

    async def Watch(self, request: pb.WatchRequest, context: Context) -> AsyncIterator[pb.WatchEvent]:
        try:
            await self._suffer("Watch")
            reader = self._node.watch(self._caller(context), request.kind, request.namespace)
        except XvirtError as error:
            await abort(context, error)
        stream = Stream()
        reader.wake = stream.wake
        self._streams.add(stream)
        try:
            last = WatchEvent(type=WatchType.HEARTBEAT, boot_id="", sequence=0)
            while not stream.is_cut:
                await self._thaw()
                event = reader.next_event()
                if event is not None:
                    last = event
                    yield messages.encode_watch_event(event)
                elif not await stream.wait(HEARTBEAT_INTERVAL_S):
                    yield messages.encode_watch_event(_heartbeat(last))
            await context.abort(grpc.StatusCode.UNAVAILABLE, CUT)
        finally:
            self._streams.discard(stream)
            reader.close()

    # how

    async def _answer(
        self, method: str, context: Context, work: Callable[[Caller], T], *, subject: str = "", token: Token = NO_TOKEN
    ) -> T:
        loss = await self._suffer(method)
        if loss is Loss.BEFORE:
            await context.abort(grpc.StatusCode.UNAVAILABLE, CUT)
        faults, outcome = self._node.faults, ""
        try:
            if faults.refusals[method]:
                raise faults.refusals[method].popleft()
            answer = work(self._caller(context))
        except XvirtError as error:
            outcome = type(error).__name__
            await abort(context, error)
        finally:
            if method in MUTATING:
                faults.asked.append(Asked(method, subject, token, outcome))
        if loss is Loss.AFTER:
            await context.abort(grpc.StatusCode.UNAVAILABLE, CUT)
        return answer

    async def _suffer(self, method: str) -> Loss | None:
        faults = self._node.faults
        if faults.delay_s > 0:
            await asyncio.sleep(faults.delay_s)
        await self._thaw()
        return faults.losses[method].popleft() if faults.losses[method] else None

    async def _thaw(self) -> None:
        while self._node.faults.is_frozen:
            await asyncio.sleep(_FROZEN_LOOK_S)

    def _caller(self, context: Context) -> Caller:
        names = list(context.auth_context().get("x509_common_name", ()))
        name = bytes(names[0]).decode(errors="replace") if names else ""
        caller = self._callers.get(name)
        if caller is None:
            message = f"certificate of {name!r} is not in `clients` of the node's config"
            raise Forbidden(message, reason="UnknownClient")
        return caller


class HostServer:
    """The listener of one host. Its port stays the same over `stop` and `start`."""

    def __init__(self, calls: HostCalls, tls: TlsFiles) -> None:
        self.calls = calls
        self.port = 0
        self._tls = tls
        self._server: aio.Server | None = None

    async def start(self) -> None:
        """Listen on loopback."""
        server = aio.server(options=_OPTIONS)
        add_NodeServicer_to_server(self.calls, server)
        self.port = server.add_secure_port(f"127.0.0.1:{self.port}", CertificateSource(self._tls).credentials())
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """End every connection at once."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(0)


async def abort(context: Context, error: XvirtError) -> NoReturn:
    """End a call with an error of ours."""
    code, message, metadata = encode_error(error)
    await context.abort(code, message, metadata)
    raise AssertionError("abort returns never")


def _heartbeat(last: WatchEvent) -> WatchEvent:
    return WatchEvent(type=WatchType.HEARTBEAT, boot_id=last.boot_id, sequence=last.sequence)
