"""The asyncio client: the same calls, deadlines, repeats and errors as the blocking one. One event loop per client."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any, Generic, Self, TypeVar

import grpc
from grpc import aio

from xvirt.client import calls
from xvirt.client.calls import Call
from xvirt.client.connections import Connection, Connections, Options
from xvirt.client.schedule import PATIENCE, Attempts, Method, Patience
from xvirt.client.streams import cancelled, ended_unasked, input_refused, silent
from xvirt.client.target import Target
from xvirt.model.errors import XvirtError
from xvirt.model.exchange import (
    AdoptCall,
    ApplyCall,
    ApplyResult,
    Description,
    Detail,
    Event,
    ForeignDomain,
    NodeDescription,
    ObjectRef,
    ObjectView,
    OperateCall,
    Operation,
    Orphan,
    Token,
    WatchEvent,
)

T = TypeVar("T")


def _open(address: str, options: Options, credentials: grpc.ChannelCredentials | None) -> aio.Channel:
    if credentials is None:
        return aio.insecure_channel(address, options)
    return aio.secure_channel(address, credentials, options)


class AsyncNodeClient:
    """Calls of one node, from one event loop. An async context manager; tasks may share it. Errors as of `NodeClient`."""

    def __init__(self, target: Target, patience: Patience = PATIENCE) -> None:
        self.address = target.address
        self.patience = patience
        self._connections: Connections[aio.Channel] = Connections(target, _open)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channels; streams that are open end with Unavailable."""
        for channel in self._connections.close():
            await channel.close()

    # calls

    async def apply(self, call: ApplyCall, timeout_s: float | None = None) -> ApplyResult:
        return await self._ask(calls.apply(call), timeout_s)

    async def delete(self, ref: ObjectRef, token: Token | None = None, *, force: bool = False) -> ObjectView:
        """NotFound may mean that an earlier attempt of this same call has done it."""
        return await self._ask(calls.delete(ref, token, force=force))

    async def get(self, ref: ObjectRef) -> ObjectView:
        return await self._ask(calls.get(ref))

    async def list_objects(
        self, kind: str = "", namespace: str = "", detail: Detail = Detail.WHOLE
    ) -> list[ObjectView]:
        return await self._ask(calls.list_objects(kind, namespace, detail))

    async def operate(self, call: OperateCall) -> Operation:
        return await self._ask(calls.operate(call))

    async def describe(self, ref: ObjectRef) -> Description:
        return await self._ask(calls.describe(ref))

    async def node_info(self) -> NodeDescription:
        return await self._ask(calls.node_info())

    async def list_events(self, ref: ObjectRef | None = None) -> list[Event]:
        return await self._ask(calls.list_events(ref))

    async def list_orphans(self, namespace: str = "") -> list[Orphan]:
        """What lies on the host undeclared: of a namespace and of none, or all that this caller may see."""
        return await self._ask(calls.list_orphans(namespace))

    async def adopt(self, call: AdoptCall) -> ApplyResult:
        """Take over a domain that nobody declares, as it is. Raises Refused where that would change it."""
        return await self._ask(calls.adopt(call))

    async def list_foreign(self) -> list[ForeignDomain]:
        """Domains of the host that nobody declares."""
        return await self._ask(calls.list_foreign())

    async def accept_epoch(self, authority: str) -> list[ObjectRef]:
        """Set the tokens of an authority's objects back, so that older ones are taken again; the objects. Only the host's root may."""
        return await self._ask(calls.accept_epoch(authority))

    # streams

    @contextlib.asynccontextmanager
    async def watch(self, kind: str = "", namespace: str = "") -> AsyncIterator[AsyncIterator[WatchEvent]]:
        """One full snapshot, SYNCED, then deltas, until the block is left. A broken stream raises Unavailable: watch again."""
        async with _Stream(self, calls.watch(kind, namespace), self.patience.silence_s) as stream:
            yield self._events(stream)

    async def _events(self, stream: _Stream[WatchEvent]) -> AsyncIterator[WatchEvent]:
        while (event := await stream.next()) is not None:
            yield event
        raise ended_unasked(self.address)

    def console(self, ref: ObjectRef, *, force: bool = False) -> AsyncConsoleSession:
        """The serial console; `force` takes it away from whoever has it. Open within `async with`."""
        return AsyncConsoleSession(self, ref, force=force)

    async def console_log(self, ref: ObjectRef, *, follow: bool = False, tail_bytes: int = 0) -> AsyncIterator[bytes]:
        """Chunks of the boot log."""
        call = calls.console_log(ref, follow=follow, tail_bytes=tail_bytes)
        async with _Stream(self, call, None if follow else self.patience.silence_s) as stream:
            while (chunk := await stream.next()) is not None:
                yield chunk

    # how

    async def _ask(self, call: Call[T], timeout_s: float | None = None) -> T:
        attempts = Attempts(call.method, self.patience, time.monotonic(), timeout_s)
        while True:
            try:
                return await self._attempt(call, attempts.left_s(time.monotonic()))
            except grpc.RpcError as error:
                failure = self.translate(error)
            pause_s = attempts.pause_s(failure, time.monotonic())
            if pause_s is None:
                raise failure from None
            await asyncio.sleep(pause_s)

    async def _attempt(self, call: Call[T], timeout_s: float) -> T:
        connection = await self.take()
        try:
            with _own_cancellation_only(self.address):
                answer = await connection.rpc(call.method)(call.request, timeout=timeout_s)
        finally:
            await self.give_back(connection)
        return call.read(answer, self.address)

    # for this package's streams

    async def take(self) -> Connection[aio.Channel]:
        """The connection for one call; give it back."""
        connection, outdated = self._connections.take()
        if outdated is not None:
            await outdated.close()
        return connection

    async def give_back(self, connection: Connection[aio.Channel]) -> None:
        """The call has ended."""
        outdated = self._connections.give_back(connection)
        if outdated is not None:
            await outdated.close()

    def translate(self, error: Any) -> XvirtError:
        """Ours, from gRPC's."""
        return self._connections.translate(error)


