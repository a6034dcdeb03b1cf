"""Keys: once, one worker each, by priority, fair between namespaces, with back-off."""

from __future__ import annotations

import asyncio
import random

from tests.fakes.virtualtime import VirtualTime
from xvirt.operator.runtime.queue import BACKOFF_FIRST_S, BACKOFF_MAX_S, JITTER, TURNS_FOR_THE_LAST, Priority, Queue
from xvirt.operator.runtime.resources import Key

A, B = Key("ns", "a"), Key("ns", "b")


def _queue(time: VirtualTime) -> Queue:
    return Queue(time.clock, random.Random(1))


async def _take_all(queue: Queue) -> list[Key]:
    taken = []
    while len(queue):
        taken.append(await queue.take())
    return taken


def test_a_key_that_is_added_often_comes_up_once(time: VirtualTime) -> None:
    queue = _queue(time)
    for _ in range(100):
        queue.add(A)
    assert time.run(_take_all(queue)) == [A]


def test_a_key_has_one_worker_and_comes_up_again_when_it_changed_meanwhile(time: VirtualTime) -> None:
    queue = _queue(time)

    async def main() -> None:
        queue.add(A)
        assert await queue.take() == A
        queue.add(A)
        queue.add(A)
        assert len(queue) == 0
        queue.done(A)
        assert await queue.take() == A
        queue.done(A)
        assert len(queue) == 0

    time.run(main())


def test_user_changes_go_before_node_events_and_those_before_a_resync(time: VirtualTime) -> None:
    queue = _queue(time)
    resync, node, user = Key("ns", "resync"), Key("ns", "node"), Key("ns", "user")
    queue.add(resync, Priority.RESYNC)
    queue.add(node, Priority.NODE)
    queue.add(user, Priority.USER)
    assert time.run(_take_all(queue)) == [user, node, resync]


def test_a_key_keeps_the_best_priority_it_was_added_with(time: VirtualTime) -> None:
    queue = _queue(time)
    queue.add(A, Priority.RESYNC)
    queue.add(B, Priority.NODE)
    queue.add(A, Priority.USER)
    queue.add(A, Priority.RESYNC)
    assert time.run(_take_all(queue)) == [A, B]


def test_a_stream_of_user_changes_does_not_starve_a_resync(time: VirtualTime) -> None:
    queue = _queue(time)
    queue.add(B, Priority.RESYNC)

    async def main() -> int:
        for turn in range(1, 100):
            queue.add(Key("ns", f"user-{turn}"))
            queue.add(Key("ns", f"more-{turn}"))
            key = await queue.take()
            queue.done(key)
            if key == B:
                return turn
        return 100

    assert time.run(main()) <= TURNS_FOR_THE_LAST


def test_a_namespace_with_two_thousand_keys_does_not_starve_another(time: VirtualTime) -> None:
    queue = _queue(time)
    for number in range(2000):
        queue.add(Key("busy", f"vm-{number}"))
    queue.add(Key("quiet", "vm"))

    async def main() -> list[Key]:
        return [await queue.take() for _ in range(2)]

    assert Key("quiet", "vm") in time.run(main())


def test_back_off_doubles_to_the_cap_with_jitter_and_starts_over(time: VirtualTime) -> None:
    queue = _queue(time)

    async def main() -> None:
        delays = [queue.retry(A) for _ in range(30)]
        for number, delay_s in enumerate(delays):
            exact_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2**number)
            assert exact_s <= delay_s <= exact_s * (1 + JITTER)
        assert delays[-1] >= BACKOFF_MAX_S
        assert len({round(delay_s / BACKOFF_MAX_S, 6) for delay_s in delays[-10:]}) == 10
        queue.forget(A)
        assert queue.retry(A) <= BACKOFF_FIRST_S * (1 + JITTER)
        queue.close()

    time.run(main())


def test_a_delayed_key_comes_when_its_time_has_come_and_sooner_when_asked(time: VirtualTime) -> None:
    queue = _queue(time)

    async def main() -> list[tuple[Key, float]]:
        began_s = time.clock.monotonic_s()
        queue.add_after(A, 30)
        queue.add_after(B, 50)
        queue.add_after(A, 90)
        queue.add_after(B, 10)
        found = []
        for _ in range(2):
            key = await queue.take()
            found.append((key, round(time.clock.monotonic_s() - began_s, 3)))
            queue.done(key)
        await asyncio.sleep(200)
        assert len(queue) == 0
        return found

    assert time.run(main()) == [(B, 10.0), (A, 30.0)]


def test_a_worker_that_is_cancelled_while_it_waits_loses_no_key(time: VirtualTime) -> None:
    queue = _queue(time)

    async def main() -> None:
        first, second = asyncio.ensure_future(queue.take()), asyncio.ensure_future(queue.take())
        await asyncio.sleep(0)
        queue.add(A)
        first.cancel()
        assert await asyncio.wait_for(second, 1) == A

    time.run(main())
