"""Keys that want a worker: each at most once, never with two workers, by priority, and fair between namespaces."""

from __future__ import annotations

import asyncio
import collections
import enum
import random
from collections.abc import Callable

from xvirt.operator.runtime.clock import Clock
from xvirt.operator.runtime.resources import Key

BACKOFF_FIRST_S = 0.005
BACKOFF_MAX_S = 300.0
JITTER = 0.2
"""A back-off is lengthened by up to this part."""
TURNS_FOR_THE_LAST = 8
"""Each such turn is the lowest priority's, so that a stream of user changes does not starve a resync."""


class Priority(enum.IntEnum):
    """Lower goes first."""

    USER = 0
    NODE = 1
    RESYNC = 2


class Queue:
    """A de-duplicating queue of one event loop. A key that is added while its worker has it comes up once more afterwards.

    Within a priority namespaces take turns. A key that is added twice keeps the better priority.
    """

    def __init__(self, clock: Clock, chance: random.Random | None = None) -> None:
        self._clock = clock
        self._chance = chance or random.Random()
        self._waiting: dict[Key, tuple[Priority, float]] = {}
        self._lines: dict[Priority, collections.OrderedDict[str, collections.OrderedDict[Key, None]]] = {
            priority: collections.OrderedDict() for priority in Priority
        }
        self._running: set[Key] = set()
        self._dirty: dict[Key, tuple[Priority, float]] = {}
        self._timers: dict[Key, tuple[asyncio.TimerHandle, float, Priority]] = {}
        self._failures: dict[Key, int] = {}
        self._takers: collections.deque[asyncio.Future[None]] = collections.deque()
        self._turn = 0
        self.on_wait: Callable[[float], None] = lambda _: None

    def __len__(self) -> int:
        """Keys that are due and wait for a worker."""
        return len(self._waiting)

    def failures(self, key: Key) -> int:
        """Failures of a key in a row."""
        return self._failures.get(key, 0)

    def add(self, key: Key, priority: Priority = Priority.USER) -> None:
        """Bring a key up now."""
        self._add(key, priority, self._clock.monotonic_s())

    def _add(self, key: Key, priority: Priority, since_s: float) -> None:
        book = self._dirty if key in self._running else self._waiting
        known = book.get(key)
        if known is not None:
            if known[0] <= priority:
                return
            since_s = known[1]
        book[key] = (priority, since_s)
        if book is self._waiting:
            if known is not None:
                self._leave(key, known[0])
            self._lines[priority].setdefault(key.namespace, collections.OrderedDict())[key] = None
            if known is None:
                self._wake()

    def add_after(self, key: Key, delay_s: float, priority: Priority = Priority.USER) -> None:
        """Bring a key up after a delay, or sooner where it is due sooner already."""
        if delay_s <= 0:
            self.add(key, priority)
            return
        due_s = self._clock.monotonic_s() + delay_s
        planned = self._timers.get(key)
        if planned is not None:
            if planned[1] <= due_s:
                return
            planned[0].cancel()
        timer = asyncio.get_running_loop().call_later(delay_s, self._fire, key)
        self._timers[key] = (timer, due_s, priority)

    def _fire(self, key: Key) -> None:
        _, _, priority = self._timers.pop(key)
        self.add(key, priority)

    async def take(self) -> Key:
        """Wait for a key. The worker must end with `done`."""
        while not self._waiting:
            taker = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            try:
                await taker
            except asyncio.CancelledError:
                if taker.done() and not taker.cancelled():
                    self._wake()
                raise
        key = self._choose()
        _, since_s = self._waiting.pop(key)
        self._running.add(key)
        self.on_wait(self._clock.monotonic_s() - since_s)
        return key

    def _choose(self) -> Key:
        self._turn += 1
        order = sorted(self._lines, reverse=self._turn % TURNS_FOR_THE_LAST == 0)
        priority = next(priority for priority in order if self._lines[priority])
        line = self._lines[priority]
        namespace, keys = next(iter(line.items()))
        key, _ = keys.popitem(last=False)
        if keys:
            line.move_to_end(namespace)
        else:
            del line[namespace]
        return key

    def _leave(self, key: Key, priority: Priority) -> None:
        line = self._lines[priority]
        del line[key.namespace][key]
        if not line[key.namespace]:
            del line[key.namespace]

    def _wake(self) -> None:
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                return

    def done(self, key: Key) -> None:
        """A worker has finished with a key."""
        self._running.discard(key)
        again = self._dirty.pop(key, None)
        if again is not None:
            self._add(key, *again)

    def retry(self, key: Key, *, at_least_s: float = 0.0) -> float:
        """Bring a key up after its back-off, which doubles with each failure in a row. Returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        backoff_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(failures, 30))
        delay_s = max(backoff_s, at_least_s) * self._chance.uniform(1.0, 1.0 + JITTER)
        self.add_after(key, delay_s, Priority.NODE)
        return delay_s

    def forget(self, key: Key) -> None:
        """Start a key's back-off over."""
        self._failures.pop(key, None)

    def close(self) -> None:
        """Forget the keys that wait for their time."""
        for timer, _, _ in self._timers.values():
            timer.cancel()
        self._timers.clear()
