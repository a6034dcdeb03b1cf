"""One connection to libvirt: event thread, keepalive, reconnect.

`virEventRegisterDefaultImpl` runs in a daemon thread of its own, because libvirt's asyncio integration breaks with calls from other
threads. Events are lost over a reconnect; `CONNECTED` tells listeners to look at everything.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import libvirt

from nodeplugin.hypervisor.calls import DeadlineCaller
from nodeplugin.hypervisor.port import EventKind, EventListener, HypervisorEvent
from xvirt.model.errors import Unavailable, XvirtError

logger = logging.getLogger(__name__)
T = TypeVar("T")

CALL_TIMEOUT_S = 10.0
KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_COUNT = 3
RECONNECT_FIRST_S = 0.2
RECONNECT_MAX_S = 5.0

_event_loop_started = threading.Lock()
_is_event_loop_running = False


def start_event_loop() -> None:
    """Start libvirt's event loop once per process, before the first connection is opened."""
    global _is_event_loop_running
    with _event_loop_started:
        if _is_event_loop_running:
            return
        libvirt.registerErrorHandler(lambda context, error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_event_loop, name="libvirt-events", daemon=True).start()
        _is_event_loop_running = True


def _run_event_loop() -> None:
    while True:
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()


class Connection:
    """The connection, as long as there is one."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._caller = DeadlineCaller()
        self._lock = threading.Lock()
        self._connection: libvirt.virConnect | None = None
        self._listeners: list[EventListener] = []
        self._lost = threading.Event()
        self._is_closing = threading.Event()
        self._registered: list[Callable[[libvirt.virConnect], None]] = []
        start_event_loop()

    def start(self) -> None:
        """Open, or begin to try."""
        try:
            self._open()
        except XvirtError as error:
            logger.warning("%s; trying again", error.message)
            self._lost.set()
        threading.Thread(target=self._keep_open, name="libvirt-reconnect", daemon=True).start()

    def on_open(self, register: Callable[[libvirt.virConnect], None]) -> None:
        """Call `register` with each new connection, to register event callbacks."""
        self._registered.append(register)

    def subscribe(self, listener: EventListener) -> None:
        """Send events to a listener."""
        self._listeners.append(listener)

    def emit(self, kind: EventKind, subject: str = "", detail: str = "") -> None:
        """Tell listeners; they only enqueue."""
        event = HypervisorEvent(kind=kind, subject=subject, detail=detail)
        for listener in list(self._listeners):
            try:
                listener(event)
            except Exception:  # an exception in libvirt's callback would end the event thread
                logger.exception("event listener failed")

    def is_connected(self) -> bool:
        with self._lock:
            return self._connection is not None

    def call(
        self, action: str, work: Callable[[libvirt.virConnect], T], *, timeout_s: float = CALL_TIMEOUT_S, lane: str = ""
    ) -> T:
        """Run `work` with the connection, within a deadline. Raises Unavailable at once where there is none."""
        connection = self._get(action)
        try:
            return self._caller.call(action, lambda: work(connection), timeout_s, lane)
        except Unavailable:
            self._drop(connection)
            raise

    def close(self) -> None:
        """Close, and open no more."""
        self._is_closing.set()
        self._lost.set()
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(libvirt.libvirtError):
                connection.unregisterCloseCallback()
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()

    def _get(self, action: str) -> libvirt.virConnect:
        with self._lock:
            if self._connection is None:
                raise Unavailable(
                    f"{action}: libvirt at {self._uri} cannot be reached; is libvirtd running?",
                    reason="HypervisorUnavailable",
                )
            return self._connection

    def _open(self) -> None:
        action = f"connect to libvirt at {self._uri}"
        connection = self._caller.call(action, lambda: libvirt.open(self._uri), CALL_TIMEOUT_S)
        if not self._uri.startswith(("test:", "qemu:///embed")):
            connection.setKeepAlive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT)
        connection.registerCloseCallback(self._on_close, None)
        for register in self._registered:
            register(connection)
        with self._lock:
            self._connection = connection

    def _on_close(self, connection: libvirt.virConnect, reason: int, opaque: Any) -> None:
        self._drop(connection)

    def _drop(self, connection: libvirt.virConnect) -> None:
        with self._lock:
            if self._connection is not connection:
                return
            self._connection = None
        logger.warning("libvirt at %s went away", self._uri)
        self._lost.set()

    def _keep_open(self) -> None:
        while not self._is_closing.is_set():
            self._lost.wait()
            if self._is_closing.is_set():
                return
            self.emit(EventKind.DISCONNECTED)
            self._reopen()

    def _reopen(self) -> None:
        delay_s = RECONNECT_FIRST_S
        while not self._is_closing.wait(delay_s):
            self._lost.clear()
            try:
                self._open()
            except (XvirtError, libvirt.libvirtError):
                delay_s = min(RECONNECT_MAX_S, delay_s * 2)
                continue
            logger.info("connected to libvirt at %s again", self._uri)
            self.emit(EventKind.CONNECTED)
            return
