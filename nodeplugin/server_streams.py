"""The streams of one listener: how many there may be, and that none of them waits for its reader without end.

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


class StreamSlots:
    """Slots of one listener. A thread looks after slow readers as long as there are any streams."""

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._open: set[StreamSlot] = set()
        self._is_watched = False

    @contextlib.contextmanager
    def take(self, context: grpc.ServicerContext) -> Iterator[StreamSlot]:
        """A slot for the block. Raises Exhausted."""
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
