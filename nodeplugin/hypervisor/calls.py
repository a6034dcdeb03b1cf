"""Runs blocking libvirt calls with a deadline.

A call that does not come back keeps its thread; its caller gets `DeadlineExceeded` and goes on. As long as that thread is lost,
further calls that need the same domain's monitor are refused with `Busy` at once, so a hung QEMU costs one thread, not all of them.
libvirtd itself serves `max_client_requests` (5) calls of one connection at a time: more hung guests than that starve a host unless
an administrator raises it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import libvirt

from nodeplugin.hypervisor.errors import translate
from xvirt.model.errors import Busy, DeadlineExceeded, Exhausted

T = TypeVar("T")

THREADS_MAX = 64
"""Threads at most, lost ones included."""


class _Call:
    def __init__(self, work: Callable[[], Any], lane: str) -> None:
        self.work = work
        self.lane = lane
        self.done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001 - carried to the caller's thread
            self.error = error
        self.done.set()


class DeadlineCaller:
    """A pool of daemon threads; threads are made as they are needed."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0
        self._stuck: dict[str, _Call] = {}

    def call(self, action: str, work: Callable[[], T], timeout_s: float, lane: str = "") -> T:
        """Run `work` in a thread. `lane` names what may hang (a domain's monitor). Raises what `translate` makes of libvirt's errors,
        DeadlineExceeded, and Busy while an earlier call in the lane is stuck."""
        self._refuse_stuck(action, lane)
        call = _Call(work, lane)
        self._submit(call)
        if not call.done.wait(timeout_s):
            if lane:
                with self._lock:
                    self._stuck[lane] = call
            raise DeadlineExceeded(f"{action}: no answer within {timeout_s:g} s", reason="HypervisorTimeout")
        if isinstance(call.error, libvirt.libvirtError):
            raise translate(call.error, action) from None
        if call.error is not None:
            raise call.error
        result: T = call.result
        return result

    def _refuse_stuck(self, action: str, lane: str) -> None:
        with self._lock:
            stuck = self._stuck.get(lane)
            if stuck is None:
                return
            if stuck.done.is_set():
                del self._stuck[lane]
                return
        raise Busy(f"{action}: an earlier call has not come back; QEMU's monitor hangs", reason="DomainNotResponding")

    def _submit(self, call: _Call) -> None:
        with self._lock:
            if self._idle == 0:
                if self._threads >= THREADS_MAX:
                    raise Exhausted(f"all {THREADS_MAX} libvirt threads are taken", reason="ThreadsExhausted")
                self._threads += 1
                threading.Thread(target=self._serve, name=f"libvirt-{self._threads}", daemon=True).start()
            else:
                self._idle -= 1
        self._queue.put(call)

    def _serve(self) -> None:
        while True:
            self._queue.get().run()
            with self._lock:
                self._idle += 1
