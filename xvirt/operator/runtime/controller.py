"""N workers over a queue of keys. Whatever happens to one key leaves the others alone."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.clock import Clock, SystemClock
from xvirt.operator.runtime.errors import AlreadyExists, ApiError, Conflict, RetryLater
from xvirt.operator.runtime.metrics import Metrics
from xvirt.operator.runtime.queue import Priority, Queue
from xvirt.operator.runtime.resources import Key, Object, key_of

log = logging.getLogger(__name__)

RESYNC_TICK_S = 1.0


@dataclasses.dataclass(frozen=True)
class Requeue:
    """Come back after so many seconds, even if nothing changes."""

    after_s: float


Reconcile = Callable[[Key], Awaitable[Requeue | None]]
"""Looks at what is there now, does at most one external effect, returns. An exception is repeated with back-off."""
Mapping = Callable[[Object], Iterable[Key]]


@dataclasses.dataclass(frozen=True)
class ControllerOptions:
    """`resync_s`: each key of the followed caches comes up once in this time, spread over it; 0 for never."""

    workers: int = 16
    reconcile_timeout_s: float = 120.0
    resync_s: float = 600.0


CONTROLLER_OPTIONS = ControllerOptions()


class Synced(Protocol):
    """What must hold a whole snapshot before the first reconcile."""

    async def wait_synced(self) -> None: ...


class Controller:
    """One reconcile function, its queue and its workers. `run` never returns; cancel it, and it waits for what its workers do."""

    def __init__(
        self,
        name: str,
        reconcile: Reconcile,
        *,
        synced: Sequence[Synced] = (),
        options: ControllerOptions = CONTROLLER_OPTIONS,
        clock: Clock | None = None,
        metrics: Metrics | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.name = name
        self._reconcile = reconcile
        self._synced = synced
        self._options = options
        self._clock: Clock = clock or SystemClock()
        self._metrics = metrics or Metrics()
        self._chance = chance or random.Random()
        self._resynced: list[tuple[Cache, Mapping]] = []
        self.queue = Queue(self._clock, self._chance)
        self.queue.on_wait = self._metrics.queue_seconds.labels(name).observe
        self._metrics.queue_depth.labels(name).set_function(lambda: len(self.queue))

    def follow(
        self, cache: Cache, keys: Mapping = lambda item: (key_of(item),), priority: Priority = Priority.USER
    ) -> None:
        """Enqueue `keys(old)` and `keys(new)` whenever an object of the cache changes, and with each resync."""
        self._resynced.append((cache, keys))

        def enqueue(old: Object | None, new: Object | None) -> None:
            # What the first snapshot brings is no change of a user's.
            level = Priority.RESYNC if old is None and not self._is_running else priority
            for item in (old, new):
                for key in keys(item) if item is not None else ():
                    self.queue.add(key, level)

        cache.subscribe(enqueue)

    _is_running = False

    def enqueue(self, key: Key, priority: Priority = Priority.USER) -> None:
        """Bring a key up."""
        self.queue.add(key, priority)

    async def run(self) -> None:
        """Wait for the caches, then work until cancelled."""
        for each in self._synced:
            await each.wait_synced()
        self._is_running = True
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(self._options.workers):
                    tasks.create_task(self._work(), name=f"{self.name}-{number}")
                if self._options.resync_s > 0:
                    tasks.create_task(self._resync(), name=f"{self.name}-resync")
        finally:
            self.queue.close()

    async def _work(self) -> None:
        busy = self._metrics.busy_workers.labels(self.name)
        while True:
            key = await self.queue.take()
            try:
                with busy.track_inprogress(), self._metrics.reconcile_seconds.labels(self.name).time():
                    outcome = await self._attempt(key)
                self._metrics.reconciles.labels(self.name, outcome).inc()
            finally:
                self.queue.done(key)

    async def _attempt(self, key: Key) -> str:
        """One reconcile; how it ended. Nothing but cancellation comes out of it."""
        try:
            async with asyncio.timeout(self._options.reconcile_timeout_s):
                again = await self._reconcile(key)
        except (Conflict, AlreadyExists) as error:
            # The view was old; its event is on the way.
            log.debug("%s %s: %s", self.name, key, error)
            self._retry(key)
            return "conflict"
        except RetryLater as error:
            delay_s = self._retry(key, at_least_s=error.retry_after_s)
            log.info("%s %s: again in %.1f s: %s", self.name, key, delay_s, error)
            return "later"
        except ApiError as error:
            log.warning("%s %s: again in %.1f s: %s", self.name, key, self._retry(key), error)
            return "refused"
        except Exception:
            log.exception("%s %s: again in %.1f s", self.name, key, self._retry(key))
            return "error"
        self.queue.forget(key)
        if again is not None:
            self.queue.add_after(key, again.after_s, Priority.NODE)
        return "done"

    def _retry(self, key: Key, at_least_s: float = 0.0) -> float:
        self._metrics.retries.labels(self.name).inc()
        return self.queue.retry(key, at_least_s=at_least_s)

    async def _resync(self) -> None:
        """Bring every key up once in `resync_s`, a few each second, in an order that is new each time."""
        ticks = max(1, int(self._options.resync_s / RESYNC_TICK_S))
        while True:
            keys = list({key for cache, mapping in self._resynced for item in cache for key in mapping(item)})
            self._chance.shuffle(keys)
            for tick in range(ticks):
                await asyncio.sleep(RESYNC_TICK_S)
                for key in keys[tick::ticks]:
                    self.queue.add(key, Priority.RESYNC)
