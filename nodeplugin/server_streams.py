"""The calls and streams of one listener: how many there may be, of each client and of all, and that no stream waits for its reader
without end.

gRPC blocks the thread that sends while the reader takes nothing; only cancelling the call gets it back.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import grpc

from nodeplugin.server_options import ServerLimits
from xvirt.model.errors import Exhausted


class StreamSlot:
    """One open stream."""

    def __init__(self, context: grpc.ServicerContext) -> None:
        self._context = context
        self._since_s: float | None = None

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """While a message is on its way to the reader."""
        self._since_s = time.monotonic()
        try:
            yield
        finally:
            self._since_s = None

    def cut_if_stuck(self, now_s: float, timeout_s: float) -> None:
        """Cancel the call whose reader takes nothing."""
        since_s = self._since_s
        if since_s is not None and now_s - since_s > timeout_s:
            self._context.cancel()


class Shares:
    """What each client has under way, up to its share; a client without a name (the host's root) has no share but the whole."""

    def __init__(self, limit: int, what: str, reason: str) -> None:
        self._limit = limit
        self._what = what
        self._reason = reason
        self._lock = threading.Lock()
        self._taken: dict[str, int] = {}

    @contextlib.contextmanager
    def take(self, client: str) -> Iterator[None]:
        """One more of a client, for the block. Raises Exhausted."""
        if client:
            self._add(client)
        try:
            yield
        finally:
            if client:
                self._give_back(client)

    def count_clients(self) -> int:
        """Clients that have anything under way."""
        with self._lock:
            return len(self._taken)

    def _add(self, client: str) -> None:
        with self._lock:
            taken = self._taken.get(client, 0)
            if taken >= self._limit:
                raise Exhausted(
                    f"{taken} {self._what} of client {client} are under way, its share of this node; wait until one ends",
                    reason=self._reason,
                )
            self._taken[client] = taken + 1

    def _give_back(self, client: str) -> None:
        with self._lock:
            left = self._taken[client] - 1
            if left:
                self._taken[client] = left
            else:
                del self._taken[client]


class StreamSlots:
    """Slots of one listener. A thread looks after slow readers as long as there are any streams."""

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self.shares = Shares(limits.streams_per_client, "streams", "TooManyStreams")
        self._lock = threading.Lock()
        self._open: set[StreamSlot] = set()
        self._is_watched = False

    @contextlib.contextmanager
    def take(self, context: grpc.ServicerContext, client: str) -> Iterator[StreamSlot]:
        """A slot for the block. Raises Exhausted."""
        with self.shares.take(client), self._take(context) as slot:
            yield slot

    @contextlib.contextmanager
    def _take(self, context: grpc.ServicerContext) -> Iterator[StreamSlot]:
        slot = StreamSlot(context)
        with self._lock:
            if len(self._open) >= self._limits.streams:
                raise Exhausted(
                    f"{self._limits.streams} streams are open on this listener of the node; close one",
                    reason="TooManyStreams",
                )
            self._open.add(slot)
            if not self._is_watched:
                self._is_watched = True
                threading.Thread(target=self._cut_slow_readers, name="slow-readers", daemon=True).start()
        try:
            yield slot
        finally:
            with self._lock:
                self._open.discard(slot)

    def count(self) -> int:
        """How many are open."""
        with self._lock:
            return len(self._open)

    def _cut_slow_readers(self) -> None:
        timeout_s = self._limits.slow_reader_timeout_s
        while True:
            time.sleep(min(timeout_s / 4, 1.0))
            with self._lock:
                slots = tuple(self._open)
                if not slots:
                    self._is_watched = False
                    return
            for slot in slots:
                slot.cut_if_stuck(time.monotonic(), timeout_s)
