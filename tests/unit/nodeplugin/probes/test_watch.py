"""When guests are asked, by how many threads, and what begins anew."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from nodeplugin.clock import SystemClock
from nodeplugin.plan.probe import Answer, Health, ProbeKind
from nodeplugin.probes.ask import Card, Memory
from nodeplugin.probes.watch import THREADS, Asked, ProbeWatch
from tests.unit.nodeplugin.world import HeldClock
from xvirt.model.machine.probe import GuestAgentPing, LivenessProbe, Probe

READY = Probe(guest_agent_ping=GuestAgentPing(), initial_delay_seconds=30, period_seconds=10, failure_threshold=1)
LIVE = LivenessProbe(guest_agent_ping=GuestAgentPing(), period_seconds=20)
BOTH = {ProbeKind.READINESS: READY, ProbeKind.LIVENESS: LIVE}


class Watched:
    """A watch whose threads are not started: the test is the thread."""

    def __init__(self) -> None:
        self.clock = HeldClock()
        self.is_good = True
        self.asked: list[tuple[float, str]] = []
        self.woken: list[str] = []
        self.watch = ProbeWatch(self.answer, self.clock, self.woken.append)

    def answer(self, uid: str, probe: Probe, cards: tuple[Card, ...], memory: Memory) -> Answer:
        kind = "liveness" if isinstance(probe, LivenessProbe) else "readiness"
        self.asked.append((self.clock.now, kind))
        return Answer(is_good=self.is_good, message="" if self.is_good else "no")

    def follow(self, domain_id: int = 1, probes: dict[ProbeKind, Probe] | None = None) -> None:
        self.watch.follow("uid", Asked(domain_id=domain_id, probes=BOTH if probes is None else probes, cards=()))

    def pass_time(self, until_s: float) -> list[tuple[float, str]]:
        """What was asked meanwhile."""
        before = len(self.asked)
        while self.clock.now < until_s:
            while self.watch._queue.length():
                key = self.watch._queue.take()
                assert key is not None
                self.watch._visit(key)
                self.watch._queue.done(key)
            self.clock.now += 1.0
        return self.asked[before:]

    def health(self, kind: ProbeKind = ProbeKind.READINESS, domain_id: int = 1) -> Health | None:
        tally = self.watch.tally("uid", kind, domain_id)
        return tally.health if tally is not None else None


def test_each_probe_has_its_own_delay_and_period() -> None:
    watched = Watched()
    watched.follow()
    asked = watched.pass_time(61)
    assert [moment for moment, kind in asked if kind == "readiness"] == [30, 40, 50, 60]
    assert [moment for moment, kind in asked if kind == "liveness"] == [0, 20, 40, 60]
    assert watched.health() is watched.health(ProbeKind.LIVENESS) is Health.PASSING


def test_only_a_verdict_that_turns_wakes_the_machine() -> None:
    watched = Watched()
    watched.follow(probes={ProbeKind.READINESS: READY})
    watched.pass_time(100)
    watched.is_good = False
    watched.pass_time(200)
    assert watched.woken == ["uid"] * 2
    assert watched.health() is Health.FAILING


def test_the_same_machine_seen_again_goes_on() -> None:
    watched = Watched()
    for moment in range(1, 60):
        watched.follow()
        watched.pass_time(moment)
    assert Counter(kind for _, kind in watched.asked) == {"readiness": 3, "liveness": 3}


@pytest.mark.parametrize("change", ["run", "probe", "boot"])
def test_another_run_another_probe_and_another_boot_begin_anew_with_the_delay(change: str) -> None:
    watched = Watched()
    watched.follow()
    watched.pass_time(35)
    if change == "run":
        watched.follow(domain_id=2)
    elif change == "probe":
        slower = Probe(guest_agent_ping=GuestAgentPing(), initial_delay_seconds=30, period_seconds=11)
        watched.follow(probes={ProbeKind.READINESS: slower, ProbeKind.LIVENESS: LIVE})
    else:
        watched.watch.begin_anew("uid")
    assert watched.health() in (Health.UNKNOWN, None)
    asked = [moment for moment, kind in watched.pass_time(70) if kind == "readiness"]
    assert asked == [65], "the place that the earlier one had in the queue is not taken for the new one's"


def test_a_machine_that_stops_and_a_probe_that_is_removed_are_asked_no_more() -> None:
    watched = Watched()
    watched.follow()
    watched.pass_time(35)
    watched.follow(probes={ProbeKind.LIVENESS: LIVE})
    assert {kind for _, kind in watched.pass_time(100)} == {"liveness"}
    assert watched.health() is None
    watched.watch.follow("uid", None)
    assert watched.pass_time(200) == []
    assert not watched.watch._courses
    assert not watched.watch._asked
    watched.watch.begin_anew("uid")
    assert watched.pass_time(300) == []


def test_an_answer_to_a_question_of_an_earlier_run_says_nothing_of_this_one() -> None:
    watched = Watched()
    watched.follow(probes={ProbeKind.LIVENESS: LIVE})
    held = watched.answer

    def late(uid: str, probe: Probe, cards: tuple[Card, ...], memory: Memory) -> Answer:
        watched.follow(domain_id=2, probes={ProbeKind.LIVENESS: LIVE})
        return held(uid, probe, cards, memory)

    watched.watch._ask_guest = late
    watched.watch._visit("uid/liveness")
    assert watched.health(ProbeKind.LIVENESS, domain_id=2) is Health.UNKNOWN


def test_two_hundred_machines_that_hang_cost_so_many_threads_and_one_place_each_in_the_queue() -> None:
    release, enough = threading.Event(), threading.Event()
    waiting: set[str] = set()
    asked: Counter[str] = Counter()
    lock = threading.Lock()

    def hang(uid: str, probe: Probe, cards: tuple[Card, ...], memory: Memory) -> Answer:
        with lock:
            waiting.add(threading.current_thread().name)
            asked[uid] += 1
            if len(waiting) == THREADS:
                enough.set()
        release.wait(30)
        return Answer(is_good=False, message="no answer in time")

    watch = ProbeWatch(hang, SystemClock(), lambda uid: None)
    watch.start()
    machines = [f"uid-{number}" for number in range(200)]
    for _ in range(3):
        for uid in machines:
            watch.follow(uid, Asked(domain_id=1, probes={ProbeKind.LIVENESS: LIVE}, cards=()))
    assert enough.wait(30)
    assert len(waiting) == THREADS
    assert watch._queue.length() == len(machines) - THREADS
    assert set(asked.values()) == {1}
    release.set()
    watch.stop()
