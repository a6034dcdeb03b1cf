"""The connection to libvirt: event thread, keepalive, reconnect.

opening --ok--> open --(closed by the peer, keepalive, dead socket)--> lost --> opening ... with growing pauses
   |              |                                                     |
   +--fails------ | ---------------------------------------------------+      close(): ends from anywhere

What is open or lost is the connection that events come by. Calls go by one more connection for each thread that makes calls, and each
console has its own: libvirt's client (measured with 9.0) can lose the wake-up of a second call on a connection, which then waits for
the first one's answer or for the next keepalive, 5 s; and a hung call would hold a place among the 5 that libvirtd serves per connection.

`virEventRegisterDefaultImpl` runs in a daemon thread of its own, because libvirt's asyncio integration breaks with calls from other
threads. Events are lost over a reconnect; `CONNECTED` tells listeners to look at everything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import libvirt

from nodeplugin.hypervisor.calls import DeadlineCaller, Lane, LaneKind
from nodeplugin.hypervisor.port import EventKind, EventListener, HypervisorEvent
from nodeplugin.telemetry import OK, SILENT, Telemetry, Work
from xvirt.model.errors import Unavailable, XvirtError

logger = logging.getLogger(__name__)
T = TypeVar("T")

_IN_PROCESS = ("test:", "qemu:///embed")
"""URIs whose driver runs inside this process: no socket, so no keepalive and no need for a second connection."""

Registration = Callable[[libvirt.virConnect], Callable[[], None]]
"""Registers callbacks with a new connection; returns what takes them back."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HypervisorOptions:
    """Deadlines and intervals, in seconds."""

    call_timeout_s: float = 10.0
    read_timeout_s: float = 25.0
    """Lists, states, XML: milliseconds, but libvirt holds a domain's lock while it waits up to 10 s for a SIGTERM's effect."""
    define_timeout_s: float = 60.0
    """The first define probes QEMU's capabilities: seconds, or a minute on a host with the KVM cache trap."""
    facts_timeout_s: float = 90.0
    start_timeout_s: float = 120.0
    save_timeout_s: float = 600.0
    graceful_destroy_timeout_s: float = 10.0
    """With SIGTERM alone, so that QEMU flushes."""
    destroy_timeout_s: float = 20.0
    """libvirt gives SIGTERM 10 s before it sends SIGKILL."""
    device_timeout_s: float = 20.0
    host_timeout_s: float = 30.0
    """Networks (dnsmasq, firewall rules) and pools."""
    ping_timeout_s: float = 5.0
    statistics_timeout_s: float = 5.0
    """Of all domains: some ms for each that runs. Prometheus gives a scrape 10 s."""
    agent_timeout_s: float = 3.0
    agent_shutdown_timeout_s: float = 5.0
    console_timeout_s: float = 5.0
    event_loop_timeout_s: float = 2.0
    keepalive_interval_s: int = 5
    keepalive_count: int = 3
    reconnect_first_s: float = 0.2
    reconnect_max_s: float = 5.0


_event_loop_lock = threading.Lock()
_is_event_loop_running = False


def start_event_loop() -> None:
    """Start libvirt's event loop once per process, before the first connection is opened."""
    global _is_event_loop_running
    with _event_loop_lock:
        if _is_event_loop_running:
            return
        libvirt.registerErrorHandler(lambda context, error: None, None)  # else each error is printed to stderr
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run_event_loop, name="libvirt-events", daemon=True).start()
        _is_event_loop_running = True


def is_event_loop_turning(timeout_s: float) -> bool:
    """Whether the event loop comes to a timer within a time: nothing turns for this while nobody asks."""
    if not _is_event_loop_running:
        return False
    came = threading.Event()
    timer = libvirt.virEventAddTimeout(0, lambda number, context: came.set(), None)
    try:
        return came.wait(timeout_s)
    finally:
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRemoveTimeout(timer)


def _run_event_loop() -> None:
    while True:
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()


class _Opened:
    """One opened connection with what was registered on it."""

    def __init__(self, connection: libvirt.virConnect) -> None:
        self.connection = connection
        self.takings_back: list[Callable[[], None]] = []

    def close(self) -> None:
        """Take everything back. A dead connection says an error to each, and is freed all the same."""
        for take_back in (*self.takings_back, self.connection.unregisterCloseCallback, self.connection.close):
            with contextlib.suppress(libvirt.libvirtError):
                take_back()


