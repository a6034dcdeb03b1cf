"""What is known of guests: addresses, whether their QEMU answers, and what their agents say (`agent`). Asked beside convergence, never
in its way.

Two threads of their own ask libvirt for each running machine every few seconds until it has an address, ever more rarely the longer it takes, and
rarely from then on; an answer that differs brings the machine's key up, and its worker writes the status.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable

from nodeplugin.clock import Clock
from nodeplugin.converge.agent import AgentWatch
from nodeplugin.converge.queue import Workers, WorkQueue
from nodeplugin.hypervisor.port import Hypervisor
from nodeplugin.plan.guest import GuestFacts, usable_addresses
from xvirt.model.errors import Busy, DeadlineExceeded, XvirtError

THREADS = 2
SEARCH_INTERVAL_S = 2.0
SEARCH_SHARE = 1 / 8
"""An address is known at most so much later, of the time that the guest took to have one. A machine without a NIC never has one."""
SETTLED_INTERVAL_S = 30.0


class GuestWatch:
    """Facts of all running guests, as fresh as the last question."""

    def __init__(self, hypervisor: Hypervisor, clock: Clock, wake: Callable[[str], None]) -> None:
        self._hypervisor = hypervisor
        self._wake = wake
        self._lock = threading.Lock()
        self._facts: dict[str, GuestFacts] = {}
        self._clock = clock
        self._followed: dict[str, float] = {}
        """Machines that run, and when the search for their addresses began."""
        self._queue = WorkQueue(clock)
        self._workers = Workers("guest", THREADS, self._queue, self._ask)
        self.agents = AgentWatch(hypervisor, clock, wake)

    def start(self) -> None:
        """Start asking."""
        self._workers.start()
        self.agents.start()

    def stop(self) -> None:
        """Stop asking."""
        self._queue.close()
        self.agents.stop()

    def follow(
        self, uid: str, *, is_active: bool, is_agent_connected: bool = False, wants_version: bool = False
    ) -> None:
        """A machine runs, or no longer does; its agent's channel is open, or not."""
        self.agents.follow(uid, is_connected=is_active and is_agent_connected, wants_version=wants_version)
        with self._lock:
            is_new = is_active and uid not in self._followed
            if is_new:
                self._followed[uid] = self._clock.monotonic_s()
            elif not is_active:
                self._followed.pop(uid, None)
                self._facts.pop(uid, None)
        if is_new:
            self._queue.add(uid)

    def poll_soon(self, uid: str, delay_s: float = 0.0) -> None:
        """Ask again now, or after a pause: something in the guest has changed."""
        with self._lock:
            is_followed = uid in self._followed
            if is_followed:
                self._followed[uid] = self._clock.monotonic_s()
        if is_followed:
            self._queue.add(uid, delay_s)
            self.agents.poll_soon(uid)

    def facts(self, uid: str) -> GuestFacts:
        """What was answered last, by the host and by the agent."""
        seen, agent = self._seen(uid), self.agents.facts(uid)
        return dataclasses.replace(
            seen,
            addresses=usable_addresses((*agent.addresses, *seen.addresses)),
            agent=agent.state,
            silence=agent.silence,
            told=agent.told,
        )

    def _seen(self, uid: str) -> GuestFacts:
        with self._lock:
            return self._facts.get(uid, GuestFacts())

    def _ask(self, uid: str) -> None:
        with self._lock:
            if uid not in self._followed:
                return
        old = self._seen(uid)
        new = self._answer(uid, old)
        with self._lock:
            if uid not in self._followed:
                return
            self._facts[uid] = new
            elapsed_s = self._clock.monotonic_s() - self._followed[uid]
        if new != old:
            self._wake(uid)
        self._queue.add(uid, pause_s(new, elapsed_s))

    def _answer(self, uid: str, old: GuestFacts) -> GuestFacts:
        try:
            self._hypervisor.ping_monitor(uid)
            addresses = self._hypervisor.guest_addresses(uid)
        except (Busy, DeadlineExceeded):
            return GuestFacts(addresses=old.addresses, is_responding=False)
        except XvirtError:
            return old
        return GuestFacts(addresses=usable_addresses(addresses), is_responding=True)


def pause_s(facts: GuestFacts, elapsed_s: float) -> float:
    """How long to wait before a machine is asked again. One that does not respond is refused at once, which costs nothing."""
    if not facts.is_responding:
        return SEARCH_INTERVAL_S
    if facts.addresses:
        return SETTLED_INTERVAL_S
    return min(SETTLED_INTERVAL_S, max(SEARCH_INTERVAL_S, elapsed_s * SEARCH_SHARE))
