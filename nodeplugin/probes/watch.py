"""When guests are asked: a bounded number of threads serves a queue that holds each probe of each machine at most once.

Only a machine that runs is asked. A probe that comes late, because all threads wait for other guests, counts neither way. Times are
those of the monotonic clock; they begin anew with the plugin, which lengthens a delay and never shortens one.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable

from nodeplugin.clock import Clock
from nodeplugin.converge.queue import Workers, WorkQueue
from nodeplugin.plan.probe import Answer, ProbeKind, Tally, count
from nodeplugin.probes.ask import Card, Memory
from xvirt.model.machine.probe import Probe

THREADS = 16
"""So many guests are waited for at once; an answer that comes in time takes milliseconds."""

Ask = Callable[[str, Probe, tuple[Card, ...], Memory], Answer]
Probes = dict[ProbeKind, Probe]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """A running machine: which run of its domain, its probes, its cards."""

    domain_id: int
    probes: Probes
    cards: tuple[Card, ...]


@dataclasses.dataclass
class _Course:
    """One probe of one run."""

    domain_id: int
    probe: Probe
    not_before_s: float
    tally: Tally = dataclasses.field(default_factory=Tally)
    memory: Memory = dataclasses.field(default_factory=Memory)


class ProbeWatch:
    """Verdicts of all probes of running machines. `wake` is called where one changes."""

    def __init__(self, ask: Ask, clock: Clock, wake: Callable[[str], None]) -> None:
        self._ask_guest = ask
        self._wake = wake
        self._lock = threading.Lock()
        self._asked: dict[str, Asked] = {}
        self._courses: dict[tuple[str, ProbeKind], _Course] = {}
        self._clock = clock
        self._queue = WorkQueue(clock)
        self._workers = Workers("probe", THREADS, self._queue, self._visit)

    def start(self) -> None:
        """Start asking."""
        self._workers.start()

    def stop(self) -> None:
        """Stop asking."""
        self._queue.close()

    def follow(self, uid: str, asked: Asked | None) -> None:
        """A machine runs with these probes; or runs no more, or has none. Another run, or another probe, begins anew."""
        begun: list[tuple[ProbeKind, Probe]] = []
        with self._lock:
            if asked is None:
                self._forget(uid)
                return
            self._asked[uid] = asked
            for kind in ProbeKind:
                course, probe = self._courses.get((uid, kind)), asked.probes.get(kind)
                if probe is None:
                    self._courses.pop((uid, kind), None)
                elif course is None or course.domain_id != asked.domain_id or course.probe != probe:
                    first_s = self._clock.monotonic_s() + probe.initial_delay_seconds
                    self._courses[uid, kind] = _Course(asked.domain_id, probe, first_s)
                    begun.append((kind, probe))
        for kind, probe in begun:
            self._queue.add(_key(uid, kind), probe.initial_delay_seconds)

    def begin_anew(self, uid: str) -> None:
        """The guest boots again, within the same run of its domain."""
        with self._lock:
            asked = self._asked.get(uid)
            self._forget(uid)
        if asked is not None:
            self.follow(uid, asked)

    def tally(self, uid: str, kind: ProbeKind, domain_id: int) -> Tally | None:
        """What a probe's answers say of this run; None where none is asked for."""
        with self._lock:
            course = self._courses.get((uid, kind))
            return course.tally if course is not None and course.domain_id == domain_id else None

    def _forget(self, uid: str) -> None:
        self._asked.pop(uid, None)
        for kind in ProbeKind:
            self._courses.pop((uid, kind), None)

    def _visit(self, key: str) -> None:
        uid, kind = _parts(key)
        with self._lock:
            course, asked = self._courses.get((uid, kind)), self._asked.get(uid)
        if course is None or asked is None:
            return
        early_s = course.not_before_s - self._clock.monotonic_s()
        if early_s > 0:  # the queue still held the place of an earlier run
            self._queue.add(key, early_s)
            return
        answer = self._ask_guest(uid, course.probe, asked.cards, course.memory)
        with self._lock:
            if self._courses.get((uid, kind)) is not course:  # a newer one has its own place in the queue
                return
            before = course.tally
            course.tally = count(before, answer, course.probe, kind)
            has_turned = course.tally.health is not before.health
        if has_turned:
            self._wake(uid)
        self._queue.add(key, course.probe.period_seconds)


def _key(uid: str, kind: ProbeKind) -> str:
    return f"{uid}/{kind.value}"


def _parts(key: str) -> tuple[str, ProbeKind]:
    uid, _, kind = key.rpartition("/")
    return uid, ProbeKind(kind)
