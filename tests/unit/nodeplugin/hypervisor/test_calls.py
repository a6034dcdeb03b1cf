"""Calls have deadlines; a late one holds its lane and one thread, nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import libvirt
import pytest

from nodeplugin.hypervisor.calls import DeadlineCaller, Lane, LaneKind
from tools.lab.processes import wait_until
from xvirt.model.errors import Busy, DeadlineExceeded, Exhausted, Refused, Unavailable

MONITOR = Lane(LaneKind.MONITOR, "a")
LONG_S = 30.0


@pytest.fixture
def caller() -> Iterator[DeadlineCaller]:
    made = DeadlineCaller(threads_max=4)
    yield made
    made.close()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a hung call waits for."""
    event = threading.Event()
    yield event
    event.set()


def _hang(caller: DeadlineCaller, gate: threading.Event, lane: Lane = MONITOR) -> None:
    with pytest.raises(DeadlineExceeded):
        caller.call("hang", gate.wait, 0.0, lane)


def test_a_result_and_an_error_come_back(caller: DeadlineCaller) -> None:
    assert caller.call("add", lambda: 1 + 1, LONG_S, MONITOR) == 2
    with pytest.raises(ZeroDivisionError):
        caller.call("divide", lambda: 1 // 0, LONG_S, MONITOR)

    def refuse() -> None:
        raise libvirt.libvirtError("no")

    with pytest.raises(Exception, match="refuse domain a"):
        caller.call("refuse domain a", refuse, LONG_S, MONITOR)


def test_a_late_call_refuses_its_lane_at_once_until_it_is_back(caller: DeadlineCaller, gate: threading.Event) -> None:
    _hang(caller, gate)
    with pytest.raises(Busy) as caught:
        caller.call("again", lambda: 1, LONG_S, MONITOR)
    assert caught.value.reason == "DomainNotResponding"
    assert caller.lost_threads() == 1
    gate.set()
    wait_until(lambda: caller.lost_threads() == 0, LONG_S, "the late call")
    assert caller.call("again", lambda: 1, LONG_S, MONITOR) == 1


@pytest.mark.parametrize("kind", [LaneKind.MONITOR, LaneKind.JOB, LaneKind.PROGRESS])
def test_all_that_needs_a_hung_monitor_is_refused(
    caller: DeadlineCaller, gate: threading.Event, kind: LaneKind
) -> None:
    _hang(caller, gate, Lane(LaneKind.JOB, "a"))
    assert caller.is_late(MONITOR)
    with pytest.raises(Busy):
        caller.call("ask", lambda: 1, LONG_S, Lane(kind, "a"))


@pytest.mark.parametrize(
    "lane", [Lane(LaneKind.MONITOR, "b"), Lane(LaneKind.READ, "a"), Lane(LaneKind.KILL, "a"), Lane(LaneKind.AGENT, "a")]
)
def test_other_lanes_go_on(caller: DeadlineCaller, gate: threading.Event, lane: Lane) -> None:
    _hang(caller, gate)
    assert caller.call("ask", lambda: 1, LONG_S, lane) == 1


def test_a_silent_agent_does_not_mean_a_hung_monitor(caller: DeadlineCaller, gate: threading.Event) -> None:
    _hang(caller, gate, Lane(LaneKind.AGENT, "a"))
    assert not caller.is_late(MONITOR)
    assert caller.call("ask", lambda: 1, LONG_S, MONITOR) == 1


def test_calls_in_a_lane_run_one_at_a_time(caller: DeadlineCaller) -> None:
    running: list[int] = []
    overlaps: list[int] = []

    def work() -> None:
        running.append(1)
        overlaps.append(len(running))
        running.pop()

    threads = [threading.Thread(target=caller.call, args=("work", work, LONG_S, MONITOR)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == [1] * 8


def test_waiting_in_a_lane_ends_with_busy_when_the_first_call_is_late(
    caller: DeadlineCaller, gate: threading.Event
) -> None:
    errors: list[str] = []

    def first() -> None:
        try:
            caller.call("first", gate.wait, 0.2, MONITOR)
        except DeadlineExceeded:
            errors.append("late")

    thread = threading.Thread(target=first)
    thread.start()
    wait_until(lambda: MONITOR in caller._running, LONG_S, "the first call")
    with pytest.raises(Busy):
        caller.call("second", lambda: 1, LONG_S, MONITOR)
    thread.join()
    assert errors == ["late"]


def test_threads_are_bounded(caller: DeadlineCaller, gate: threading.Event) -> None:
    for number in range(4):
        _hang(caller, gate, Lane(LaneKind.MONITOR, str(number)))
    with pytest.raises(Exhausted):
        caller.call("one more", lambda: 1, LONG_S, Lane(LaneKind.READ, "x"))


def test_what_comes_back_too_late_is_thrown_away(caller: DeadlineCaller, gate: threading.Event) -> None:
    thrown: list[str] = []

    def work() -> str:
        gate.wait()
        return "connection"

    with pytest.raises(DeadlineExceeded):
        caller.call("open", work, 0.0, MONITOR, thrown.append)
    gate.set()
    wait_until(lambda: thrown == ["connection"], LONG_S, "the late result")
    assert caller.call("open", lambda: "taken", LONG_S, MONITOR, thrown.append) == "taken"
    assert thrown == ["connection"]


def test_a_closed_caller_takes_nothing_and_ends_its_threads() -> None:
    ended: list[str] = []
    caller = DeadlineCaller(on_thread_end=lambda: ended.append(threading.current_thread().name))
    caller.call("work", lambda: None, LONG_S, MONITOR)
    caller.close()
    wait_until(lambda: len(ended) == 1, LONG_S, "the thread's end")
    with pytest.raises(Unavailable):
        caller.call("work", lambda: None, LONG_S, MONITOR)


def test_refused_is_no_lateness(caller: DeadlineCaller) -> None:
    def refuse() -> None:
        raise Refused("no")

    with pytest.raises(Refused):
        caller.call("x", refuse, LONG_S, MONITOR)
    assert not caller.is_late(MONITOR)
