"""The matrix of run strategies, as docs/virtualmachine.md has it."""

from __future__ import annotations

import pytest

from nodeplugin.hypervisor.port import DomainRecord, DomainState, Persistence
from nodeplugin.plan.power import BACKOFF_MAX_S, PowerGoal, backoff_s, decide_power
from nodeplugin.records import RunRecord
from xvirt.model.virtualmachine import RunStrategy

ON, OFF, LEAVE = PowerGoal.ON, PowerGoal.OFF, PowerGoal.LEAVE


def _domain(state: DomainState, reason: str, domain_id: int | None = None) -> DomainRecord:
    return DomainRecord(
        uuid="u",
        name="n",
        state=state,
        reason=reason,
        is_active=domain_id is not None,
        persistence=Persistence.PERSISTENT,
        is_autostarted=False,
        has_managed_save=False,
        domain_id=domain_id,
    )


RUNNING = _domain(DomainState.RUNNING, "booted", 7)
POWERED_OFF = _domain(DomainState.SHUTOFF, "shutdown")
KILLED = _domain(DomainState.SHUTOFF, "crashed")
AFTER_REBOOT = _domain(DomainState.SHUTOFF, "unknown")


@pytest.mark.parametrize(
    ("strategy", "first", "powered_off", "killed", "rebooted"),
    [
        (RunStrategy.ALWAYS, ON, ON, ON, ON),
        (RunStrategy.RERUN_ON_FAILURE, ON, LEAVE, ON, ON),
        (RunStrategy.ONCE, ON, LEAVE, LEAVE, LEAVE),
        (RunStrategy.MANUAL, LEAVE, LEAVE, LEAVE, LEAVE),
        (RunStrategy.HALTED, OFF, OFF, OFF, OFF),
    ],
)
def test_row_26_84_each_strategy_answers_each_end(
    strategy: RunStrategy, first: PowerGoal, powered_off: PowerGoal, killed: PowerGoal, rebooted: PowerGoal
) -> None:
    ran = RunRecord(has_started=True)
    assert decide_power(strategy, RunRecord(), None).goal is first
    assert decide_power(strategy, ran, POWERED_OFF).goal is powered_off
    assert decide_power(strategy, ran, KILLED).goal is killed
    assert decide_power(strategy, ran, AFTER_REBOOT).goal is rebooted


@pytest.mark.parametrize("strategy", list(RunStrategy))
def test_a_machine_held_off_stays_off_whatever_its_strategy(strategy: RunStrategy) -> None:
    run = RunRecord(is_held_off=True, has_started=True)
    assert decide_power(strategy, run, RUNNING).goal is OFF
    assert decide_power(strategy, run, POWERED_OFF).goal is OFF


@pytest.mark.parametrize("strategy", [item for item in RunStrategy if item is not RunStrategy.HALTED])
def test_a_start_by_hand_is_followed(strategy: RunStrategy) -> None:
    run = RunRecord(is_start_requested=True, has_started=True, is_finished=True)
    decision = decide_power(strategy, run, POWERED_OFF)
    assert decision.goal is ON
    assert not decision.is_automatic, "what was asked by hand does not back off"


def test_a_restart_ends_the_old_run_and_begins_a_new_one() -> None:
    run = RunRecord(restart_from=7, has_started=True)
    assert decide_power(RunStrategy.MANUAL, run, RUNNING).goal is OFF
    assert decide_power(RunStrategy.MANUAL, run, POWERED_OFF).goal is ON
    assert decide_power(RunStrategy.MANUAL, run, _domain(DomainState.RUNNING, "booted", 8)).goal is ON


def test_a_guest_that_finished_stays_off_also_when_libvirt_has_forgotten_why() -> None:
    run = RunRecord(has_started=True, is_finished=True)
    assert decide_power(RunStrategy.RERUN_ON_FAILURE, run, AFTER_REBOOT).goal is LEAVE


def test_the_first_restart_comes_at_once_and_later_ones_ever_later_up_to_a_cap() -> None:
    pauses = [backoff_s(restarts) for restarts in range(12)]
    assert pauses[0] == 0
    assert pauses == sorted(pauses)
    assert pauses[-1] == BACKOFF_MAX_S
