"""Events: told, counted, bounded, and never in a reconcile's way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.fakes.apifaults import Refusal
from tests.fakes.virtualtime import VirtualTime
from tests.unit.operator.runtime.world import World, make_world
from xvirt.operator.runtime.recorder import (
    COUNT_INTERVAL_S,
    KNOWN_MAX,
    NOTE_BYTES_MAX,
    OBJECT_BURST_MAX,
    OBJECT_REFILL_S,
    PASSING_MAX,
    QUEUE_MAX,
    SAME_WITHIN_S,
    SENDERS,
    Recorder,
)
from xvirt.operator.runtime.resources import EVENTS, NODES, Key, Object


def _run(time: VirtualTime, main: Callable[[World, Recorder], Awaitable[None]]) -> None:
    world = make_world(time)

    async def whole() -> None:
        recorder = Recorder(world.client, "example.io/toy", "toy-1")
        task = asyncio.create_task(recorder.run())
        await main(world, recorder)
        assert not task.done()

    time.run(whole())


def _events(world: World) -> list[Object]:
    return world.server.objects(EVENTS)


def _outcomes(world: World, outcome: str) -> float:
    return world.client.metrics.registry.get_sample_value("operator_events_total", {"outcome": outcome}) or 0


def test_an_event_says_what_happened_to_which_object(time: VirtualTime) -> None:
    async def main(world: World, recorder: Recorder) -> None:
        item = world.write("one")
        recorder.record(item, "Warning", "NoRoom", "no node has 4 CPUs", action="Place")
        assert _events(world) == [], "nothing is sent while the reconcile runs"
        await asyncio.sleep(1)
        [event] = _events(world)
        assert event["metadata"]["namespace"] == "ns"
        assert event["metadata"]["name"].startswith("one.")
        assert event["regarding"] == {
            "apiVersion": "example.xvirt.io/v1",
            "kind": "Thing",
            "name": "one",
            "namespace": "ns",
            "uid": item["metadata"]["uid"],
            "resourceVersion": item["metadata"]["resourceVersion"],
        }
        told = (event["type"], event["reason"], event["action"], event["note"])
        assert told == ("Warning", "NoRoom", "Place", "no node has 4 CPUs")
        assert (event["reportingController"], event["reportingInstance"]) == ("example.io/toy", "toy-1")
        assert event["eventTime"].startswith("2026-01-01T00:16:4")
        assert "series" not in event

    _run(time, main)


def test_events_of_what_has_no_namespace_go_to_the_default_one(time: VirtualTime) -> None:
    async def main(world: World, recorder: Recorder) -> None:
        recorder.record(NODES.object(Key("", "n1")), "Normal", "Seen", "seen")
        await asyncio.sleep(1)
        [event] = _events(world)
        assert event["metadata"]["namespace"] == "default"
        assert "namespace" not in event["regarding"]

    _run(time, main)


def test_what_is_said_again_is_counted_and_the_count_is_written_once_a_minute(time: VirtualTime) -> None:
    async def main(world: World, recorder: Recorder) -> None:
        item = world.write("one")
        recorder.record(item, "Normal", "Seen", "seen")
        await asyncio.sleep(1)
        writes = len([sent for sent in world.server.sent if sent.is_write])
        for _ in range(300):
            recorder.record(item, "Normal", "Seen", "seen")
            await asyncio.sleep(1)
        await asyncio.sleep(2 * COUNT_INTERVAL_S)
        [event] = _events(world)
        assert event["series"]["count"] == 301
        assert event["series"]["lastObservedTime"] > event["eventTime"]
        more = len([sent for sent in world.server.sent if sent.is_write]) - writes
        assert more <= 300 / COUNT_INTERVAL_S + 2

    _run(time, main)


def test_after_ten_minutes_the_same_is_told_anew(time: VirtualTime) -> None:
    async def main(world: World, recorder: Recorder) -> None:
        item = world.write("one")
        for _ in range(2):
            recorder.record(item, "Normal", "Seen", "seen")
            await asyncio.sleep(SAME_WITHIN_S + 1)
        assert len(_events(world)) == 2

    _run(time, main)


def test_an_object_that_says_ever_new_things_is_held_to_a_burst_and_a_trickle(time: VirtualTime) -> None:
    async def main(world: World, recorder: Recorder) -> None:
        noisy, quiet = world.write("noisy"), world.write("quiet")
        for number in range(100):
            recorder.record(noisy, "Normal", "Seen", f"number {number}")
        recorder.record(quiet, "Normal", "Seen", "me too")
        await asyncio.sleep(10)
        assert len(_events(world)) == OBJECT_BURST_MAX + 1
        assert _outcomes(world, "dropped") == 100 - OBJECT_BURST_MAX
        await asyncio.sleep(5 * OBJECT_REFILL_S)
        for number in range(100, 200):
            recorder.record(noisy, "Normal", "Seen", f"number {number}")
        await asyncio.sleep(10)
        assert len(_events(world)) == OBJECT_BURST_MAX + 1 + 5

    _run(time, main)


def test_while_the_api_server_is_away_the_queue_is_bounded_and_nobody_waits(time: VirtualTime) -> None:
    async def main(world: World, recorder: Recorder) -> None:
        items = [world.write(f"thing-{number}") for number in range(QUEUE_MAX + 500)]
        world.server.faults.blackhole("POST")
        began_s = time.clock.monotonic_s()
        for item in items:
            recorder.record(item, "Normal", "Seen", "seen")
        assert time.clock.monotonic_s() == began_s
        assert _outcomes(world, "dropped") >= 499
        assert len(recorder._due) <= QUEUE_MAX
        assert len(recorder._series) <= KNOWN_MAX
        world.server.faults.heal()
        await asyncio.sleep(200)
        assert QUEUE_MAX - 1 <= len(_events(world)) <= QUEUE_MAX + 1

    _run(time, main)


@pytest.mark.parametrize("code", [403, 404, 422, 500])
def test_an_event_that_is_refused_is_dropped_and_the_next_is_sent(time: VirtualTime, code: int) -> None:
    async def main(world: World, recorder: Recorder) -> None:
        world.server.faults.refuse_with(Refusal(code, "", "no"), "POST", "/events")
        for name in ("one", "two"):
            recorder.record(world.write(name), "Normal", "Seen", "seen")
        await asyncio.sleep(1)
        assert [event["regarding"]["name"] for event in _events(world)] == ["two"]
        assert (_outcomes(world, "failed"), _outcomes(world, "sent")) == (1, 1)

    _run(time, main)


def test_long_messages_are_cut_to_what_the_api_takes(time: VirtualTime) -> None:
    async def main(world: World, recorder: Recorder) -> None:
        recorder.record(world.write("n" * 253), "Normal", "Seen", "ä" * 2000)
        await asyncio.sleep(1)
        [event] = _events(world)
        assert len(event["note"].encode()) <= NOTE_BYTES_MAX
        assert len(event["metadata"]["name"]) <= 253

    _run(time, main)


def test_events_that_the_server_does_not_answer_hold_up_no_others_but_their_own_senders(time: VirtualTime) -> None:
    async def main(world: World, recorder: Recorder) -> None:
        things = [world.write(f"thing-{number}") for number in range(SENDERS + 20)]
        world.server.faults.blackhole("POST")
        for item in things[: SENDERS - 1]:
            recorder.record(item, "Normal", "Started", "started")
        await asyncio.sleep(1)
        world.server.faults.heal()
        for item in things[SENDERS:]:
            recorder.record(item, "Normal", "Started", "started")
        await asyncio.sleep(5)
        assert len(_events(world)) == 20

    _run(time, main)


def test_however_much_passes_what_happened_for_good_finds_room_and_goes_first(time: VirtualTime) -> None:
    async def main(world: World, recorder: Recorder) -> None:
        things = [world.write(f"thing-{number}") for number in range(QUEUE_MAX)]
        for item in things:
            recorder.record(item, "Normal", "Started", "started", is_passing=True)
        assert _outcomes(world, "dropped") == QUEUE_MAX - PASSING_MAX
        for item in things[:PASSING_MAX]:
            recorder.record(item, "Warning", "LeftBehind", "a volume may be left")
        assert _outcomes(world, "dropped") == QUEUE_MAX - PASSING_MAX
        await asyncio.sleep(200)
        reasons = [
            event["reason"]
            for event in sorted(_events(world), key=lambda event: int(event["metadata"]["resourceVersion"]))
        ]
        assert reasons == ["LeftBehind"] * PASSING_MAX + ["Started"] * PASSING_MAX

    _run(time, main)


def test_an_object_with_much_passing_news_still_tells_what_happened_for_good(time: VirtualTime) -> None:
    async def main(world: World, recorder: Recorder) -> None:
        noisy = world.write("noisy")
        for number in range(100):
            recorder.record(noisy, "Normal", "ChangedLive", f"number {number}", is_passing=True)
        recorder.record(noisy, "Normal", "VolumeRetained", "a volume stays")
        await asyncio.sleep(10)
        assert len(_events(world)) == OBJECT_BURST_MAX + 1
        assert "VolumeRetained" in {event["reason"] for event in _events(world)}

    _run(time, main)


def test_counts_of_what_is_said_again_leave_room_for_what_is_new(time: VirtualTime) -> None:
    async def main(world: World, recorder: Recorder) -> None:
        things = [world.write(f"thing-{number}") for number in range(QUEUE_MAX)]
        for item in things:
            recorder.record(item, "Warning", "ProbeFailed", "no answer")
        await asyncio.sleep(2 * COUNT_INTERVAL_S)
        for item in things:
            recorder.record(item, "Warning", "ProbeFailed", "no answer")
        world.server.faults.blackhole("PATCH")
        await asyncio.sleep(COUNT_INTERVAL_S + 1)
        for item in things[:PASSING_MAX]:
            recorder.record(item, "Warning", "LeftBehind", "a volume may be left")
        assert _outcomes(world, "dropped") == 0
        world.server.faults.heal()
        await asyncio.sleep(10 * COUNT_INTERVAL_S)
        counts = [event["series"]["count"] for event in _events(world) if event["reason"] == "ProbeFailed"]
        assert counts == [2] * QUEUE_MAX

    _run(time, main)
