"""The blocking client. Every call has a deadline and is repeated while the node cannot be reached, that is safe and time is left."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar

import grpc

from xvirt.client import calls
from xvirt.client.calls import Call
from xvirt.client.connections import Connection, Connections, Options
from xvirt.client.schedule import PATIENCE, Attempts, Patience
from xvirt.client.streams import ended_unasked, input_refused, silent
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
from xvirt.wire.limits import CONSOLE_QUEUE_CHUNKS

T = TypeVar("T")
POLL_S = 0.25


def _open(address: str, options: Options, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    if credentials is None:
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, credentials, options)


class NodeClient:
    """Calls of one node. A context manager; threads may share it. Every method may raise any error of `xvirt.model.errors`.

    Raises InvalidSpec at once for TLS files that cannot be used.
    """

    def __init__(self, target: Target, patience: Patience = PATIENCE) -> None:
        self.address = target.address
        self.patience = patience
        self._connections: Connections[grpc.Channel] = Connections(target, _open)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the channels; streams that are open end with Unavailable."""
        for channel in self._connections.close():
            channel.close()

    # calls

    def apply(self, call: ApplyCall, timeout_s: float | None = None) -> ApplyResult:
        return self._ask(calls.apply(call), timeout_s)

    def delete(self, ref: ObjectRef, token: Token | None = None, *, force: bool = False) -> ObjectView:
        """NotFound may mean that an earlier attempt of this same call has done it."""
        return self._ask(calls.delete(ref, token, force=force))

    def get(self, ref: ObjectRef) -> ObjectView:
        return self._ask(calls.get(ref))

    def list_objects(self, kind: str = "", namespace: str = "", detail: Detail = Detail.WHOLE) -> list[ObjectView]:
        return self._ask(calls.list_objects(kind, namespace, detail))

    def operate(self, call: OperateCall) -> Operation:
        return self._ask(calls.operate(call))

    def describe(self, ref: ObjectRef) -> Description:
        return self._ask(calls.describe(ref))

    def node_info(self) -> NodeDescription:
        return self._ask(calls.node_info())

    def list_events(self, ref: ObjectRef | None = None) -> list[Event]:
        return self._ask(calls.list_events(ref))

    def list_orphans(self, namespace: str = "") -> list[Orphan]:
        """What lies on the host undeclared: of a namespace and of none, or all that this caller may see."""
        return self._ask(calls.list_orphans(namespace))

    def adopt(self, call: AdoptCall) -> ApplyResult:
        """Take over a domain that nobody declares, as it is. Raises Refused where that would change it."""
        return self._ask(calls.adopt(call))

    def list_foreign(self) -> list[ForeignDomain]:
        """Domains of the host that nobody declares."""
        return self._ask(calls.list_foreign())

    def accept_epoch(self, authority: str) -> list[ObjectRef]:
        """Set the tokens of an authority's objects back, so that older ones are taken again; the objects. Only the host's root may."""
        return self._ask(calls.accept_epoch(authority))

    # streams

    @contextlib.contextmanager
    def watch(self, kind: str = "", namespace: str = "") -> Iterator[Iterator[WatchEvent]]:
        """One full snapshot, SYNCED, then deltas, until the block is left. A broken stream raises Unavailable: watch again."""
        with Stream(self, calls.watch(kind, namespace), self.patience.silence_s) as stream:
            yield self._events(stream)

    def _events(self, stream: Stream[WatchEvent]) -> Iterator[WatchEvent]:
        while (event := stream.next()) is not None:
            yield event
        raise ended_unasked(self.address)

    def console(self, ref: ObjectRef, *, force: bool = False) -> ConsoleSession:
        """The serial console; `force` takes it away from whoever has it."""
        return ConsoleSession(self, ref, force=force)

    def console_log(self, ref: ObjectRef, *, follow: bool = False, tail_bytes: int = 0) -> Iterator[bytes]:
        """Chunks of the boot log."""
        call = calls.console_log(ref, follow=follow, tail_bytes=tail_bytes)
        with Stream(self, call, None if follow else self.patience.silence_s) as stream:
            while (chunk := stream.next()) is not None:
                yield chunk

    # how

    def _ask(self, call: Call[T], timeout_s: float | None = None) -> T:
        attempts = Attempts(call.method, self.patience, time.monotonic(), timeout_s)
        while True:
            try:
                return self._attempt(call, attempts.left_s(time.monotonic()))
            except grpc.RpcError as error:
                failure = self.translate(error)
            pause_s = attempts.pause_s(failure, time.monotonic())
            if pause_s is None:
                raise failure from None
            time.sleep(pause_s)

    def _attempt(self, call: Call[T], timeout_s: float) -> T:
        connection = self.take()
        try:
            answer = connection.rpc(call.method)(call.request, timeout=timeout_s)
        finally:
            self.give_back(connection)
        return call.read(answer, self.address)

    # for this package's streams

    def take(self) -> Connection[grpc.Channel]:
        """The connection for one call; give it back."""
        connection, outdated = self._connections.take()
        if outdated is not None:
            outdated.close()
        return connection

    def give_back(self, connection: Connection[grpc.Channel]) -> None:
        """The call has ended."""
        outdated = self._connections.give_back(connection)
        if outdated is not None:
            outdated.close()

    def translate(self, error: Any) -> XvirtError:
        """Ours, from gRPC's."""
        return self._connections.translate(error)


