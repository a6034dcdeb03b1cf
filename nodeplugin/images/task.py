"""One transfer's thread as seen from outside: how far it is, and the way to end it in the middle of a read."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable

from nodeplugin.images.limits import ImageLimits
from nodeplugin.images.port import TransferState


class Cancelled(Exception):
    """Nobody wants the transfer any more, or the plugin stops."""


class Task:
    """Progress and cancellation. `told` is called when somebody should look, at most every `progress_interval_s`."""

    def __init__(self, limits: ImageLimits, told: Callable[[], None]) -> None:
        self.limits = limits
        self.state = TransferState.QUEUED
        self.done_bytes = 0
        self.total_bytes: int | None = None
        self._told = told
        self._told_at = time.monotonic()
        self._told_percent = -1
        self._is_cancelled = threading.Event()
        self._lock = threading.Lock()
        self._line: socket.socket | None = None

    @property
    def is_cancelled(self) -> bool:
        """Whether it is to end."""
        return self._is_cancelled.is_set()

    def cancel(self) -> None:
        """End it, also where it waits for a server."""
        self._is_cancelled.set()
        self.hang_up()

    def check(self) -> None:
        """Raises Cancelled."""
        if self.is_cancelled:
            raise Cancelled

    def pause(self, duration_s: float) -> None:
        """Wait. Raises Cancelled."""
        self._is_cancelled.wait(duration_s)
        self.check()

    def enter(self, state: TransferState) -> None:
        """Go over to another state, and tell."""
        self.state = state
        self._tell()

    def report(self, done_bytes: int, total_bytes: int | None) -> None:
        """How far it is. Raises Cancelled."""
        self.check()
        self.done_bytes, self.total_bytes = done_bytes, total_bytes
        percent = done_bytes * 100 // total_bytes if total_bytes else -1
        has_moved = percent != self._told_percent or percent == -1
        if has_moved and time.monotonic() - self._told_at >= self.limits.progress_interval_s:
            self._told_percent = percent
            self._tell()

    def _tell(self) -> None:
        self._told_at = time.monotonic()
        self._told()

    # the connection

    def follow(self, connected: socket.socket) -> None:
        """The connection that `hang_up` ends. Held by a descriptor of its own: TLS wraps the socket and takes it away."""
        with self._lock:
            self._drop()
            self._line = socket.socket(fileno=os.dup(connected.fileno()))
        if self.is_cancelled:
            self.hang_up()

    def hang_up(self) -> None:
        """End the connection: who reads from it sees its end at once."""
        with self._lock:
            if self._line is not None:
                with contextlib.suppress(OSError):
                    self._line.shutdown(socket.SHUT_RDWR)

    def let_go(self) -> None:
        """The connection is closed by who has it."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
