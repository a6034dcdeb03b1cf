"""A cache stays true whatever happens to lists and watches, at a bounded rate of requests."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from tests.fakes.apifaults import Refusal
from tests.fakes.virtualtime import VirtualTime
from tests.unit.operator.runtime.world import World, make_world, run_world
from xvirt.operator.runtime.api import PAGE_LIMIT, Selection
from xvirt.operator.runtime.reflector import ReflectorOptions
from xvirt.operator.runtime.resources import Key, uid_of

EXPIRED = Refusal(410, "Expired", "too old resource version")
RECOVERY_S = 31.0
"""The longest pause, and a moment."""
WATCH_LIST = pytest.mark.parametrize("has_watch_list", [True, False], ids=["stream", "pages"])


async def _synced(world: World) -> None:
    await world.reflector.wait_synced()
    assert world.is_true()


@WATCH_LIST
def test_a_snapshot_and_what_happens_after_it_are_in_the_cache(time: VirtualTime, has_watch_list: bool) -> None:
    world = make_world(time)
    world.server.has_watch_list = has_watch_list
    world.write("old")

    async def main(world: World) -> None:
        assert not world.reflector.has_synced
        await _synced(world)
        world.write("new")
        world.write("old", size=2)
        world.remove("new")
        await world.until(world.is_true)
        assert [key.name for _, _, key in world.told] == ["old", "new", "old", "new"]

    run_world(world, main)


def test_a_server_without_list_by_watch_is_asked_for_it_once(time: VirtualTime) -> None:
    world = make_world(time)
    world.server.has_watch_list = False

    async def main(world: World) -> None:
        await _synced(world)
        world.server.faults.end_watches(EXPIRED)
        await world.until(
            lambda: (
                world.client.metrics.registry.get_sample_value(
                    "operator_lists_total", {"resource": "things", "how": "pages"}
                )
                == 2
            )
        )
        asked = [sent for sent in world.server.sent if "sendInitialEvents" in sent.query]
        assert len(asked) == 1

    run_world(world, main)


def test_a_stream_of_initial_events_that_never_ends_is_given_up_for_pages(time: VirtualTime) -> None:
    world = make_world(time, options=ReflectorOptions(silence_s=(1000.0, 1000.0)))
    world.write("one")
    world.server.faults.blackhole(part="sendInitialEvents")

    async def main(world: World) -> None:
        await _synced(world)

    run_world(world, main)


def test_a_large_kind_comes_in_pages_and_an_expired_page_starts_over(time: VirtualTime) -> None:
    world = make_world(time)
    world.server.has_watch_list = False
    for number in range(2 * PAGE_LIMIT + 1):
        world.write(f"thing-{number:04}")
    world.server.faults.expire_continues(1)

    async def main(world: World) -> None:
        await _synced(world)
        lists = [sent for sent in world.server.sent if "limit" in sent.query]
        assert ["continue" in sent.query for sent in lists] == [False, True, False, True, True]

    run_world(world, main)


def test_what_leaves_a_selection_is_deleted_from_its_cache(time: VirtualTime) -> None:
    world = make_world(time, Selection(label="seen=yes"))
    labels = {"name": "one", "namespace": "ns", "labels": {"seen": "yes"}}
    world.write("one", metadata=labels)

    async def main(world: World) -> None:
        await world.reflector.wait_synced()
        assert len(world.cache) == 1
        world.write("one", metadata={**labels, "labels": {}})
        await world.until(lambda: len(world.cache) == 0)

    run_world(world, main)


def test_fault_04_an_object_deleted_and_made_again_is_told_as_a_deletion_and_another_object(time: VirtualTime) -> None:
    world = make_world(time)
    before = world.write("one")

    async def main(world: World) -> None:
        await _synced(world)
        world.server.faults.end_watches()
        world.remove("one")
        after = world.write("one")
        world.server.compact()
        await world.until(world.is_true)
        key = Key("ns", "one")
        assert world.told[1:] == [(uid_of(before), "", key), ("", uid_of(after), key)]

    run_world(world, main)


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED"])
def test_fault_05_any_one_event_may_be_lost_and_the_cache_is_true_after_the_next_snapshot(
    time: VirtualTime, kind: str
) -> None:
    world = make_world(time)
    world.write("one")

    async def main(world: World) -> None:
        await _synced(world)
        world.server.faults.drop_event(lambda told, _: told == kind)
        world.write("two")
        world.write("one", size=2)
        if kind == "DELETED":
            world.remove("one")
        await asyncio.sleep(1)
        assert not world.is_true()
        assert await world.until(world.is_true) <= 3900, "an hour, and the rest of a watch"

    run_world(world, main)


@WATCH_LIST
def test_fault_06_what_was_deleted_while_nobody_watched_is_told_by_the_next_snapshot(
    time: VirtualTime, has_watch_list: bool
) -> None:
    world = make_world(time)
    world.server.has_watch_list = has_watch_list
    gone = world.write("gone")
    world.write("kept")

    async def main(world: World) -> None:
        await _synced(world)
        world.server.faults.be_down()
        world.remove("gone")
        world.server.compact()
        await asyncio.sleep(300)
        assert len(world.cache) == 2, "nothing is deleted because nobody can be reached"
        world.server.faults.heal()
        took_s = await world.until(world.is_true)
        assert took_s <= RECOVERY_S
        assert world.told[2:] == [(uid_of(gone), "", Key("ns", "gone"))]

    run_world(world, main)


def _refuse_opening(code: int, reason: str) -> Callable[[World], None]:
    refusal = Refusal(code, reason, "no", retry_after_s=1.0 if code == 429 else 0.0)
    return lambda world: world.server.faults.refuse_with(refusal, "GET", "", times=-1)


def _end_at_once(error: Refusal | None) -> Callable[[World], None]:
    return lambda world: world.server.faults.end_watches_at_once(error)


TROUBLES: dict[str, Callable[[World], None]] = {
    "410 at the opening": _refuse_opening(410, "Expired"),
    "500 at the opening": _refuse_opening(500, "InternalError"),
    "429 at the opening": _refuse_opening(429, "TooManyRequests"),
    "403 at the opening": _refuse_opening(403, "Forbidden"),
    "404 at the opening": _refuse_opening(404, "NotFound"),
    "410 in the stream": _end_at_once(EXPIRED),
    "500 in the stream": _end_at_once(Refusal(500, "InternalError", "no")),
    "429 in the stream": _end_at_once(Refusal(429, "TooManyRequests", "no")),
    "504 in the stream": _end_at_once(Refusal(504, "Timeout", "no")),
    "the end at once": _end_at_once(None),
    "no server": lambda world: world.server.faults.be_down(),
    "broken connections": lambda world: world.server.faults.lose_request("", "", times=-1),
}


@WATCH_LIST
@pytest.mark.parametrize("trouble", TROUBLES)
def test_fault_07_trouble_is_met_with_less_than_one_request_a_second_and_forgotten_when_it_is_over(
    time: VirtualTime, trouble: str, has_watch_list: bool
) -> None:
    world = make_world(time)
    world.server.has_watch_list = has_watch_list
    world.write("one")

    async def main(world: World) -> None:
        await _synced(world)
        await asyncio.sleep(61)
        TROUBLES[trouble](world)
        world.server.faults.end_watches()
        world.write("two")
        world.server.compact()
        began = len(world.server.sent)
        for _ in range(60):
            before = len(world.server.sent)
            await asyncio.sleep(10)
            assert len(world.server.sent) - before <= 10
        assert len(world.server.sent) - began <= 120, "pauses grow"
        world.server.faults.heal()
        world.write("three")
        took_s = await world.until(world.is_true)
        assert took_s <= RECOVERY_S
        assert world.reflector.silent_for_s() <= took_s + 1

    run_world(world, main)


def test_fault_07_watches_that_end_at_once_are_never_opened_twice_within_a_second() -> None:
    for seed in range(20):
        with VirtualTime() as each:
            world = make_world(each, seed=seed)

            async def main(world: World) -> None:
                await _synced(world)
                world.server.faults.end_watches_at_once()
                await asyncio.sleep(10)
                opened_s = [sent.at_s for sent in world.server.sent]
                gaps_s = [later - sooner for sooner, later in itertools.pairwise(opened_s)]
                assert len(gaps_s) >= 2
                assert min(gaps_s) >= 0.99

            run_world(world, main)


def test_fault_07_a_stream_of_nonsense_is_a_broken_one(time: VirtualTime) -> None:
    world = make_world(time)
    world.write("one")

    async def main(world: World) -> None:
        await _synced(world)
        world.server.faults.end_watches(nonsense=b'{"type": "ADD\n[1]\n')
        world.write("two")
        assert await world.until(world.is_true) <= RECOVERY_S

    run_world(world, main)


def test_fault_08_a_watch_that_says_nothing_is_declared_dead_and_the_cache_is_true_again(time: VirtualTime) -> None:
    world = make_world(time)
    world.write("one")

    async def main(world: World) -> None:
        await _synced(world)
        world.server.faults.blackhole()
        world.write("two")
        await asyncio.sleep(149)
        assert world.reflector.silent_for_s() >= 149, "readiness can tell"
        await asyncio.sleep(300)
        assert len(world.cache) == 1
        world.server.faults.heal()
        took_s = await world.until(world.is_true)
        assert took_s <= RECOVERY_S + 15

    run_world(world, main)


def test_fault_08_only_the_stream_that_hangs_is_given_up_within_150_seconds(time: VirtualTime) -> None:
    world = make_world(time)
    world.write("one")

    async def main(world: World) -> None:
        await _synced(world)
        world.server.faults.hang_watches()
        world.write("two")
        took_s = await world.until(world.is_true)
        assert took_s <= 152

    run_world(world, main)


def test_a_quiet_kind_is_watched_by_bookmarks_and_listed_once_an_hour(time: VirtualTime) -> None:
    world = make_world(time)
    world.write("one")

    async def main(world: World) -> None:
        await _synced(world)
        for _ in range(70):
            await asyncio.sleep(100)
            assert world.reflector.silent_for_s() <= 61
        assert 24 <= len(world.server.sent) <= 30, "one each 240 to 300 s"
        assert len([sent for sent in world.server.sent if "sendInitialEvents" in sent.query]) in (2, 3)
        assert len(world.told) == 1, "nothing has changed"

    run_world(world, main)


def test_without_bookmarks_a_quiet_watch_is_opened_again_and_loses_nothing(time: VirtualTime) -> None:
    world = make_world(time)
    world.server.faults.has_bookmarks = False
    world.write("one")

    async def main(world: World) -> None:
        await _synced(world)
        await asyncio.sleep(1000)
        world.write("two")
        assert await world.until(world.is_true) <= 2
        assert [sent for sent in world.server.sent if "limit" in sent.query] == []

    run_world(world, main)


def test_fault_25_wall_clock_jumps_change_nothing(time: VirtualTime) -> None:
    world = make_world(time)
    world.write("one")

    async def main(world: World) -> None:
        await _synced(world)
        for jump_s in (3600.0, -7200.0):
            time.clock.jump_s += jump_s
            began = len(world.server.sent)
            world.write("one", size=int(jump_s))
            assert await world.until(world.is_true) <= 1
            assert len(world.server.sent) == began

    run_world(world, main)


def test_fault_25_rights_taken_away_keep_the_cache_and_rights_given_back_bring_it_up(time: VirtualTime) -> None:
    world = make_world(time)
    world.write("one")

    async def main(world: World) -> None:
        await _synced(world)
        world.server.faults.refuse_with(Refusal(403, "Forbidden", "no"), "GET", "", times=-1)
        world.server.faults.end_watches()
        world.write("two")
        await asyncio.sleep(600)
        assert len(world.cache) == 1
        world.server.faults.heal()
        assert await world.until(world.is_true) <= RECOVERY_S

    run_world(world, main)


def test_fault_25_a_kind_that_is_not_served_yet_is_found_when_it_is(time: VirtualTime) -> None:
    world = make_world(time)
    world.server.faults.refuse_with(
        Refusal(404, "NotFound", "the server could not find the requested resource"), times=-1
    )
    world.write("one")

    async def main(world: World) -> None:
        await asyncio.sleep(120)
        assert not world.reflector.has_synced
        world.server.faults.heal()
        assert await world.until(lambda: world.reflector.has_synced) <= RECOVERY_S
        assert world.is_true()

    run_world(world, main)
