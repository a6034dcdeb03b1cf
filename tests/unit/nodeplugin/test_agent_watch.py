"""Agents are asked by threads of their own: one that hangs costs nobody else anything, and says so in a condition."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodeplugin.converge.agent import INTERVAL_S, SILENT_MAX_S, AgentFacts, AgentWatch, pause_s
from nodeplugin.plan.guest import AgentState
from tests.contract.documents import DomainDraft
from tests.fakes.hypervisor import FakeHypervisor
from tests.unit.nodeplugin.test_guest_facts import TOLD, address
from tests.unit.nodeplugin.world import HeldClock, World
from xvirt.model.errors import Unavailable

MACHINE: dict[str, Any] = {
    "apiVersion": "xvirt.io/v1alpha1",
    "kind": "VirtualMachine",
    "metadata": {"name": "web"},
    "spec": {"memory": {"size": "64Mi"}},
}


class Asked:
    """A watch whose threads are not started: the test asks."""

    def __init__(self) -> None:
        self.clock = HeldClock()
        self.hypervisor = FakeHypervisor()
        draft = DomainDraft()
        self.uid = draft.uuid
        self.hypervisor.define_domain(draft.xml())
        self.hypervisor.start_domain(self.uid)
        self.hypervisor.connect_agent(self.uid, dict(TOLD))
        self.agent = self.hypervisor.domain(self.uid).agent
        self.woken: list[str] = []
        self.watch = AgentWatch(self.hypervisor, self.clock, self.woken.append)
        self.watch.follow(self.uid, is_connected=True)

    def ask(self) -> None:
        """Go to the moment at which the agent is due, and ask."""
        self.clock.now += self.pause_s()
        assert self.watch._queue.take() == self.uid
        self.watch._ask(self.uid)
        self.watch._queue.done(self.uid)

    def pause_s(self) -> float:
        return max(0.0, self.watch._queue._due[self.uid] - self.clock.now)


@pytest.mark.parametrize(("failures", "pause"), [(1, 5.0), (2, 10.0), (7, SILENT_MAX_S), (999, 300.0)])
def test_an_agent_that_hangs_is_asked_ever_more_rarely(failures: int, pause: float) -> None:
    assert pause_s(failures, AgentFacts(), 0.0) == pause


@pytest.mark.parametrize(("elapsed_s", "pause"), [(0.0, 2.0), (80.0, 10.0), (1e6, INTERVAL_S)])
def test_an_agent_is_asked_sooner_while_its_guest_has_no_address(elapsed_s: float, pause: float) -> None:
    assert pause_s(0, AgentFacts(), elapsed_s) == pause
    assert pause_s(0, AgentFacts(addresses=(address("192.0.2.7"),)), elapsed_s) == INTERVAL_S


def test_the_same_answer_wakes_nobody() -> None:
    asked = Asked()
    for _ in range(3):
        asked.ask()
    assert asked.woken == [asked.uid]
    assert asked.watch.facts(asked.uid).state is AgentState.ANSWERING
    asked.agent.facts["hostname"] = "other"
    asked.ask()
    assert asked.woken == [asked.uid] * 2


def test_an_agent_that_falls_silent_keeps_what_it_told_and_wakes_once() -> None:
    asked = Asked()
    asked.agent.addresses = [address("192.0.2.7")]
    asked.ask()
    asked.agent.is_frozen = True
    for _ in range(3):
        asked.ask()
    facts = asked.watch.facts(asked.uid)
    assert (facts.state, facts.silence) == (AgentState.SILENT, "AgentNotResponding")
    assert facts.told is not None
    assert facts.told.host_name == "web"
    assert facts.addresses == (address("192.0.2.7"),)
    assert asked.woken == [asked.uid] * 2
    assert asked.pause_s() == 20.0
    asked.watch.poll_soon(asked.uid)
    assert asked.pause_s() == 0.0
    asked.agent.is_frozen = False
    asked.ask()
    assert asked.watch.facts(asked.uid).state is AgentState.ANSWERING
    assert asked.pause_s() == INTERVAL_S


def test_the_version_is_asked_for_only_where_it_is_wanted() -> None:
    asked = Asked()
    asked.ask()
    told = asked.watch.facts(asked.uid).told
    assert told is not None
    assert told.agent_version == ""
    asked.watch.follow(asked.uid, is_connected=True, wants_version=True)
    asked.ask()
    told = asked.watch.facts(asked.uid).told
    assert told is not None
    assert told.agent_version == "7.2.0"


def test_an_agent_whose_channel_was_closed_is_forgotten() -> None:
    asked = Asked()
    asked.ask()
    asked.hypervisor.disconnect_agent(asked.uid)
    asked.ask()
    asked.watch.follow(asked.uid, is_connected=False)
    assert asked.watch.facts(asked.uid).told is None
    asked.ask()
    assert asked.uid not in asked.watch._queue._due


# in a node


class Node:
    """A node in memory with one machine whose agent is connected."""

    def __init__(self, directory: Path) -> None:
        self.world = World(directory)
        self.world.apply(MACHINE)
        self.world.settle()
        self.uid = self.world.hypervisor.list_domains()[0].uuid
        self.world.hypervisor.connect_agent(self.uid, dict(TOLD))
        self.world.settle()

    def ask(self) -> None:
        self.world.converger.guests.agents._ask(self.uid)
        self.world.settle()

    def status(self) -> dict[str, Any]:
        stored = self.world.store.find(self.uid)
        assert stored is not None
        return dict(stored.status)

    def condition(self, kind: str) -> tuple[str, str]:
        found = next(item for item in self.status()["conditions"] if item["type"] == kind)
        return found["status"], found["reason"]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_row_92_what_the_agent_tells_stands_in_status(node: Node) -> None:
    assert node.status().get("guest") is None
    node.ask()
    assert node.status()["guest"]["hostName"] == "web"
    assert node.condition("AgentConnected") == ("True", "Connected")


def test_row_92_a_frozen_agent_is_said_so_and_the_machine_stays_ready(node: Node) -> None:
    node.ask()
    node.world.hypervisor.domain(node.uid).agent.is_frozen = True
    node.ask()
    assert node.condition("AgentConnected") == ("False", "NotResponding")
    assert node.condition("Ready") == ("True", "Running")
    assert node.status()["guest"]["hostName"] == "web"


def test_what_was_told_is_kept_over_a_restart_of_the_plugin_and_gone_with_the_machine(node: Node) -> None:
    node.ask()
    before = node.status()
    node.world.boot()
    node.world.settle()
    assert node.status() == before
    node.world.hypervisor.guest_poweroff(node.uid)
    node.world.apply({**MACHINE, "spec": {**MACHINE["spec"], "runStrategy": "Halted"}})
    node.world.settle()
    assert node.status().get("guest") is None


def test_a_libvirt_that_cannot_be_asked_takes_nothing_away(node: Node) -> None:
    node.ask()
    node.world.faults.fail_next("ask_agent", Unavailable("libvirt is away", reason="HypervisorUnavailable"))
    node.ask()
    assert node.status()["guest"]["hostName"] == "web"
