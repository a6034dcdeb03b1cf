"""The domain of a fake node's machine: on, off, paused, by the plugin's own rules of when. Pure."""

from __future__ import annotations

import dataclasses

from nodeplugin.hypervisor.port import DomainRecord, DomainState, Persistence
from nodeplugin.plan.power import PowerGoal, decide_power
from nodeplugin.records import Deletion, RunRecord, StoredObject
from tools.cluster.fakehosts.sizes import Running, follow, started
from xvirt.model.virtualmachine import RunStrategy


@dataclasses.dataclass(frozen=True, kw_only=True)
class Domain:
    """A domain; `running` while it is on, `waits` are the fields that its next start will change."""

    record: DomainRecord
    running: Running | None = None
    waits: tuple[str, ...] = ()
    starts: int = 0

    def on(self, stored: StoredObject) -> Domain:
        """Started, by the newest document."""
        starts = self.starts + 1
        record = dataclasses.replace(
            self.record, state=DomainState.RUNNING, reason="booted", is_active=True, domain_id=starts
        )
        return Domain(record=record, running=started(stored.document["spec"]), starts=starts)

    def off(self, reason: str) -> Domain:
        """Stopped, for a reason in libvirt's words."""
        record = dataclasses.replace(
            self.record, state=DomainState.SHUTOFF, reason=reason, is_active=False, domain_id=None
        )
        return Domain(record=record, starts=self.starts)

    def like(self, stored: StoredObject) -> Domain:
        """Running by the newest document and the newest wish to be paused, as far as that goes without a restart."""
        if self.running is None:
            return self
        running, waits = follow(self.running, stored.document["spec"])
        is_paused = stored.run.is_paused
        state, reason = (DomainState.PAUSED, "user") if is_paused else (DomainState.RUNNING, "booted")
        record = dataclasses.replace(self.record, state=state, reason=reason)
        return dataclasses.replace(self, record=record, running=running, waits=waits)


def first_domain(stored: StoredObject) -> Domain:
    """A domain that was just defined."""
    return Domain(
        record=DomainRecord(
            uuid=stored.uid,
            name=stored.domain_name,
            state=DomainState.SHUTOFF,
            reason="unknown",
            is_active=False,
            persistence=Persistence.PERSISTENT,
            is_autostarted=False,
            has_managed_save=False,
        )
    )


def move(stored: StoredObject, domain: Domain) -> tuple[RunRecord, Domain]:
    """A machine's domain brought to where it is to be, and what is remembered of that."""
    run = stored.run
    is_leaving = stored.deletion is not Deletion.NONE
    goal = PowerGoal.LEAVE if is_leaving else decide_power(strategy_of(stored), run, domain.record).goal
    if run.restart_from is not None and goal is PowerGoal.OFF:
        domain, goal = domain.off("destroyed"), PowerGoal.ON
    if goal is PowerGoal.ON:
        domain = domain if domain.record.is_active else domain.on(stored)
        run = dataclasses.replace(run, has_started=True, is_start_requested=False, restart_from=None)
    elif goal is PowerGoal.OFF and domain.record.is_active:
        domain = domain.off("shutdown")
    return run, domain.like(stored)


def strategy_of(stored: StoredObject) -> RunStrategy:
    """When a machine is to run."""
    return RunStrategy(stored.document["spec"].get("runStrategy", RunStrategy.ALWAYS.value))
