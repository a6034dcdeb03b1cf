"""What follows from probes and watchdogs, in a whole node: Ready, restarts by runStrategy, events; and what never follows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.nodeplugin.world import World
from xvirt.model.exchange import ObjectRef, Verb

WEB = ObjectRef(kind="VirtualMachine", namespace="default", name="web")
CHECK = {"exec": {"command": ["/bin/check"]}, "failureThreshold": 2}
SPEC: dict[str, Any] = {"memory": {"size": "64Mi"}, "terminationGracePeriodSeconds": 0}


def document(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": "web"},
        "spec": copy.deepcopy(SPEC | spec),
    }


class Node:
    """A node in memory with one machine whose agent is connected; `is_well` is how its commands end."""

    def __init__(self, directory: Path) -> None:
        self.world = World(directory)
        self.world.hypervisor.subscribe(lambda event: self.world.converger.wellbeing.hear(event))
        self.is_well = True
        self.uid = ""

    def apply(self, **spec: Any) -> None:
        self.world.apply(document(**spec))
        self.world.settle()
        self.uid = self.world.hypervisor.list_domains()[0].uuid
        self.boot_guest()

    def boot_guest(self) -> None:
        """The guest's agent comes."""
        domain = self.world.hypervisor.domain(self.uid)
        if domain.is_active:
            self.world.hypervisor.connect_agent(self.uid)
            domain.agent.run = lambda argv: 0 if self.is_well else 1
        self.world.settle()

    def ask(self, kind: str, times: int = 1) -> None:
        for _ in range(times):
            self.world.converger.wellbeing.probes._visit(f"{self.uid}/{kind}")
        self.world.settle()

    def status(self) -> dict[str, Any]:
        stored = self.world.store.find(self.uid)
        assert stored is not None
        return dict(stored.status)

    def ready(self) -> tuple[str, str, str]:
        found = next(item for item in self.status()["conditions"] if item["type"] == "Ready")
        return found["status"], found["reason"], found["message"]

    def domain_id(self) -> int | None:
        record = self.world.hypervisor.find_domain(self.uid)
        return record.domain_id if record is not None else None

    def events(self) -> list[str]:
        return [event.reason for event in self.world.store.list_events(self.uid)]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


# readiness


def test_row_93_a_machine_is_ready_once_its_probe_passes_and_not_while_it_fails(node: Node) -> None:
    node.apply(readinessProbe=CHECK)
    assert node.ready()[:2] == ("False", "ReadinessProbePending")
    assert node.status()["printableStatus"] == "NotReady"
    node.ask("readiness")
    assert node.ready() == ("True", "Running", "")
    node.is_well = False
    node.ask("readiness")
    assert node.ready()[0] == "True", "one bad answer is below failureThreshold"
    node.ask("readiness")
    assert node.ready() == ("False", "ReadinessProbeFailed", "/bin/check ended with 1")
    node.is_well = True
    node.ask("readiness")
    assert node.ready()[0] == "True"
    assert {reason for reason in node.events() if reason.startswith("Readiness")} == {
        "ReadinessProbePassed",
        "ReadinessProbeFailed",
    }


def test_a_failing_readiness_probe_is_no_failure_of_the_machine(node: Node) -> None:
    node.apply(readinessProbe=CHECK)
    node.is_well = False
    before = node.domain_id()
    node.ask("readiness", 5)
    conditions = {item["type"]: item["status"] for item in node.status()["conditions"]}
    assert (conditions["Stalled"], conditions["Reconciling"]) == ("False", "False")
    assert node.domain_id() == before


def test_a_probe_that_is_removed_leaves_the_machine_ready(node: Node) -> None:
    node.apply(readinessProbe=CHECK)
    node.apply()
    assert node.ready() == ("True", "Running", "")


@pytest.mark.parametrize("is_well", [True, False])
def test_readiness_is_known_over_a_restart_of_the_plugin_and_no_longer(node: Node, is_well: bool) -> None:
    node.apply(readinessProbe=CHECK)
    node.is_well = is_well
    node.ask("readiness", 2)
    assert node.ready()[0] == str(is_well)
    node.world.boot()
    node.world.settle()
    assert node.ready()[0] == str(is_well)
    node.world.hypervisor.crash(node.uid)
    node.world.settle()
    assert node.ready()[:2] == ("False", "ReadinessProbePending"), "another run"


@pytest.mark.parametrize(("verb", "word"), [(Verb.STOP, "Stopped"), (Verb.PAUSE, "Paused"), (Verb.SAVE, "Saved")])
def test_a_machine_that_does_not_run_as_asked_is_ready_whatever_its_probes_say(
    node: Node, verb: Verb, word: str
) -> None:
    node.apply(readinessProbe=CHECK, livenessProbe=CHECK)
    node.is_well = False
    node.ask("readiness", 2)
    node.world.operate(WEB, verb)
    node.world.settle()
    assert node.ready()[:2] == ("True", word)
    started = len(node.world.hypervisor.domain(node.uid).agent.started)
    node.ask("readiness", 3)
    node.ask("liveness", 3)
    assert len(node.world.hypervisor.domain(node.uid).agent.started) == started, "nobody asks it"


# liveness


