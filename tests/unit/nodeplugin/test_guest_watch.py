"""How often guests are asked."""

from __future__ import annotations

import pytest

from nodeplugin.converge.guest import GuestWatch, pause_s
from nodeplugin.hypervisor.port import InterfaceAddress
from nodeplugin.plan.guest import GuestFacts
from tests.contract.documents import DomainDraft
from tests.fakes.hypervisor import FakeHypervisor
from tests.unit.nodeplugin.world import HeldClock

ADDRESS = InterfaceAddress(mac="52:54:00:aa:bb:01", address="192.0.2.7", prefix=24, source="lease")


@pytest.mark.parametrize(("elapsed_s", "pause"), [(0.0, 2.0), (16.0, 2.0), (60.0, 7.5), (240.0, 30.0), (1e6, 30.0)])
def test_a_guest_without_an_address_is_asked_ever_more_rarely(elapsed_s: float, pause: float) -> None:
    assert pause_s(GuestFacts(), elapsed_s) == pause


def test_a_guest_with_an_address_is_asked_rarely_and_one_that_hangs_often() -> None:
    assert pause_s(GuestFacts(addresses=(ADDRESS,)), 0.0) == 30.0
    assert pause_s(GuestFacts(addresses=(ADDRESS,), is_responding=False), 1e6) == 2.0


class Asked:
    """A watch whose threads are not started: the test asks."""

    def __init__(self) -> None:
        self.clock = HeldClock()
        self.hypervisor = FakeHypervisor()
        draft = DomainDraft()
        self.uid = draft.uuid
        self.hypervisor.define_domain(draft.xml())
        self.hypervisor.start_domain(self.uid)
        self.woken: list[str] = []
        self.watch = GuestWatch(self.hypervisor, self.clock, self.woken.append)
        self.watch.follow(self.uid, is_active=True)

    def due(self, after_s: float) -> bool:
        """Whether the guest is to be asked so much later."""
        before, self.clock.now = self.clock.now, self.clock.now + after_s
        found = self.watch._queue.length() == 1
        self.clock.now = before
        return found

    def ask(self) -> None:
        """What a thread does when the guest is due."""
        assert self.watch._queue.take() == self.uid
        self.watch._ask(self.uid)
        self.watch._queue.done(self.uid)


def test_a_long_search_has_long_pauses_until_something_happens_in_the_guest() -> None:
    asked = Asked()
    asked.ask()
    assert asked.due(2.0)
    asked.clock.now = 400.0
    asked.ask()
    assert not asked.due(29.0)
    assert asked.due(30.0)
    asked.watch.poll_soon(asked.uid)
    assert asked.due(0.0)
    asked.ask()
    assert asked.due(2.0)


def test_an_answer_that_differs_wakes_the_machine_once() -> None:
    asked = Asked()
    asked.ask()
    asked.hypervisor.set_addresses(asked.uid, [ADDRESS])
    for moment in (10.0, 50.0):
        asked.clock.now = moment
        asked.ask()
    assert asked.woken.count(asked.uid) == 1
    assert asked.watch.facts(asked.uid).addresses == (ADDRESS,)


def test_a_machine_that_is_off_is_asked_no_more() -> None:
    asked = Asked()
    asked.watch.follow(asked.uid, is_active=False)
    asked.ask()
    assert not asked.due(1000.0)
    asked.watch.poll_soon(asked.uid)
    assert not asked.due(1000.0)
