"""What only this process knows: since when something has been the case. Lost with the process, and begun anew: a restart of the
node plugin may lengthen a grace period, never shorten one."""

from __future__ import annotations

import dataclasses
import threading

from nodeplugin.clock import Clock
from nodeplugin.plan.observation import Asked


@dataclasses.dataclass
class _Request:
    first: float
    last: float
    count: int = 1


@dataclasses.dataclass
class _Since:
    stop: _Request | None = None
    off: float | None = None
    running: float | None = None
    detach: dict[str, _Request] = dataclasses.field(default_factory=dict)


class Timers:
    """Per machine: since when it was asked to stop, has been off, has been running, and was asked to release devices."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: dict[str, _Since] = {}

    def forget(self, uid: str) -> None:
        """The machine is gone."""
        with self._lock:
            self._since.pop(uid, None)

    def note_power(self, uid: str, *, is_active: bool) -> None:
        """Seen on or off now."""
        with self._lock:
            entry = self._since.setdefault(uid, _Since())
            now = self._clock.monotonic_s()
            if is_active:
                entry.off = None
                entry.running = now if entry.running is None else entry.running
            else:
                entry.stop, entry.running = None, None
                entry.detach.clear()
                entry.off = now if entry.off is None else entry.off

    def note_stop(self, uid: str) -> None:
        """Asked to stop now."""
        with self._lock:
            entry = self._since.setdefault(uid, _Since())
            entry.stop = self._again(entry.stop)

    def drop_stop(self, uid: str) -> None:
        """No longer to be stopped."""
        with self._lock:
            if uid in self._since:
                self._since[uid].stop = None

    def note_detach(self, uid: str, alias: str) -> None:
        """Asked to release a device now."""
        with self._lock:
            detach = self._since.setdefault(uid, _Since()).detach
            detach[alias] = self._again(detach.get(alias))

    def _again(self, request: _Request | None) -> _Request:
        now = self._clock.monotonic_s()
        return _Request(now, now) if request is None else _Request(request.first, now, request.count + 1)

    def keep_detaches(self, uid: str, present: frozenset[str]) -> None:
        """Forget the devices that are gone."""
        with self._lock:
            entry = self._since.get(uid)
            if entry is not None:
                entry.detach = {alias: since for alias, since in entry.detach.items() if alias in present}

    def stop(self, uid: str) -> Asked | None:
        """How long and how often the machine has been asked to stop."""
        return self._asked(self._get(uid).stop)

    def off_elapsed_s(self, uid: str) -> float:
        """Since the machine was first seen off."""
        return self._elapsed(self._get(uid).off) or 0.0

    def running_elapsed_s(self, uid: str) -> float:
        """Since the machine was first seen running."""
        return self._elapsed(self._get(uid).running) or 0.0

    def detaches(self, uid: str) -> dict[str, Asked]:
        """How long and how often it has been asked to release each device."""
        with self._lock:
            requests = dict(self._since.get(uid, _Since()).detach)
        return {alias: asked for alias, request in requests.items() if (asked := self._asked(request)) is not None}

    def _asked(self, request: _Request | None) -> Asked | None:
        if request is None:
            return None
        now = self._clock.monotonic_s()
        return Asked(elapsed_s=now - request.first, idle_s=now - request.last, count=request.count)

    def _get(self, uid: str) -> _Since:
        with self._lock:
            return self._since.get(uid, _Since())

    def _elapsed(self, since: float | None) -> float | None:
        return None if since is None else self._clock.monotonic_s() - since