@contextlib.contextmanager
def _own_cancellation_only(address: str) -> Iterator[None]:
    """gRPC raises CancelledError also for a call that the node, or this client's `close`, has cancelled; the task is not."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise cancelled(address) from None


class _Stream(Generic[T]):
    """Answers of one call, one by one. Silence beyond `silence_s` in `next` ends it."""

    def __init__(self, client: AsyncNodeClient, call: Call[T], silence_s: float | None) -> None:
        self._client = client
        self._call = call
        self._silence_s = silence_s
        self._connection: Connection[aio.Channel] | None = None
        self._stream: Any = None

    async def __aenter__(self) -> Self:
        self._connection = await self._client.take()
        rpc = self._connection.rpc(self._call.method)
        self._stream = rpc() if self._call.method is Method.CONSOLE else rpc(self._call.request)
        return self

    async def __aexit__(self, *_: object) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._stream.cancel()
            await self._client.give_back(connection)

    async def next(self) -> T | None:
        """The next answer; None at the end. Raises ours."""
        try:
            answer = await self._wait(self._stream.read(), self._silence_s)
        except TimeoutError:
            raise silent(self._client.address, self._silence_s or 0.0) from None
        return None if answer is aio.EOF else self._call.read(answer, self._client.address)

    async def send(self, request: Any) -> None:
        """Raises Unavailable where the stream has ended, or takes nothing for as long as a call may last."""
        try:
            await self._wait(self._stream.write(request), self._client.patience.call_s)
        except (TimeoutError, asyncio.InvalidStateError):
            raise input_refused(self._client.address) from None

    async def _wait(self, work: Awaitable[Any], timeout_s: float | None) -> Any:
        try:
            with _own_cancellation_only(self._client.address):
                async with asyncio.timeout(timeout_s):
                    return await work
        except grpc.RpcError as error:
            raise self._client.translate(error) from None


class AsyncConsoleSession:
    """A console: `read` waits for output and gives None at the end; `write` sends input. Two tasks may do one each."""

    def __init__(self, client: AsyncNodeClient, ref: ObjectRef, *, force: bool) -> None:
        self._call = calls.console(ref, force=force)
        self._stream = _Stream(client, self._call, None)

    async def read(self) -> bytes | None:
        return await self._stream.next()

    async def write(self, data: bytes) -> None:
        """Raises Unavailable where the console has ended, or takes nothing for as long as a call may last."""
        for request in calls.console_input(data):
            await self._stream.send(request)

    async def close(self) -> None:
        await self._stream.__aexit__()

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        try:
            await self._stream.send(self._call.request)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
