"""Somebody sets the wall clock an hour forward or back, at any moment of a machine's life: nothing is done that would not have been done,
nothing sooner or later, and time stamps tell the clock that people see."""

from __future__ import annotations

import copy
import datetime
from pathlib import Path
from typing import Any

import pytest

from nodeplugin.clock import SystemClock
from tests.unit.nodeplugin.test_crash_walk import CHAPTERS, MACHINE, NETWORK, WEB
from tests.unit.nodeplugin.world import EPOCH, World
from xvirt.model.exchange import Verb

HOUR_S = 3600.0
JUMPS = pytest.mark.parametrize("jump_s", [-HOUR_S, HOUR_S], ids=["back", "forward"])


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    spec = {"memory": {"size": "64Mi"}, "terminationGracePeriodSeconds": 30}
    world.apply(NETWORK)
    world.apply({**copy.deepcopy(MACHINE), "spec": spec})
    world.settle()
    return world


def _uid(world: World) -> str:
    found = world.store.find_named("VirtualMachine", "default", "web")
    assert found is not None
    return found.uid


def _status(world: World) -> dict[str, Any]:
    found = world.store.find(_uid(world))
    assert found is not None
    return dict(found.status)


def _work(world: World) -> None:
    world.host.index.clear()
    world.converger.work(_uid(world))


@JUMPS
@pytest.mark.parametrize("chapter", range(len(CHAPTERS)), ids=[item.__name__.strip("_") for item in CHAPTERS])
def test_a_jump_in_any_chapter_changes_neither_steps_nor_end(tmp_path: Path, chapter: int, jump_s: float) -> None:
    def play(directory: Path, jumping: int) -> tuple[list[str], list[dict[str, Any]]]:
        directory.mkdir()
        world, states = World(directory), []
        for number, act in enumerate(CHAPTERS):
            act(world)
            if number == jumping:
                world.clock.wall_offset_s += jump_s
            world.settle()
            states.append(world.end_state())
        return world.faults.names(), states

    assert play(tmp_path / "jump", chapter) == play(tmp_path / "none", -1)


@JUMPS
def test_a_settled_node_does_and_writes_nothing_when_the_clock_jumps(world: World, jump_s: float) -> None:
    before, effects = [item.status for item in world.store.list_objects()], len(world.faults.mutations)
    world.clock.wall_offset_s += jump_s
    world.settle()
    assert [item.status for item in world.store.list_objects()] == before
    assert len(world.faults.mutations) == effects


@JUMPS
def test_a_grace_period_lasts_as_long_as_it_was_to_last(world: World, jump_s: float) -> None:
    world.hypervisor.domain(_uid(world)).ignores_shutdown = True
    world.operate(WEB, Verb.STOP)
    _work(world)
    world.clock.wall_offset_s += jump_s
    world.clock.now += 29.0
    _work(world)
    assert world.end_state()["domains"] == {"default_web": "running"}, "a second is left"
    world.clock.now += 1.5
    _work(world)
    assert world.end_state()["domains"] == {"default_web": "shutoff"}


@JUMPS
def test_a_machine_that_crashes_is_started_after_its_back_off_and_not_before(world: World, jump_s: float) -> None:
    for _ in range(3):  # at once, then after 5 s, then after 10 s
        world.hypervisor.crash(_uid(world))
        _work(world)
        if world.end_state()["domains"]["default_web"] != "running":
            world.clock.now += 11.0
            _work(world)
    world.hypervisor.crash(_uid(world))
    _work(world)
    world.clock.wall_offset_s += jump_s
    world.clock.now += 19.0
    _work(world)
    assert world.end_state()["domains"]["default_web"] == "shutoff"
    assert "CrashLoopBackOff" in str(_status(world)["conditions"])
    world.clock.now += 1.5
    _work(world)
    assert world.end_state()["domains"]["default_web"] == "running"


@JUMPS
def test_time_stamps_are_those_of_the_clock_that_people_see(world: World, jump_s: float) -> None:
    world.clock.wall_offset_s += jump_s
    world.hypervisor.lose_connection()
    _work(world)
    ready = next(item for item in _status(world)["conditions"] if item["type"] == "Ready")
    shown = datetime.datetime.fromisoformat(ready["lastTransitionTime"])
    assert (ready["status"], shown) == ("Unknown", EPOCH + datetime.timedelta(seconds=int(world.clock.now + jump_s)))


@JUMPS
def test_events_keep_the_order_in_which_things_happened(world: World, jump_s: float) -> None:
    for verb in (Verb.PAUSE, Verb.RESUME):
        world.operate(WEB, verb)
        world.settle()
        world.clock.wall_offset_s += jump_s
    world.operate(WEB, Verb.STOP)
    world.settle()
    told = [
        event.reason for event in world.store.list_events(_uid(world)) if event.reason in ("Pause", "Resume", "Stop")
    ]
    assert told == ["Pause", "Resume", "Stop"]


def test_what_lasts_is_measured_by_the_clock_that_nobody_can_set(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    before = clock.monotonic_s()
    monkeypatch.setattr("time.time", lambda: 0.0)
    monkeypatch.setattr("nodeplugin.clock.datetime", None)
    assert 0.0 <= clock.monotonic_s() - before < HOUR_S
