"""One question to one guest, and its answer. Raises nothing but bugs."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable

from nodeplugin.clock import Clock
from nodeplugin.hypervisor.port import Hypervisor, InterfaceAddress
from nodeplugin.plan.guest import clean_words
from nodeplugin.plan.probe import Answer
from nodeplugin.probes.reach import Place, Unwell, connect, get
from xvirt.model.errors import NotFound, Refused, XvirtError
from xvirt.model.machine.probe import ExecProbe, HttpGetProbe, Probe, TcpSocketProbe

POLL_S = 0.05
POLL_MAX_S = 0.5
"""Between two looks at a command that runs in a guest."""
_TRUST = ("agent", "lease", "arp")
"""Who is believed first about an address, where several speak: the guest knows what it has, a lease outlives its use."""


@dataclasses.dataclass(frozen=True)
class Card:
    """A NIC of a running machine: its declared name, and the host's bridge that it is plugged into, empty where there is none."""

    name: str
    mac: str
    bridge: str


@dataclasses.dataclass
class Memory:
    """What one probe of one machine keeps from question to question: a command that has not ended."""

    process: int | None = None


class Asker:
    """Asks guests."""

    def __init__(
        self, hypervisor: Hypervisor, clock: Clock, addresses: Callable[[str], tuple[InterfaceAddress, ...]]
    ) -> None:
        self._hypervisor = hypervisor
        self._clock = clock
        self._addresses = addresses

    def ask(self, uid: str, probe: Probe, cards: tuple[Card, ...], memory: Memory) -> Answer:
        """One question, within the probe's time."""
        try:
            if probe.command is not None:
                return self._run(uid, probe.command, float(probe.timeout_seconds), memory)
            if probe.guest_agent_ping is not None:
                self._hypervisor.ping_agent(uid)
            else:
                self._knock(uid, probe, cards)
        except _Nobody as error:
            return Answer(is_good=False, message=str(error), was_there=False)
        except Unwell as error:
            return Answer(is_good=False, message=clean_words(str(error)))
        except XvirtError as error:
            return Answer(is_good=False, message=clean_words(error.message), was_there=not isinstance(error, NotFound))
        return Answer(is_good=True)

    # by the network

    def _knock(self, uid: str, probe: Probe, cards: tuple[Card, ...]) -> None:
        question: TcpSocketProbe | HttpGetProbe | None = probe.tcp_socket or probe.http_get
        assert question is not None, "a rule of the model: exactly one question"
        place = self._place(uid, question.nic, cards)
        if isinstance(question, HttpGetProbe):
            get(place, question, float(probe.timeout_seconds))
        else:
            connect(place, question.port, float(probe.timeout_seconds))

    def _place(self, uid: str, nic: str | None, cards: tuple[Card, ...]) -> Place:
        wanted = [card for card in cards if nic in (None, card.name)]
        if not wanted:
            raise _Nobody(f"the machine has no NIC {nic}" if nic else "the machine has no NIC")
        known = self._addresses(uid)
        for card in wanted:
            own = [item for item in known if item.mac.lower() == card.mac.lower()]
            if not own:
                continue
            if not card.bridge:
                raise _Nobody(f"NIC {card.name} is in no bridge of the host; the node cannot reach it")
            best = min(own, key=lambda item: (_TRUST.index(item.source), ":" in item.address, item.address))
            return Place(best.address, card.bridge)
        raise _Nobody("no address of the guest is known yet")

    # by the agent

    def _run(self, uid: str, probe: ExecProbe, timeout_s: float, memory: Memory) -> Answer:
        """A command that does not end is not started again beside itself."""
        began_s = self._clock.monotonic_s()
        if memory.process is None:
            memory.process = self._hypervisor.start_in_guest(uid, probe.command)
        pause_s = POLL_S
        while (code := self._exit_code(uid, memory)) is None:
            if self._clock.monotonic_s() - began_s >= timeout_s:
                return Answer(is_good=False, message=f"{_name(probe)} has not ended in {timeout_s:g} s")
            threading.Event().wait(pause_s)
            pause_s = min(POLL_MAX_S, pause_s * 2)
        memory.process = None
        if code != 0:
            return Answer(is_good=False, message=f"{_name(probe)} ended with {code}")
        return Answer(is_good=True)

    def _exit_code(self, uid: str, memory: Memory) -> int | None:
        assert memory.process is not None
        try:
            return self._hypervisor.exit_code_in_guest(uid, memory.process)
        except Refused:  # an agent that was restarted does not know it
            memory.process = None
            raise


class _Nobody(Exception):
    """There is nobody to ask (yet)."""


def _name(probe: ExecProbe) -> str:
    return clean_words(probe.command[0])
