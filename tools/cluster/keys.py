"""Keys that want work, on one event loop: each at most once at a time, again where it came up meanwhile, later where it failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

RETRY_S = 0.5

logger = logging.getLogger(__name__)


class Keys:
    """`work(key)` for each key that is added, `limit` at a time."""

    def __init__(self, work: Callable[[str], Awaitable[None]], limit: int) -> None:
        self._work = work
        self._slots = asyncio.Semaphore(limit)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def add(self, key: str, delay_s: float = 0.0) -> None:
        """Bring a key up, now or later; a later time that was set before counts no more."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if delay_s > 0:
            self._timers[key] = asyncio.get_running_loop().call_later(delay_s, self.add, key)
        elif key in self._tasks:
            self._again.add(key)
        else:
            self._tasks[key] = asyncio.get_running_loop().create_task(self._run(key))

    async def _run(self, key: str) -> None:
        has_failed = False
        try:
            async with self._slots:
                await self._work(key)
        except Exception:  # whatever it was: others go on, and it comes again
            logger.warning("%s comes again", key, exc_info=True)
            has_failed = True
        finally:
            del self._tasks[key]
        if key in self._again:
            self._again.discard(key)
            self.add(key)
        elif has_failed:
            self.add(key, RETRY_S)
