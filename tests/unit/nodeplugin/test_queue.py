"""The work queue under a clock that the test holds."""

from __future__ import annotations

import threading

from nodeplugin.converge.queue import BACKOFF_MAX_S, Workers, WorkQueue


class HeldClock:
    """Time moves when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic_s(self) -> float:
        return self.now

    def timestamp(self) -> str:
        return "2026-01-01T00:00:00Z"


def test_a_key_comes_up_once_however_often_it_is_added() -> None:
    queue = WorkQueue(HeldClock())
    for _ in range(3):
        queue.add("a")
    queue.add("b")
    taken = [queue.take(), queue.take()]
    assert taken == ["a", "b"]


def test_the_sooner_of_two_times_counts() -> None:
    clock = HeldClock()
    queue = WorkQueue(clock)
    queue.add("a", 10)
    queue.add("a", 1)
    queue.add("a", 20)
    clock.now = 1.0
    assert queue.take() == "a"


def test_a_key_added_while_it_is_worked_on_comes_up_afterwards_and_not_before() -> None:
    queue = WorkQueue(HeldClock())
    queue.add("a")
    assert queue.take() == "a"
    queue.add("a")
    queue.add("b")
    assert queue.take() == "b", "a has a worker already"
    queue.done("a")
    assert queue.take() == "a"


def test_back_off_doubles_up_to_its_cap_and_starts_over_when_forgiven() -> None:
    queue = WorkQueue(HeldClock())
    delays = [queue.retry("a") for _ in range(10)]
    assert delays[:3] == [0.5, 1.0, 2.0]
    assert delays[-1] == BACKOFF_MAX_S
    queue.forgive("a")
    assert queue.retry("a") == 0.5


def test_no_key_ever_has_two_workers() -> None:
    queue = WorkQueue(HeldClock())
    active: set[str] = set()
    seen: list[str] = []
    lock = threading.Lock()
    finished = threading.Event()

    def work(key: str) -> None:
        with lock:
            assert key not in active
            active.add(key)
        with lock:
            active.discard(key)
            seen.append(key)
            if len(seen) >= 200:
                finished.set()
        queue.add(key)

    workers = Workers("test", 4, queue, work)
    for name in ("a", "b", "c"):
        queue.add(name)
    workers.start()
    assert finished.wait(30)
    queue.close()
    workers.join(5)
