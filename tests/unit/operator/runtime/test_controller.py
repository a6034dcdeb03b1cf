"""Workers over keys: whatever happens to one key, the others go on."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterable

import pytest

from tests.fakes.virtualtime import VirtualTime
from tests.unit.operator.runtime.api_cases import THINGS
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.controller import Controller, ControllerOptions, Reconcile, Requeue
from xvirt.operator.runtime.errors import Conflict, TooManyRequests, Unreachable
from xvirt.operator.runtime.metrics import Metrics
from xvirt.operator.runtime.queue import BACKOFF_MAX_S, JITTER, Priority
from xvirt.operator.runtime.resources import Key, Object

A, B = Key("ns", "a"), Key("ns", "b")


def _controller(time: VirtualTime, reconcile: Reconcile, **more: object) -> Controller:
    options = ControllerOptions(**{"workers": 4, "resync_s": 0.0, **more})  # type: ignore[arg-type]
    return Controller("test", reconcile, options=options, clock=time.clock, metrics=Metrics(), chance=random.Random(5))


def _run(time: VirtualTime, controller: Controller, main: Callable[[], Awaitable[None]]) -> None:
    async def both() -> None:
        task = asyncio.create_task(controller.run())
        await main()
        assert not task.done()
        task.cancel()

    time.run(both())


def _count(controller: Controller, outcome: str) -> float:
    labels = {"controller": "test", "outcome": outcome}
    return controller._metrics.registry.get_sample_value("operator_reconciles_total", labels) or 0.0


def _thing(name: str, namespace: str = "ns", version: int = 1) -> Object:
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {}}


def test_one_key_has_one_worker_and_different_keys_have_many(time: VirtualTime) -> None:
    running: list[Key] = []
    together: list[tuple[Key, ...]] = []

    async def reconcile(key: Key) -> None:
        running.append(key)
        together.append(tuple(sorted(running)))
        await asyncio.sleep(1)
        running.remove(key)

    controller = _controller(time, reconcile)

    async def main() -> None:
        for _ in range(5):
            controller.enqueue(A)
            controller.enqueue(B)
            await asyncio.sleep(0.3)
        await asyncio.sleep(10)

    _run(time, controller, main)
    assert (A, B) in together
    assert all(len(set(keys)) == len(keys) for keys in together)


def test_nothing_is_reconciled_before_every_cache_holds_a_snapshot(time: VirtualTime) -> None:
    seen: list[Key] = []

    class Synced:
        def __init__(self) -> None:
            self.event = asyncio.Event()

        async def wait_synced(self) -> None:
            await self.event.wait()

    async def reconcile(key: Key) -> None:
        seen.append(key)

    caches = (Synced(), Synced())
    options = ControllerOptions(resync_s=0)
    controller = Controller("test", reconcile, synced=caches, options=options, clock=time.clock)

    async def main() -> None:
        controller.enqueue(A)
        await asyncio.sleep(100)
        caches[0].event.set()
        await asyncio.sleep(100)
        assert seen == []
        caches[1].event.set()
        await asyncio.sleep(0.1)
        assert seen == [A]

    _run(time, controller, main)


def test_changes_enqueue_the_keys_of_the_old_and_of_the_new_object(time: VirtualTime) -> None:
    seen: list[Key] = []

    async def reconcile(key: Key) -> None:
        seen.append(key)

    def owners(item: Object) -> Iterable[Key]:
        yield Key("ns", item["spec"]["owner"])

    controller = _controller(time, reconcile)
    cache = Cache(THINGS)
    controller.follow(cache, owners)

    async def main() -> None:
        await asyncio.sleep(1)
        cache.put({**_thing("pod", version=1), "spec": {"owner": "a"}})
        await asyncio.sleep(1)
        cache.put({**_thing("pod", version=2), "spec": {"owner": "b"}})
        await asyncio.sleep(1)
        cache.delete(_thing("pod", version=3))
        await asyncio.sleep(1)

    _run(time, controller, main)
    assert seen[0] == A
    assert sorted(seen[1:3]) == [A, B]
    assert seen[3:] == [B]


def test_a_first_snapshot_waits_behind_what_users_do(time: VirtualTime) -> None:
    seen: list[Key] = []

    async def reconcile(key: Key) -> None:
        seen.append(key)

    controller = _controller(time, reconcile, workers=1)
    cache = Cache(THINGS)
    controller.follow(cache)
    for number in range(20):
        cache.put(_thing(f"old-{number}"))

    async def main() -> None:
        controller.enqueue(A)
        await asyncio.sleep(1)

    _run(time, controller, main)
    assert seen[0] == A
    assert len(seen) == 21


def test_a_key_comes_up_again_when_it_asked_for_it(time: VirtualTime) -> None:
    seen_s: list[float] = []

    async def reconcile(_: Key) -> Requeue | None:
        seen_s.append(time.clock.monotonic_s())
        return Requeue(after_s=30) if len(seen_s) < 3 else None

    controller = _controller(time, reconcile)

    async def main() -> None:
        controller.enqueue(A)
        await asyncio.sleep(1000)

    _run(time, controller, main)
    assert [round(each - seen_s[0]) for each in seen_s] == [0, 30, 60]


def test_fault_12_a_poison_key_leaves_others_alone_backs_off_to_the_cap_and_recovers_when_it_is_mended(
    time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    tries_s: list[float] = []
    others: list[Key] = []
    is_poison = [True]

    async def reconcile(key: Key) -> None:
        if key != A:
            others.append(key)
        elif is_poison[0]:
            tries_s.append(time.clock.monotonic_s())
            raise RuntimeError("poison")

    controller = _controller(time, reconcile, workers=1)

    async def main() -> None:
        controller.enqueue(A)
        for number in range(100):
            controller.enqueue(Key("ns", f"fine-{number}"))
        await asyncio.sleep(1)
        assert len(others) == 100
        await asyncio.sleep(4 * 3600)
        gaps_s = [later - sooner for sooner, later in itertools.pairwise(tries_s)]
        assert gaps_s[0] < 0.01
        assert all(BACKOFF_MAX_S <= gap_s <= BACKOFF_MAX_S * (1 + JITTER) + 0.1 for gap_s in gaps_s[17:])
        assert len(tries_s) < 80
        assert _count(controller, "error") == len(tries_s)
        is_poison[0] = False
        controller.enqueue(A)
        await asyncio.sleep(0.1)
        assert _count(controller, "done") == 101
        assert controller.queue.failures(A) == 0

    _run(time, controller, main)
    assert "test ns/a: again in" in caplog.text
    assert "RuntimeError: poison" in caplog.text


def test_a_reconcile_that_hangs_is_ended_and_comes_up_again(time: VirtualTime) -> None:
    ended: list[bool] = []

    async def reconcile(_: Key) -> None:
        if not ended:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                ended.append(True)

    controller = _controller(time, reconcile, reconcile_timeout_s=60.0)

    async def main() -> None:
        controller.enqueue(A)
        await asyncio.sleep(61)
        assert ended
        assert _count(controller, "done") == 1

    _run(time, controller, main)


def test_how_a_reconcile_failed_decides_when_it_is_repeated(time: VirtualTime) -> None:
    seen: dict[Key, list[float]] = {}
    errors = {
        Key("ns", "conflict"): Conflict("old"),
        Key("ns", "throttled"): TooManyRequests("later", retry_after_s=20),
        Key("ns", "unreachable"): Unreachable("no"),
    }

    async def reconcile(key: Key) -> None:
        times = seen.setdefault(key, [])
        times.append(time.clock.monotonic_s())
        if len(times) == 1:
            raise errors[key]

    controller = _controller(time, reconcile)

    async def main() -> None:
        for key in errors:
            controller.enqueue(key)
        await asyncio.sleep(100)

    _run(time, controller, main)
    waited_s = {key.name: times[1] - times[0] for key, times in seen.items()}
    assert waited_s["conflict"] < 0.01
    assert waited_s["unreachable"] < 0.01
    assert 20 <= waited_s["throttled"] <= 20 * (1 + JITTER)
    assert (_count(controller, "conflict"), _count(controller, "later")) == (1, 2)


def test_a_resync_brings_every_key_up_once_and_spreads_them(time: VirtualTime) -> None:
    seen: list[tuple[float, Key]] = []

    async def reconcile(key: Key) -> None:
        seen.append((time.clock.monotonic_s(), key))

    controller = _controller(time, reconcile, resync_s=600.0)
    cache = Cache(THINGS)
    controller.follow(cache)
    for number in range(1200):
        cache.put(_thing(f"thing-{number}"))

    async def main() -> None:
        await asyncio.sleep(0.5)
        assert len(seen) == 1200
        seen.clear()
        began_s = time.clock.monotonic_s()
        await asyncio.sleep(600)
        assert len({key for _, key in seen}) == len(seen) == 1200
        per_minute = [0] * 10
        for at_s, _ in seen:
            per_minute[min(9, int((at_s - began_s) // 60))] += 1
        assert all(110 <= count <= 130 for count in per_minute)

    _run(time, controller, main)


def test_who_cancels_a_controller_waits_for_what_its_workers_do(time: VirtualTime) -> None:
    states: list[str] = []

    async def reconcile(_: Key) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            states.append("cleaning")
            await asyncio.sleep(1)
            states.append("clean")
            raise

    controller = _controller(time, reconcile)

    async def main() -> None:
        task = asyncio.create_task(controller.run())
        controller.enqueue(A)
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert states == ["cleaning", "clean"]

    time.run(main())


def test_metrics_tell_depth_waiting_retries_and_busy_workers(time: VirtualTime) -> None:
    async def reconcile(key: Key) -> None:
        await asyncio.sleep(10)
        if key == A:
            raise RuntimeError("no")

    controller = _controller(time, reconcile, workers=1)
    registry = controller._metrics.registry

    def value(name: str) -> float | None:
        return registry.get_sample_value(f"operator_{name}", {"controller": "test"})

    async def main() -> None:
        controller.enqueue(A)
        controller.enqueue(B, Priority.NODE)
        await asyncio.sleep(5)
        assert (value("queue_depth"), value("busy_workers")) == (1, 1)
        await asyncio.sleep(10)
        assert value("queue_retries_total") == 1
        assert value("queue_seconds_count") == 2
        assert 10 <= (value("queue_seconds_sum") or 0) < 11

    _run(time, controller, main)
