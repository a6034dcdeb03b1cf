"""An event loop whose time passes only while nobody has anything to do: hours of waiting in milliseconds, and always the same.

with VirtualTime() as time:
    time.run(main())            # asyncio.sleep, timeouts and call_later all by virtual time
    time.clock                  # the same time as a `Clock` of the operator's runtime
"""

from __future__ import annotations

import asyncio
import datetime
import selectors
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

T = TypeVar("T")

EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
SETTLE_S = 0.002
"""Real time given to sockets and threads before virtual time moves on."""
TURN_S = 1e-6


class Stuck(Exception):
    """Nothing is left that could happen: the test would wait for ever."""


class _Selector(selectors.DefaultSelector):
    """Never waits for a timer: it moves the loop's time to the timer instead."""

    def __init__(self, settle_s: float) -> None:
        super().__init__()
        self.loop: VirtualLoop
        self._settle_s = settle_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # A turn takes its time: else a wait that is shorter than a float can tell would never end.
        self.loop.now_s += TURN_S
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready or timeout == 0:
            return ready
        if self._settle_s > 0:
            ready = super().select(self._settle_s)
        if not ready:
            if timeout is None:
                if self._settle_s > 0:
                    return ready
                raise Stuck("every task waits, and no timer is set")
            self.loop.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with its own time, which starts at 1000 s."""

    def __init__(self, settle_s: float = 0.0) -> None:
        selector = _Selector(settle_s)
        super().__init__(selector)
        selector.loop = self
        self.now_s = 1000.0

    def time(self) -> float:
        return self.now_s


class VirtualClock:
    """Monotonic time is the loop's; wall time follows it and may be set off by `jump_s`, either way."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.jump_s = 0.0

    def monotonic_s(self) -> float:
        return self._loop.now_s

    def skip(self, seconds_s: float) -> None:
        """Let time pass at once."""
        self._loop.now_s += seconds_s

    def wall(self) -> datetime.datetime:
        return EPOCH + datetime.timedelta(seconds=self._loop.now_s + self.jump_s)


class VirtualTime:
    """One loop and its clock. `settle_s` above 0 lets loopback sockets and threads take part."""

    def __init__(self, settle_s: float = 0.0) -> None:
        self.loop = VirtualLoop(settle_s)
        self.clock = VirtualClock(self.loop)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run to the end, then cancel what it left running."""
        try:
            return self.loop.run_until_complete(main)
        finally:
            self.loop.run_until_complete(_end(asyncio.all_tasks(self.loop)))

    def freeze(self, seconds_s: float) -> None:
        """Let time pass while no task runs: a stopped process, a blocked loop."""
        self.loop.now_s += seconds_s


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
