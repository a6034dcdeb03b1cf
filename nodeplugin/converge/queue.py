"""Keys that want a worker: each at most once in the queue, never with two workers, and at the earliest when its time has come."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable

from nodeplugin.clock import Clock

BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 60.0


class WorkQueue:
    """A de-duplicating delay queue. A key that is added while its worker runs comes up once more afterwards."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._condition = threading.Condition()
        self._due: dict[str, float] = {}
        self._heap: list[tuple[float, str]] = []
        self._running: set[str] = set()
        self._failures: dict[str, int] = {}
        self._is_closed = False

    def add(self, key: str, delay_s: float = 0.0) -> None:
        """Bring a key up after a delay, or sooner where it is due sooner already."""
        with self._condition:
            due = self._clock.monotonic_s() + max(delay_s, 0.0)
            if key in self._due and self._due[key] <= due:
                return
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))
            self._condition.notify()

    def take(self) -> str | None:
        """Wait for a key that is due and has no worker; None once the queue is closed."""
        with self._condition:
            while not self._is_closed:
                key, wait_s = self._next()
                if key is not None:
                    self._running.add(key)
                    return key
                self._condition.wait(wait_s)
            return None

    def _next(self) -> tuple[str | None, float | None]:
        now = self._clock.monotonic_s()
        postponed = []
        found: str | None = None
        wait_s: float | None = None
        while self._heap:
            due, key = self._heap[0]
            if self._due.get(key) != due:
                heapq.heappop(self._heap)
                continue
            if due > now:
                wait_s = due - now
                break
            heapq.heappop(self._heap)
            if key in self._running:
                postponed.append((due, key))
                continue
            found = key
            break
        for entry in postponed:
            heapq.heappush(self._heap, entry)
        if found is not None:
            del self._due[found]
        return found, wait_s

    def length(self) -> int:
        """Keys that are due and wait for a worker."""
        with self._condition:
            now = self._clock.monotonic_s()
            return sum(due <= now for due in self._due.values())

    def done(self, key: str) -> None:
        """A worker has finished with a key."""
        with self._condition:
            self._running.discard(key)
            self._condition.notify_all()

    def retry(self, key: str) -> float:
        """Bring a key up after its back-off, which doubles with each failure in a row. Returns the delay in seconds."""
        with self._condition:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
        delay_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(failures, 20))
        self.add(key, delay_s)
        return delay_s

    def forgive(self, key: str) -> None:
        """Start a key's back-off over."""
        with self._condition:
            self._failures.pop(key, None)

    def close(self) -> None:
        """Let every worker go."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()


class Workers:
    """A fixed number of threads that serve one queue."""

    def __init__(self, name: str, count: int, queue: WorkQueue, work: Callable[[str], None]) -> None:
        self._queue = queue
        self._work = work
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def join(self, timeout_s: float) -> list[str]:
        """Wait for the threads, all together up to `timeout_s`, after the queue was closed. Names of those that still work."""
        deadline_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        return [thread.name for thread in self._threads if thread.is_alive()]

    def are_alive(self) -> bool:
        """Whether all threads run."""
        return all(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while (key := self._queue.take()) is not None:
            try:
                self._work(key)
            finally:
                self._queue.done(key)