class Connection:
    """The connection, as long as there is one. `call` may be used from any thread."""

    def __init__(self, uri: str, options: HypervisorOptions, telemetry: Telemetry = SILENT) -> None:
        self.options = options
        self._telemetry = telemetry
        self._uri = uri
        self._own = threading.local()
        self._caller = DeadlineCaller(on_thread_end=self._close_own)
        self._lock = threading.Lock()
        self._opened: _Opened | None = None
        self._dropped: _Opened | None = None
        self._listeners: list[EventListener] = []
        self._lost = threading.Event()
        self._is_closing = threading.Event()
        self._registrations: list[Registration] = []
        self._reconnector = threading.Thread(target=self._keep_open, name="libvirt-reconnect", daemon=True)
        start_event_loop()

    def start(self) -> None:
        """Open, or begin to try."""
        try:
            self._open()
        except XvirtError as error:
            logger.warning("%s; trying again", error.message)
            self._lost.set()
        self._reconnector.start()

    def on_open(self, register: Registration) -> None:
        """Call `register` with each new connection."""
        self._registrations.append(register)

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
        """Whether there is an open connection now."""
        with self._lock:
            return self._opened is not None

    def is_late(self, lane: Lane) -> bool:
        """Whether an earlier call in this lane, or one that needs the same monitor, has not come back in time."""
        return self._caller.is_late(lane)

    def lost_threads(self) -> int:
        """Threads whose call has not come back in time."""
        return self._caller.lost_threads()

    def call(
        self,
        action: str,
        work: Callable[[libvirt.virConnect], T],
        lane: Lane,
        *,
        timeout_s: float | None = None,
        discard: Callable[[T], None] | None = None,
    ) -> T:
        """Run `work` with a connection, within a deadline (default `call_timeout_s` or `read_timeout_s`). Raises Unavailable at once where libvirt is
        lost, else as `DeadlineCaller.call`."""
        began_s, outcome = time.monotonic(), OK
        try:
            return self._call(action, work, lane, timeout_s, discard)
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            self._telemetry.ended(Work.LIBVIRT_CALL, lane.kind.value, outcome, time.monotonic() - began_s)

    def _call(
        self,
        action: str,
        work: Callable[[libvirt.virConnect], T],
        lane: Lane,
        timeout_s: float | None,
        discard: Callable[[T], None] | None,
    ) -> T:
        opened = self._get(action)
        usual_s = self.options.read_timeout_s if lane.kind is LaneKind.READ else self.options.call_timeout_s
        try:
            return self._caller.call(action, lambda: work(self._own_of(opened)), timeout_s or usual_s, lane, discard)
        except Unavailable:
            # An agent or virtlogd may be what cannot be reached; only a dead socket ends the connection.
            if not _is_alive(opened.connection):
                self._drop(opened)
            raise

    def open_another(self) -> libvirt.virConnect:
        """A connection for the caller alone, which closes it. Blocks: for `work` within `call`."""
        connection = libvirt.open(self._uri)
        if not self._uri.startswith(_IN_PROCESS):
            connection.setKeepAlive(self.options.keepalive_interval_s, self.options.keepalive_count)
        return connection

    def _own_of(self, opened: _Opened) -> libvirt.virConnect:
        """This thread's connection, of the same age as `opened`."""
        if self._uri.startswith(_IN_PROCESS):
            return opened.connection
        own: tuple[_Opened, libvirt.virConnect] | None = getattr(self._own, "value", None)
        if own is not None and own[0] is opened and _is_alive(own[1]):
            return own[1]
        self._close_own()
        connection = self.open_another()
        self._own.value = (opened, connection)
        return connection

    def _close_own(self) -> None:
        own: tuple[_Opened, libvirt.virConnect] | None = getattr(self._own, "value", None)
        self._own.value = None
        if own is not None:
            with contextlib.suppress(libvirt.libvirtError):
                own[1].close()

    def close(self) -> None:
        """Close, and open no more."""
        self._is_closing.set()
        self._lost.set()
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            self._discard(opened)
        if self._reconnector.is_alive():
            self._reconnector.join(self.options.call_timeout_s)
        self._caller.close()

    def _get(self, action: str) -> _Opened:
        with self._lock:
            if self._opened is None:
                message = f"{action}: libvirt at {self._uri} cannot be reached; is libvirtd running?"
                raise Unavailable(message, reason="HypervisorUnavailable")
            return self._opened

    def _open(self) -> None:
        action = f"connect to libvirt at {self._uri}"
        lane = Lane(LaneKind.CONNECT, self._uri)  # a libvirtd that hangs holds one thread, however often we try
        opened = self._caller.call(action, self._open_now, self.options.call_timeout_s, lane, _Opened.close)
        with self._lock:
            is_wanted = not self._is_closing.is_set() and _is_alive(opened.connection)
            if is_wanted:
                self._opened = opened
        if not is_wanted:
            self._discard(opened)
            raise Unavailable(f"{action}: the connection closed at once", reason="HypervisorUnavailable")

    def _open_now(self) -> _Opened:
        opened = _Opened(self.open_another())
        try:
            opened.connection.registerCloseCallback(self._on_close, opened)
            for register in self._registrations:
                opened.takings_back.append(register(opened.connection))
        except BaseException:
            opened.close()
            raise
        return opened

    def _on_close(self, connection: libvirt.virConnect, reason: int, opened: Any) -> None:
        self._drop(opened)

    def _drop(self, opened: _Opened) -> None:
        with self._lock:
            if self._opened is not opened:
                return
            self._opened = None
        logger.warning("libvirt at %s went away", self._uri)
        self._dropped = opened
        self._lost.set()

    def _discard(self, opened: _Opened) -> None:
        """Close in a pool's thread: a libvirtd that hangs must not hold us."""
        lane = Lane(LaneKind.CONNECT, f"close {id(opened)}")
        with contextlib.suppress(XvirtError):
            self._caller.call(f"close {self._uri}", opened.close, self.options.call_timeout_s, lane)

    def _keep_open(self) -> None:
        while True:
            self._lost.wait()
            if self._is_closing.is_set():
                return
            self._lost.clear()
            self.emit(EventKind.DISCONNECTED)
            dropped, self._dropped = self._dropped, None
            if dropped is not None:
                self._discard(dropped)
            self._reopen()

    def _reopen(self) -> None:
        delay_s = self.options.reconnect_first_s
        while not self._is_closing.wait(delay_s):
            try:
                self._open()
            except XvirtError:
                delay_s = min(self.options.reconnect_max_s, delay_s * 2)
                continue
            logger.info("connected to libvirt at %s again", self._uri)
            self.emit(EventKind.CONNECTED)
            return


def _is_alive(connection: libvirt.virConnect) -> bool:
    """Whether the socket is open: libvirt's client asks nobody for that."""
    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False
