"""Status is written on change alone, on the version that was looked at."""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.fakes.virtualtime import VirtualTime
from tests.unit.operator.runtime.api_cases import THINGS
from tests.unit.operator.runtime.world import World, make_world
from xvirt.operator.runtime.errors import Conflict
from xvirt.operator.runtime.resources import Key, Object
from xvirt.operator.runtime.writer import Known, StatusWriter, settle_conditions

ONE = Key("ns", "one")
NOW = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)


def _run(time: VirtualTime, main: Callable[[World, StatusWriter], Awaitable[None]], **options: Any) -> None:
    world = make_world(time)
    world.cache.put(world.write("one"))
    time.run(main(world, StatusWriter(world.client, world.cache, **options)))  # type: ignore[arg-type]


def _cached(world: World) -> Object:
    item = world.cache.get(ONE)
    assert item is not None
    return item


def _stored(world: World) -> Object:
    item = world.server.find(THINGS, ONE)
    assert item is not None
    return item


def _ready(status: str = "True", reason: str = "Up") -> Object:
    return {"phase": "Up", "conditions": [{"type": "Ready", "status": status, "reason": reason}]}


def test_a_status_is_written_once_and_seen_by_the_next_look(time: VirtualTime) -> None:
    async def main(world: World, writer: StatusWriter) -> None:
        assert await writer.write(_cached(world), _ready())
        assert _cached(world)["status"] == _stored(world)["status"]
        for _ in range(10):
            assert not await writer.write(_cached(world), _ready())
        assert len(world.server.sent) == 1

    _run(time, main)


def test_a_condition_keeps_the_time_of_its_transition(time: VirtualTime) -> None:
    async def main(world: World, writer: StatusWriter) -> None:
        await writer.write(_cached(world), _ready("True"))
        first = _stored(world)["status"]["conditions"][0]["lastTransitionTime"]
        time.clock.skip(100)
        await writer.write(_cached(world), _ready("True", reason="StillUp"))
        assert _stored(world)["status"]["conditions"][0]["lastTransitionTime"] == first
        await writer.write(_cached(world), _ready("False"))
        assert _stored(world)["status"]["conditions"][0]["lastTransitionTime"] > first

    _run(time, main)


def test_conditions_are_settled_by_their_types() -> None:
    before = [{"type": "Ready", "status": "True", "lastTransitionTime": "then"}, {"type": "Gone", "status": "True"}]
    wanted = [{"type": "New", "status": "False"}, {"type": "Ready", "status": "True", "message": "m"}]
    assert settle_conditions(before, wanted, NOW) == [
        {"type": "New", "status": "False", "lastTransitionTime": "2026-01-31T12:00:00Z"},
        {"type": "Ready", "status": "True", "message": "m", "lastTransitionTime": "then"},
    ]


def test_fault_09_a_newer_object_is_a_conflict_and_nothing_is_written(time: VirtualTime) -> None:
    async def main(world: World, writer: StatusWriter) -> None:
        world.write("one", size=2)
        with pytest.raises(Conflict):
            await writer.write(_cached(world), _ready())
        assert "status" not in _stored(world)

    _run(time, main)


def test_another_object_of_the_same_name_is_a_conflict(time: VirtualTime) -> None:
    async def main(world: World, writer: StatusWriter) -> None:
        world.remove("one")
        world.write("one")
        with pytest.raises(Conflict):
            await writer.write(_cached(world), _ready())
        assert "status" not in _stored(world)

    _run(time, main)


def test_what_is_not_said_any_more_goes(time: VirtualTime) -> None:
    async def main(world: World, writer: StatusWriter) -> None:
        await writer.write(_cached(world), {"phase": "Up", "node": "n1", "list": [1]})
        assert await writer.write(_cached(world), {"phase": "Up", "node": None})
        assert _stored(world)["status"] == {"phase": "Up"}

    _run(time, main)


def test_what_somebody_else_did_to_the_status_is_put_right(time: VirtualTime) -> None:
    async def main(world: World, writer: StatusWriter) -> None:
        await writer.write(_cached(world), {"phase": "Up"})
        edited = {**_stored(world), "status": {"phase": "Down"}}
        world.cache.put(world.server.write(THINGS, edited, "status", manager="kubectl-edit"))
        assert await writer.write(_cached(world), {"phase": "Up"})
        assert _stored(world)["status"] == {"phase": "Up"}

    _run(time, main)


