"""Who is asked, and where: the guest's own addresses alone, in the order of its cards; commands one at a time."""

from __future__ import annotations

import pytest

from nodeplugin.hypervisor.port import InterfaceAddress
from nodeplugin.plan.probe import Answer
from nodeplugin.probes import ask as module
from nodeplugin.probes.ask import Asker, Card, Memory
from nodeplugin.probes.reach import Place, Unwell
from tests.contract.documents import DomainDraft
from tests.fakes.hypervisor import FakeHypervisor
from xvirt.model.machine.probe import ExecProbe, GuestAgentPing, HttpGetProbe, Probe, TcpSocketProbe

LAN = Card("lan", "02:00:00:00:00:01", "virbr1")
WAN = Card("wan", "02:00:00:00:00:02", "virbr2")
LOST = Card("lost", "02:00:00:00:00:03", "")


class TickingClock:
    """Moves with each look, so that a wait for a guest ends."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic_s(self) -> float:
        self.now += 0.25
        return self.now

    def timestamp(self) -> str:
        return ""


class Guest:
    """A machine in memory, and what a probe of it would do on the network."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hypervisor = FakeHypervisor()
        draft = DomainDraft()
        self.uid = draft.uuid
        self.hypervisor.define_domain(draft.xml())
        self.hypervisor.start_domain(self.uid)
        self.addresses: list[InterfaceAddress] = []
        self.places: list[tuple[Place, int]] = []
        self.memory = Memory()
        self.asker = Asker(self.hypervisor, TickingClock(), lambda uid: tuple(self.addresses))
        monkeypatch.setattr(module, "connect", lambda place, port, timeout_s: self.places.append((place, port)))

    def has(self, card: Card, address: str, source: str = "lease") -> None:
        self.addresses.append(InterfaceAddress(mac=card.mac, address=address, prefix=24, source=source))

    def ask(self, probe: Probe, *cards: Card) -> Answer:
        return self.asker.ask(self.uid, probe, cards, self.memory)


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Guest:
    return Guest(monkeypatch)


def tcp(nic: str | None = None) -> Probe:
    return Probe(tcp_socket=TcpSocketProbe(port=22, nic=nic))


def test_the_first_card_with_an_address_is_asked_or_the_one_that_is_named(guest: Guest) -> None:
    guest.has(WAN, "198.51.100.7")
    assert guest.ask(tcp(), LAN, WAN).is_good
    guest.has(LAN, "192.0.2.7")
    assert guest.ask(tcp(), LAN, WAN).is_good
    assert guest.ask(tcp("wan"), LAN, WAN).is_good
    assert [(place.address, place.bridge) for place, _ in guest.places] == [
        ("198.51.100.7", "virbr2"),
        ("192.0.2.7", "virbr1"),
        ("198.51.100.7", "virbr2"),
    ]


def test_the_guests_own_word_comes_before_a_lease_that_may_be_old(guest: Guest) -> None:
    guest.has(LAN, "192.0.2.9", "arp")
    guest.has(LAN, "192.0.2.12", "lease")
    guest.has(LAN, "192.0.2.200", "agent")
    guest.ask(tcp(), LAN)
    assert guest.places[0][0].address == "192.0.2.200"


@pytest.mark.parametrize(
    ("cards", "nic", "words"),
    [
        ((), None, "has no NIC"),
        ((LAN,), "other", "has no NIC other"),
        ((LAN,), None, "no address of the guest is known yet"),
        ((LOST,), None, "NIC lost is in no bridge"),
    ],
)
def test_where_there_is_nobody_to_ask_the_answer_says_so(
    guest: Guest, cards: tuple[Card, ...], nic: str | None, words: str
) -> None:
    guest.has(LOST, "192.0.2.99")
    answer = guest.ask(tcp(nic), *cards)
    assert not answer.is_good
    assert not answer.was_there
    assert words in answer.message


def test_a_guest_that_answers_badly_was_there(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    def unwell(place: Place, probe: HttpGetProbe, timeout_s: float) -> int:
        raise Unwell("status 500\x1b[31m")

    monkeypatch.setattr(module, "get", unwell)
    guest.has(LAN, "192.0.2.7")
    answer = guest.ask(Probe(http_get=HttpGetProbe(port=80)), LAN)
    assert answer == Answer(is_good=False, message="status 500\N{REPLACEMENT CHARACTER}[31m")


PING = Probe(guest_agent_ping=GuestAgentPing())
CHECK = Probe(command=ExecProbe(command=("/bin/check", "-v")), timeout_seconds=2)


def test_a_ping_tells_an_agent_that_hangs_from_one_that_never_came(guest: Guest) -> None:
    assert not guest.ask(PING).was_there
    guest.hypervisor.connect_agent(guest.uid)
    assert guest.ask(PING).is_good
    guest.hypervisor.domain(guest.uid).agent.is_frozen = True
    answer = guest.ask(PING)
    assert not answer.is_good
    assert answer.was_there


@pytest.mark.parametrize(
    ("code", "message"), [(0, ""), (3, "/bin/check ended with 3"), (137, "/bin/check ended with 137")]
)
def test_a_commands_exit_code_is_its_answer(guest: Guest, code: int, message: str) -> None:
    guest.hypervisor.connect_agent(guest.uid)
    agent = guest.hypervisor.domain(guest.uid).agent
    agent.run = lambda argv: code
    answer = guest.ask(CHECK)
    assert (answer.is_good, answer.message) == (code == 0, message)
    assert agent.started == [("/bin/check", "-v")]


def test_a_command_that_does_not_end_is_not_started_beside_itself(guest: Guest) -> None:
    guest.hypervisor.connect_agent(guest.uid)
    agent = guest.hypervisor.domain(guest.uid).agent
    agent.run = lambda argv: None
    for _ in range(3):
        assert guest.ask(CHECK).message == "/bin/check has not ended in 2 s"
    assert len(agent.started) == 1
    agent.run = lambda argv: 0
    assert guest.ask(CHECK).is_good
    assert guest.ask(CHECK).is_good
    assert len(agent.started) == 2


def test_a_command_that_a_new_agent_does_not_know_is_started_again(guest: Guest) -> None:
    guest.hypervisor.connect_agent(guest.uid)
    agent = guest.hypervisor.domain(guest.uid).agent
    agent.run = lambda argv: None
    guest.ask(CHECK)
    agent.started.clear()
    assert not guest.ask(CHECK).is_good
    agent.run = lambda argv: 0
    assert guest.ask(CHECK).is_good