class Stream(contextlib.AbstractContextManager["Stream[T]"]):
    """Answers of one call, one by one, until `close`. Silence beyond `silence_s` while somebody waits in `next` ends it.

    `requests` are sent by a thread of gRPC's instead of the call's one request.
    """

    def __init__(
        self, client: NodeClient, call: Call[T], silence_s: float | None, requests: Iterator[Any] | None = None
    ) -> None:
        self._client = client
        self._call = call
        self._silence_s = silence_s
        self._connection = client.take()
        try:
            rpc = self._connection.rpc(call.method)
            self._stream = rpc(call.request if requests is None else requests)
        except BaseException:
            client.give_back(self._connection)
            raise
        self._guard = _SilenceGuard(self._stream.cancel, silence_s) if silence_s is not None else None
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def is_active(self) -> bool:
        return bool(self._stream.is_active())

    def next(self) -> T | None:
        """The next answer; None at the end. Raises ours."""
        try:
            answer = self._wait(lambda: next(self._stream, None))
        except grpc.RpcError as error:
            if self._guard is not None and self._guard.has_cancelled:
                raise silent(self._client.address, self._guard.silence_s) from None
            raise self._client.translate(error) from None
        return None if answer is None else self._call.read(answer, self._client.address)

    def _wait(self, work: Callable[[], Any]) -> Any:
        if self._guard is None:
            return work()
        with self._guard:
            return work()

    def close(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        if self._guard is not None:
            self._guard.stop()
        self._stream.cancel()
        self._client.give_back(self._connection)

    def __exit__(self, *_: object) -> None:
        self.close()


class _SilenceGuard:
    """Calls `cancel` where a wait lasts too long. Inside `with` somebody waits; their own work between two waits does not count."""

    def __init__(self, cancel: Callable[[], Any], silence_s: float) -> None:
        self.silence_s = silence_s
        self.has_cancelled = False
        self._cancel = cancel
        self._since_s: float | None = None
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="silence", daemon=True).start()

    def __enter__(self) -> None:
        self._since_s = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._since_s = None

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        # Looks now and then instead of being woken for each message: a watch may bring thousands.
        while not self._stopped.wait(self.silence_s / 8):
            since_s = self._since_s
            if since_s is not None and time.monotonic() - since_s > self.silence_s:
                self.has_cancelled = True
                self._cancel()
                return


class ConsoleSession:
    """A console: `read` blocks for output and gives None at the end; `write` sends input. Two threads may do one each."""

    def __init__(self, client: NodeClient, ref: ObjectRef, *, force: bool) -> None:
        self._client = client
        self._input: queue.Queue[Any] = queue.Queue(CONSOLE_QUEUE_CHUNKS)
        call = calls.console(ref, force=force)
        self._input.put(call.request)
        self._stream = Stream(client, call, None, self._requests())

    def _requests(self) -> Iterator[Any]:
        while (request := self._input.get()) is not None:
            yield request

    def read(self) -> bytes | None:
        return self._stream.next()

    def write(self, data: bytes) -> None:
        """Raises Unavailable where the console has ended, or takes nothing for as long as a call may last."""
        deadline_s = time.monotonic() + self._client.patience.call_s
        for request in calls.console_input(data):
            while not self._put(request):
                if not self._stream.is_active or time.monotonic() > deadline_s:
                    raise input_refused(self._client.address)

    def _put(self, request: Any) -> bool:
        try:
            if self._stream.is_active:
                self._input.put(request, timeout=POLL_S)
                return True
        except queue.Full:
            pass
        return False

    def close(self) -> None:
        self._stream.close()
        with contextlib.suppress(queue.Full):  # where it is full, gRPC's sender is not waiting in `get`
            self._input.put_nowait(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