@pytest.mark.parametrize(
    ("strategy", "runs"), [("Always", True), ("RerunOnFailure", True), ("Once", False), ("Manual", False)]
)
def test_row_93_what_a_failed_liveness_probe_means_is_the_run_strategys(node: Node, strategy: str, runs: bool) -> None:
    node.apply(livenessProbe=CHECK, runStrategy=strategy)
    if strategy == "Manual":
        node.world.operate(WEB, Verb.START)
        node.world.settle()
        node.boot_guest()
    before = node.domain_id()
    assert before is not None
    node.ask("liveness")
    node.is_well = False
    node.ask("liveness")
    assert node.domain_id() == before, "below failureThreshold"
    node.ask("liveness")
    assert node.domain_id() != before
    assert (node.domain_id() is not None) is runs
    assert node.events().count("LivenessProbeFailed") == 1
    assert node.status()["restartCount"] == int(runs)
    assert node.ready()[0] == "True"


def test_a_guest_that_shuts_down_when_its_liveness_failed_is_started_again(node: Node) -> None:
    node.apply(livenessProbe=CHECK, runStrategy="RerunOnFailure", terminationGracePeriodSeconds=30)
    before = node.domain_id()
    node.is_well = False
    node.ask("liveness", 2)
    assert node.domain_id() not in (None, before)
    assert "DestroyDomain" not in node.events(), "it was asked, and obeyed"


def test_the_probes_own_grace_period_goes_before_the_machines(node: Node) -> None:
    probe = CHECK | {"terminationGracePeriodSeconds": 0}
    node.apply(livenessProbe=probe, terminationGracePeriodSeconds=3600)
    before = node.domain_id()
    node.world.hypervisor.domain(node.uid).ignores_shutdown = True
    node.is_well = False
    node.ask("liveness", 2)
    assert node.domain_id() not in (None, before)


def test_a_machine_that_never_lives_is_restarted_ever_more_rarely(node: Node) -> None:
    node.apply(livenessProbe=CHECK)
    node.is_well = False
    for _ in range(3):
        node.boot_guest()
        node.ask("liveness", 2)
    assert node.ready()[1] == "CrashLoopBackOff"
    assert node.domain_id() is None


def paused_by_hand(node: Node) -> None:
    node.world.hypervisor.suspend_domain(node.uid)


def held(node: Node) -> None:
    node.world.operate(WEB, Verb.PAUSE)
    node.world.settle()


@pytest.mark.parametrize("act", [paused_by_hand, held])
def test_a_verdict_on_a_machine_that_was_paused_meanwhile_does_nothing(node: Node, act: Callable[[Node], None]) -> None:
    node.apply(livenessProbe=CHECK, driftPolicy="Report")
    before = node.domain_id()
    node.is_well = False
    for _ in range(2):
        node.world.converger.wellbeing.probes._visit(f"{node.uid}/liveness")
    act(node)
    node.world.settle()
    assert node.domain_id() == before
    assert "LivenessProbeFailed" not in node.events()


def test_a_verdict_while_a_job_runs_waits_for_its_end(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.apply(livenessProbe=CHECK)
    before = node.domain_id()
    node.is_well = False
    with monkeypatch.context() as context:
        context.setattr(node.world.hypervisor, "save_progress_percent", lambda uuid: 40)
        node.ask("liveness", 2)
        assert node.domain_id() == before
    node.world.settle()
    assert node.domain_id() not in (None, before)


def test_liveness_begins_anew_when_the_guest_reboots(node: Node) -> None:
    node.apply(livenessProbe=CHECK)
    before = node.domain_id()
    node.is_well = False
    node.ask("liveness")
    node.world.hypervisor.reset_domain(node.uid)
    node.ask("liveness")
    assert node.domain_id() == before


def test_a_plugin_that_dies_between_verdict_and_restart_goes_on_with_it(node: Node) -> None:
    node.apply(livenessProbe=CHECK)
    before = node.domain_id()
    node.is_well = False
    node.world.faults.crash_after(1)
    node.ask("liveness", 2)
    assert node.world.deaths == 1
    assert node.domain_id() not in (None, before)
    assert node.events().count("LivenessProbeFailed") == 1


# watchdogs


@pytest.mark.parametrize("action", ["reset", "none"])
def test_a_watchdog_that_expired_is_told_and_what_qemu_did_is_left_alone(node: Node, action: str) -> None:
    node.apply()
    before = node.domain_id()
    node.world.hypervisor.fire_watchdog(node.uid, action)
    node.world.settle()
    assert node.events().count("WatchdogExpired") == 1
    assert node.domain_id() == before


@pytest.mark.parametrize("action", ["poweroff", "shutdown"])
@pytest.mark.parametrize(("strategy", "runs"), [("RerunOnFailure", True), ("Once", False)])
def test_a_machine_that_its_watchdog_puts_off_has_failed(node: Node, action: str, strategy: str, runs: bool) -> None:
    node.apply(runStrategy=strategy)
    before = node.domain_id()
    node.world.hypervisor.fire_watchdog(node.uid, action)
    node.world.settle()
    assert node.domain_id() != before
    assert (node.domain_id() is not None) is runs


def test_a_machine_that_its_watchdog_paused_says_so(node: Node) -> None:
    node.apply()
    node.world.hypervisor.fire_watchdog(node.uid, "pause")
    node.world.settle()
    assert node.ready()[1] == "Paused"
    assert "watchdog" in node.ready()[2]


# the document


def test_probes_change_live(node: Node) -> None:
    node.apply()
    before = node.domain_id()
    node.apply(readinessProbe=CHECK, livenessProbe=CHECK)
    assert node.domain_id() == before
    assert node.status()["restartRequired"] == []
