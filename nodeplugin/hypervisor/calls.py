"""Runs blocking libvirt calls with a deadline.

A call that does not come back keeps its thread; its caller gets `DeadlineExceeded` and goes on. Calls are made in *lanes*, one at a
time in each: what waits for the same domain's monitor waits here, in its caller's thread, and not in libvirtd. While a call that needs
a domain's monitor is late, all others that need it are refused with `Busy` at once, so a hung QEMU costs one thread (and one more
where it is also asked for its agent).

Each thread has a connection of its own (`connection`), so libvirtd's `max_client_requests` (5 calls at a time per connection, late ones
included) is never reached; what remains is its `max_workers` (20 for all its clients): a host with that many hung guests needs more.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import libvirt

from nodeplugin.hypervisor.errors import translate
from xvirt.model.errors import Busy, DeadlineExceeded, Exhausted, Unavailable

T = TypeVar("T")

THREADS_MAX = 64
"""Threads at most, lost ones included."""


class LaneKind(enum.Enum):
    """What a call waits for."""

    MONITOR = "monitor"
    JOB = "job"
    """Start and save: long, and the monitor answers others meanwhile."""
    PROGRESS = "progress"
    READ = "read"
    """libvirtd's own knowledge: no QEMU is asked."""
    HOST = "host"
    """Definitions, networks, pools: libvirtd's own work."""
    STATISTICS = "statistics"
    AGENT = "agent"
    DESTROY = "destroy"
    KILL = "kill"
    CONSOLE = "console"
    CONNECT = "connect"


_NEEDS_MONITOR = frozenset({LaneKind.MONITOR, LaneKind.JOB, LaneKind.PROGRESS})


@dataclasses.dataclass(frozen=True)
class Lane:
    """Calls of one kind upon one subject (a domain's UUID, or a fixed word)."""

    kind: LaneKind
    subject: str


class _Call(Generic[T]):
    def __init__(self, work: Callable[[], T], lane: Lane, discard: Callable[[T], None] | None) -> None:
        self.work = work
        self.lane = lane
        self.discard = discard
        self.done = threading.Event()
        self.is_late = False
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread
            self.error = error

    def throw_away(self) -> None:
        if self.discard is not None and self.error is None:
            with contextlib.suppress(libvirt.libvirtError):
                self.discard(self.result)  # type: ignore[arg-type]


class DeadlineCaller:
    """A pool of daemon threads; threads are made as they are needed."""

    def __init__(self, threads_max: int = THREADS_MAX, on_thread_end: Callable[[], None] = lambda: None) -> None:
        self._threads_max = threads_max
        self._on_thread_end = on_thread_end
        self._queue: queue.SimpleQueue[_Call[Any] | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._threads = 0
        self._idle = 0
        self._running: dict[Lane, _Call[Any]] = {}
        self._is_closed = False

    def call(
        self,
        action: str,
        work: Callable[[], T],
        timeout_s: float,
        lane: Lane,
        discard: Callable[[T], None] | None = None,
    ) -> T:
        """Run `work` in a thread. `discard` gets what comes back too late for anybody to take.

        Raises what `translate` makes of libvirt's errors; DeadlineExceeded; Busy while an earlier call in the lane is late or does
        not end in time; Exhausted where all threads are taken; Unavailable once closed.
        """
        deadline = time.monotonic() + timeout_s
        call = _Call(work, lane, discard)
        self._admit(action, call, deadline)
        if not call.done.wait(max(0.0, deadline - time.monotonic())) and self._give_up(call):
            raise DeadlineExceeded(f"{action}: no answer within {timeout_s:g} s", reason="HypervisorTimeout")
        if isinstance(call.error, libvirt.libvirtError):
            raise translate(call.error, action) from None
        if call.error is not None:
            raise call.error
        result: T = call.result  # type: ignore[assignment]
        return result

    def is_late(self, lane: Lane) -> bool:
        """Whether what a lane's calls wait for does not answer."""
        with self._changed:
            return self._find_late(lane) is not None

    def lost_threads(self) -> int:
        """Threads whose call is late."""
        with self._changed:
            return sum(call.is_late for call in self._running.values())

    def close(self) -> None:
        """Take no more calls; idle threads end, lost ones are daemons."""
        with self._changed:
            self._is_closed = True
            for _ in range(self._threads):
                self._queue.put(None)
            self._changed.notify_all()

    def _admit(self, action: str, call: _Call[Any], deadline: float) -> None:
        with self._changed:
            while True:
                if self._is_closed:
                    raise Unavailable(f"{action}: the connection to libvirt was closed", reason="HypervisorUnavailable")
                self._refuse_late(action, call.lane)
                if call.lane not in self._running:
                    break
                if not self._changed.wait(deadline - time.monotonic()):
                    raise Busy(f"{action}: an earlier call still runs; try again", reason="OperationInProgress")
            self._submit(call)

    def _refuse_late(self, action: str, lane: Lane) -> None:
        kind = self._find_late(lane)
        if kind is not None:
            who = "its agent" if kind is LaneKind.AGENT else "QEMU's monitor" if kind in _NEEDS_MONITOR else "libvirt"
            message = f"{action}: an earlier call has not come back; {who} does not answer"
            raise Busy(message, reason="DomainNotResponding")

    def _find_late(self, lane: Lane) -> LaneKind | None:
        kinds = _NEEDS_MONITOR if lane.kind in _NEEDS_MONITOR else {lane.kind}
        for kind in kinds:
            earlier = self._running.get(Lane(kind, lane.subject))
            if earlier is not None and earlier.is_late:
                return kind
        return None

    def _submit(self, call: _Call[Any]) -> None:
        if self._idle > 0:
            self._idle -= 1
        elif self._threads < self._threads_max:
            self._threads += 1
            threading.Thread(target=self._serve, name=f"libvirt-{self._threads}", daemon=True).start()
        else:
            raise Exhausted(f"all {self._threads_max} libvirt threads are taken", reason="ThreadsExhausted")
        self._running[call.lane] = call
        self._queue.put(call)

    def _give_up(self, call: _Call[Any]) -> bool:
        """Mark a call as late. False where it came back at the last moment."""
        with self._changed:
            if call.done.is_set():
                return False
            call.is_late = True
            self._changed.notify_all()  # whoever waits in its lane is refused now
            return True

    def _serve(self) -> None:
        while (call := self._queue.get()) is not None:
            call.run()
            with self._changed:
                call.done.set()
            if call.is_late:
                call.throw_away()
            with self._changed:
                self._idle += 1
                del self._running[call.lane]
                self._changed.notify_all()
        self._on_thread_end()
