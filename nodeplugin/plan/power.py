"""When a machine is to run: run strategy, what was asked by hand, and how the domain ended last.

    strategy          first   guest shut down   killed / crashed   host or libvirtd away
    Always            start   start             start              start
    RerunOnFailure    start   stay off          start              start
    Once              start   stay off          stay off           stay off
    Manual            -       stay off          stay off           stay off
    Halted            off     off               off                off

A machine whose livenessProbe failed is shut down, and counts as crashed; so does one whose watchdog put it off.

`xvirt stop` holds a machine off, whatever its strategy, until `xvirt start`; `save` does the same with its memory kept.
"""

from __future__ import annotations

import dataclasses
import enum

from nodeplugin.hypervisor.port import DomainRecord, DomainState
from nodeplugin.records import RunRecord
from xvirt.model.virtualmachine import RunStrategy

BACKOFF_FIRST_S = 5.0
BACKOFF_MAX_S = 300.0
STABLE_RUN_S = 600.0
"""A machine that ran this long starts over without back-off (Kubernetes' CrashLoopBackOff uses the same ten minutes)."""


class PowerGoal(enum.Enum):
    """What the domain is to do."""

    ON = "on"
    OFF = "off"
    SAVED = "saved"
    LEAVE = "leave"


@dataclasses.dataclass(frozen=True)
class PowerDecision:
    """The goal, and whether reaching it is the strategy's own restart (which backs off)."""

    goal: PowerGoal
    is_automatic: bool = False


def decide_power(strategy: RunStrategy, run: RunRecord, domain: DomainRecord | None) -> PowerDecision:
    """What a machine's domain is to do now."""
    is_active = domain is not None and domain.is_active
    if run.is_save_requested:
        return PowerDecision(PowerGoal.SAVED)
    if run.is_held_off or strategy is RunStrategy.HALTED:
        return PowerDecision(PowerGoal.OFF)
    if run.restart_from is not None:
        is_old = domain is not None and domain.is_active and domain.domain_id == run.restart_from
        return PowerDecision(PowerGoal.OFF if is_old else PowerGoal.ON)
    if is_active and domain is not None and run.failed_in == domain.domain_id:
        return PowerDecision(PowerGoal.OFF)
    if run.is_start_requested:
        return PowerDecision(PowerGoal.ON)
    if is_active:
        return PowerDecision(PowerGoal.ON if strategy is RunStrategy.ALWAYS else PowerGoal.LEAVE)
    return _decide_stopped(strategy, run, domain)


def _decide_stopped(strategy: RunStrategy, run: RunRecord, domain: DomainRecord | None) -> PowerDecision:
    if strategy is RunStrategy.ALWAYS:
        return PowerDecision(PowerGoal.ON, is_automatic=run.has_started)
    if strategy is RunStrategy.ONCE:
        return PowerDecision(PowerGoal.LEAVE if run.has_started else PowerGoal.ON)
    if strategy is RunStrategy.RERUN_ON_FAILURE:
        if run.is_finished or (run.has_started and is_guest_shutdown(domain) and run.failed_in is None):
            return PowerDecision(PowerGoal.LEAVE)
        return PowerDecision(PowerGoal.ON, is_automatic=run.has_started)
    return PowerDecision(PowerGoal.LEAVE)


def is_guest_shutdown(domain: DomainRecord | None) -> bool:
    """Whether the guest powered itself off, as far as libvirt still knows."""
    return domain is not None and domain.state is DomainState.SHUTOFF and domain.reason == "shutdown"


def backoff_s(restarts: int) -> float:
    """Pause before automatic restart number `restarts` (0: the first, at once)."""
    if restarts <= 0:
        return 0.0
    return float(min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(restarts - 1, 10)))
