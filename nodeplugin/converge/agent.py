"""What guests' agents say. Asked by threads of their own: an agent that hangs keeps neither a machine's worker nor the search for
addresses waiting, and is asked ever more rarely."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable

from nodeplugin.clock import Clock
from nodeplugin.converge.queue import Workers, WorkQueue
from nodeplugin.hypervisor.port import Hypervisor, InterfaceAddress
from nodeplugin.plan.guest import AgentState, clean_words, read_guest
from xvirt.model.errors import NotFound, XvirtError
from xvirt.model.machine.guest import GuestStatus

THREADS = 2
INTERVAL_S = 30.0
SEARCH_FIRST_S = 2.0
SEARCH_SHARE = 1 / 8
"""An agent that answers before its guest has an address is asked again so soon: after 2 s, or this share of the time that it took so far."""
SILENT_FIRST_S = 5.0
SILENT_MAX_S = 300.0
"""Each question to an agent that hangs takes a thread for 3 s: 2 threads ask 200 of them once in five minutes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentFacts:
    """What an agent told last. One that fell silent keeps what it told."""

    state: AgentState = AgentState.UNASKED
    silence: str = ""
    addresses: tuple[InterfaceAddress, ...] = ()
    told: GuestStatus | None = None


@dataclasses.dataclass
class _Followed:
    since_s: float
    facts: AgentFacts = dataclasses.field(default_factory=AgentFacts)
    failures: int = 0
    wants_version: bool = False


class AgentWatch:
    """Facts of all agents that are connected, as fresh as the last answer. `wake` is called with each answer that differs."""

    def __init__(self, hypervisor: Hypervisor, clock: Clock, wake: Callable[[str], None]) -> None:
        self._hypervisor = hypervisor
        self._wake = wake
        self._lock = threading.Lock()
        self._followed: dict[str, _Followed] = {}
        self._clock = clock
        self._queue = WorkQueue(clock)
        self._workers = Workers("agent", THREADS, self._queue, self._ask)

    def start(self) -> None:
        """Start asking."""
        self._workers.start()

    def stop(self) -> None:
        """Stop asking."""
        self._queue.close()

    def follow(self, uid: str, *, is_connected: bool, wants_version: bool = False) -> None:
        """A machine's agent is connected, or no longer is. `wants_version`: by a raw command, which taints the domain."""
        with self._lock:
            known = self._followed.get(uid)
            if not is_connected:
                self._followed.pop(uid, None)
                return
            is_new = known is None or (wants_version and not known.wants_version)
            entry = self._followed.setdefault(uid, _Followed(self._clock.monotonic_s()))
            entry.wants_version = wants_version
        if is_new:
            self._queue.add(uid)

    def poll_soon(self, uid: str) -> None:
        """Ask again now: something in the guest has changed."""
        with self._lock:
            entry = self._followed.get(uid)
            if entry is None:
                return
            entry.failures = 0
        self._queue.add(uid)

    def facts(self, uid: str) -> AgentFacts:
        """What was told last."""
        with self._lock:
            entry = self._followed.get(uid)
            return entry.facts if entry is not None else AgentFacts()

    def _ask(self, uid: str) -> None:
        with self._lock:
            entry = self._followed.get(uid)
            if entry is None:
                return
            old, wants_version = entry.facts, entry.wants_version
        new = self._answer(uid, old, wants_version=wants_version)
        if new is None:  # its channel is closed: whoever follows will say so
            self._queue.add(uid, INTERVAL_S)
            return
        with self._lock:
            if self._followed.get(uid) is not entry:
                return
            entry.facts = new
            entry.failures = entry.failures + 1 if new.state is AgentState.SILENT else 0
            pause = pause_s(entry.failures, new, self._clock.monotonic_s() - entry.since_s)
        if new != old:
            self._wake(uid)
        self._queue.add(uid, pause)

    def _answer(self, uid: str, old: AgentFacts, *, wants_version: bool) -> AgentFacts | None:
        try:
            answer = self._hypervisor.ask_agent(uid)
            told = read_guest(answer.facts, old.told)
            if wants_version and not told.agent_version:
                told = dataclasses.replace(told, agent_version=clean_words(self._hypervisor.agent_version(uid)))
        except NotFound:
            return None
        except XvirtError as error:
            return dataclasses.replace(old, state=AgentState.SILENT, silence=error.reason)
        return AgentFacts(state=AgentState.ANSWERING, addresses=answer.addresses, told=told)


def pause_s(failures: int, facts: AgentFacts, elapsed_s: float) -> float:
    """How long to wait before an agent is asked again that did not answer so many times in a row, or has been followed for so long."""
    if failures > 0:
        return float(min(SILENT_MAX_S, SILENT_FIRST_S * 2 ** min(failures - 1, 10)))
    if facts.addresses:
        return INTERVAL_S
    return min(INTERVAL_S, max(SEARCH_FIRST_S, elapsed_s * SEARCH_SHARE))