def test_the_order_of_keyed_lists_is_no_change_and_that_of_others_is(time: VirtualTime) -> None:
    async def main(world: World, writer: StatusWriter) -> None:
        disks = [{"name": "a", "size": 1}, {"name": "b", "size": 2}]
        await writer.write(_cached(world), {"disks": disks, "steps": ["x", "y"]})
        assert not await writer.write(_cached(world), {"disks": disks[::-1], "steps": ["x", "y"]})
        assert await writer.write(_cached(world), {"disks": disks, "steps": ["y", "x"]})

    _run(time, main)


def test_fault_24_a_status_that_the_server_changes_on_its_way_is_not_written_for_ever(time: VirtualTime) -> None:
    async def main(world: World, writer: StatusWriter) -> None:
        store = world.server._store

        def prune(place: Any, fresh: Any, before: Any) -> Object:
            fresh.document.get("status", {}).pop("unknown", None)
            return store(place, fresh, before)

        world.server._store = prune  # type: ignore[method-assign]
        status = {"phase": "Up", "unknown": "pruned"}
        assert await writer.write(_cached(world), status)
        for _ in range(10):
            assert not await writer.write(_cached(world), status)
        world.cache.put(world.server.write(THINGS, {**_stored(world), "status": {"phase": "X"}}, "status"))
        assert await writer.write(_cached(world), status), "but another's change is seen"

    _run(time, main)


def test_others_fields_are_left_alone(time: VirtualTime) -> None:
    async def main(world: World, writer: StatusWriter) -> None:
        world.cache.put(world.server.write(THINGS, {**_stored(world), "status": {"theirs": 1}}, "status", manager="b"))
        assert await writer.write(_cached(world), {"phase": "Up"})
        assert not await writer.write(_cached(world), {"phase": "Up"})
        assert _stored(world)["status"] == {"theirs": 1, "phase": "Up"}

    _run(time, main, others=("theirs",))


KNOWN = Known(frozenset({"phase", "conditions"}), frozenset({"Ready"}))


def test_fault_23_what_a_later_release_of_this_manager_has_written_stays(time: VirtualTime) -> None:
    async def main(world: World, writer: StatusWriter) -> None:
        fenced = {"type": "Fenced", "status": "True", "reason": "R", "lastTransitionTime": "2025-01-01T00:00:00Z"}
        later = {"phase": "Up", "fencing": {"armed": True}, "conditions": [fenced]}
        document = THINGS.object(ONE, status=later)
        document["metadata"]["resourceVersion"] = _stored(world)["metadata"]["resourceVersion"]
        world.cache.learn(await world.client.apply_status(THINGS, document))
        assert await writer.write(_cached(world), {"phase": "Down", "conditions": [_ready()["conditions"][0]]})
        status = _stored(world)["status"]
        assert status["fencing"] == {"armed": True}
        assert status["phase"] == "Down"
        assert {each["type"] for each in status["conditions"]} == {"Fenced", "Ready"}
        assert fenced in status["conditions"]
        assert not await writer.write(_cached(world), {"phase": "Down", "conditions": [_ready()["conditions"][0]]})

    _run(time, main, known=KNOWN)


def test_what_is_known_of_a_status_is_told_from_what_is_beyond_it() -> None:
    strange: Object = {"type": "Fenced"}
    ready: Object = {"type": "Ready"}
    assert KNOWN.known_of({"phase": "Up", "fencing": 1}) == {"phase": "Up"}
    assert KNOWN.known_of({"conditions": [ready, strange]}) == {"conditions": [ready]}
    assert KNOWN.known_of({}) == {}


def test_objects_that_are_gone_are_forgotten(time: VirtualTime) -> None:
    async def main(world: World, writer: StatusWriter) -> None:
        await writer.write(_cached(world), {"phase": "Up"})
        assert writer._written
        world.cache.delete(_cached(world))
        assert not writer._written

    _run(time, main)
