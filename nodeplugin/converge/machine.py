"""The worker of a VirtualMachine: observe, plan, step, until nothing is left to do or something must be waited for.

take key -> observe -> note (run record, timers) -> plan -> steps -> observe again ...
               |                                     |        |
               v                                     v        v
          unavailable: status Unknown         no steps: status   error: status, event, back-off
"""

from __future__ import annotations

import dataclasses
import logging

from nodeplugin.converge.glances import Glances
from nodeplugin.converge.guest import GuestWatch
from nodeplugin.converge.host import Host
from nodeplugin.converge.observe import Observer, definition_hash
from nodeplugin.converge.operations import Operations
from nodeplugin.converge.recorder import Recorder
from nodeplugin.converge.timers import Timers
from nodeplugin.converge.wellbeing import Wellbeing
from nodeplugin.plan.guest import AgentState, GuestFacts
from nodeplugin.plan.intent import MachineDesired
from nodeplugin.plan.machine import plan_machine
from nodeplugin.plan.observation import MachineObservation
from nodeplugin.plan.outcome import Plan
from nodeplugin.plan.power import STABLE_RUN_S, PowerGoal, decide_power, is_guest_shutdown
from nodeplugin.plan.removal import plan_machine_removal
from nodeplugin.plan.status import base_conditions, judge_failure, keep_times, last_error, machine_status
from nodeplugin.plan.step import (
    DefineDomain,
    DeleteVolume,
    DetachDevice,
    MarkDomain,
    ShutdownDomain,
    StartDomain,
    Step,
)
from nodeplugin.records import Deletion, RunRecord, StoredObject
from nodeplugin.steps.run import run_step
from nodeplugin.store import Store
from xvirt.domainxml.drift import unpack
from xvirt.model.errors import XvirtError
from xvirt.model.exchange import EventType
from xvirt.model.machine.status import PowerState
from xvirt.model.meta import Resource
from xvirt.model.virtualmachine import RunStrategy, UpdatePolicy, VirtualMachineSpec

logger = logging.getLogger(__name__)

ROUNDS_MAX = 8
"""Observations per visit. More means that something undoes what we do; the queue's back-off takes over."""
RESYNC_RUNNING_S = 60.0


@dataclasses.dataclass(frozen=True)
class Visit:
    """How one visit ended: look again after so many seconds (None: only when something happens), or after back-off. `is_under_way`:
    something goes on beside the worker and wakes the object; whether it fails again is not known yet, so back-off is kept as it is.
    `paths`: of the volumes that a machine has (None: not seen)."""

    again_s: float | None = None
    has_failed: bool = False
    is_gone: bool = False
    is_under_way: bool = False
    paths: frozenset[str] | None = None


class MachineWorker:
    """Converges machines, one visit at a time."""

    def __init__(
        self,
        host: Host,
        store: Store,
        observer: Observer,
        timers: Timers,
        recorder: Recorder,
        guests: GuestWatch,
        wellbeing: Wellbeing,
    ) -> None:
        self.glances = Glances(host.index, store, host.clock)
        self._host = host
        self._store = store
        self._observer = observer
        self._timers = timers
        self._recorder = recorder
        self._guests = guests
        self._wellbeing = wellbeing
        self._operations = Operations(host.hypervisor, store, recorder)

    def visit(self, stored: StoredObject) -> Visit:
        """One visit. Raises nothing but bugs."""
        resource = stored.resource
        try:
            return self._converge(stored, resource)
        except XvirtError as error:
            self._report_unseen(stored, error)
            return Visit(has_failed=True)

    def preview(self, stored: StoredObject) -> tuple[Plan, MachineObservation]:
        """The plan for a document that may not be stored yet; no effect."""
        resource = stored.resource
        observed = self._observer.machine(stored, resource)
        return plan_machine(
            MachineDesired(stored=stored, resource=resource, settings=self._host.settings), observed
        ), observed

    def preview_stored(self, stored: StoredObject) -> Plan:
        """The plan for a document that was just stored; what was seen is kept for the visit that is about to come."""
        moment = self.glances.moment()
        plan, observed = self.preview(stored)
        if not plan.waiting and not plan.blocked:
            self.glances.keep(stored, observed, moment)
        return plan

    def _converge(self, stored: StoredObject, resource: Resource) -> Visit:
        previous: tuple[Step, ...] = ()
        glance = self.glances.take(stored)
        for _ in range(ROUNDS_MAX):
            observed, glance = glance or self._observer.machine(stored, resource), None
            stored = self._wellbeing.judge(stored, observed)
            stored = self._note(stored, resource, observed)  # last: a failure's end is not taken for the guest's wish
            observed = self._with_timers(stored.uid, observed)
            desired = MachineDesired(stored=stored, resource=resource, settings=self._host.settings)
            plan = self._plan(desired, observed)
            if plan.is_gone:
                self._recorder.tell_kept(stored, plan.kept)
                return Visit(is_gone=True)
            if self._wants_restart(desired, observed, plan):
                stored = self._begin_restart(stored, observed)
                continue
            if not plan.steps or plan.steps == previous:
                return self._settle(desired, observed, plan, None)
            if not is_stalled(stored):  # else each try would flip the conditions
                self._report(desired, observed, plan, None)
            error = self._run(stored, plan.steps)
            stored = self._store.find(stored.uid) or stored
            if error is not None:
                desired = dataclasses.replace(desired, stored=stored)
                return self._settle(desired, self._observer.machine(stored, resource), plan, error)
            previous = plan.steps
        return self._settle(desired, observed, plan, None)

    def _plan(self, desired: MachineDesired, observed: MachineObservation) -> Plan:
        if desired.stored.deletion is not Deletion.NONE:
            return plan_machine_removal(desired, observed)
        return plan_machine(desired, observed)

    def _with_timers(self, uid: str, observed: MachineObservation) -> MachineObservation:
        return dataclasses.replace(
            observed,
            stop=self._timers.stop(uid),
            off_elapsed_s=self._timers.off_elapsed_s(uid),
            detaches=self._timers.detaches(uid),
        )

    # what an observation teaches

    def _note(self, stored: StoredObject, resource: Resource, observed: MachineObservation) -> StoredObject:
        is_active = observed.domain is not None and observed.domain.is_active
        self._timers.note_power(stored.uid, is_active=is_active)
        spec: VirtualMachineSpec = resource.spec
        is_stopping = decide_power(spec.run_strategy, stored.run, observed.domain).goal is PowerGoal.OFF
        if not is_stopping and stored.deletion is Deletion.NONE:
            self._timers.drop_stop(stored.uid)
        if observed.live is not None:
            present = frozenset(
                [disk.alias for disk in observed.live.facts.disks] + [nic.alias for nic in observed.live.facts.nics]
            )
            self._timers.keep_detaches(stored.uid, present)
        is_stable = self._timers.running_elapsed_s(stored.uid) >= STABLE_RUN_S

        def learn(run: RunRecord) -> RunRecord:
            return _learn(run, spec, observed, is_stable=is_stable)

        run = self._store.update_run(stored.uid, learn)
        return dataclasses.replace(stored, run=run)

    def _wants_restart(self, desired: MachineDesired, observed: MachineObservation, plan: Plan) -> bool:
        run = desired.stored.run
        return (
            bool(plan.restart_required)
            and desired.spec.update_policy is UpdatePolicy.RESTART
            and not plan.steps
            and not plan.blocked
            and not plan.waiting
            and run.restart_from is None
            and not run.is_held_off
            and observed.domain is not None
            and observed.domain.is_active
        )

    def _begin_restart(self, stored: StoredObject, observed: MachineObservation) -> StoredObject:
        domain_id = observed.domain.domain_id if observed.domain else None
        self._recorder.tell(
            stored, EventType.NORMAL, "Restarting", "updatePolicy Restart: restarting for waiting fields"
        )
        run = self._store.update_run(stored.uid, lambda run: dataclasses.replace(run, restart_from=domain_id))
        return dataclasses.replace(stored, run=run)

    # steps

    def _run(self, stored: StoredObject, steps: tuple[Step, ...]) -> XvirtError | None:
        self._store.begin_steps(stored.uid, [step.name for step in steps], self._recorder.now())
        for step in steps:
            self._before(stored.uid, step)
            try:
                found = run_step(step, self._host, lambda percent: None)
            except XvirtError as error:
                self._operations.fail_start(stored, step, error)
                return error
            self._after(stored, step, found)
        self._store.end_steps(stored.uid)
        return None

    def _before(self, uid: str, step: Step) -> None:
        if isinstance(step, DefineDomain):
            # A crash between define and its record must not look like drift.
            self._store.update_run(uid, lambda run: dataclasses.replace(run, defined_hash="", defined_xml=""))
        if isinstance(step, ShutdownDomain):
            self._timers.note_stop(uid)
        if isinstance(step, DetachDevice):
            self._timers.note_detach(uid, step.alias)

    def _after(self, stored: StoredObject, step: Step, found: str) -> None:
        uid = stored.uid
        if isinstance(step, DefineDomain | MarkDomain):
            defined = unpack(found)
            digest = definition_hash(defined) if defined is not None else ""
            self._store.update_run(uid, lambda run: dataclasses.replace(run, defined_hash=digest, defined_xml=found))
        elif isinstance(step, StartDomain):
            restarts = 1 if step.is_automatic else 0
            self._store.update_run(uid, lambda run: _started(run, restarts))
            self._guests.poll_soon(uid)
        elif isinstance(step, DeleteVolume):
            entry = (step.path, step.format)
            self._store.update_run(
                uid, lambda run: dataclasses.replace(run, garbage=tuple(item for item in run.garbage if item != entry))
            )
        self._recorder.tell(stored, EventType.NORMAL, _event_reason(step), step.summary)

    # what is reported

    def _settle(
        self, desired: MachineDesired, observed: MachineObservation, plan: Plan, error: XvirtError | None
    ) -> Visit:
        uid = desired.stored.uid
        observed = self._with_timers(uid, observed)
        is_active = observed.domain is not None and observed.domain.is_active
        is_agent_connected = observed.live is not None and observed.live.facts.is_agent_connected
        self._guests.follow(
            uid,
            is_active=is_active,
            is_agent_connected=is_agent_connected,
            wants_version=desired.spec.asks_by_command,
        )
        self._wellbeing.follow(desired, observed)
        self._operations.settle(desired.stored, observed.domain, error)  # first: who sees the state sees the act's end
        self._report(desired, observed, plan, error)
        if error is None:
            self._learn_definition(desired.stored, observed, plan)
        paths = _paths(observed)
        if error is not None:
            self._recorder.fail(desired.stored, error)
            return Visit(has_failed=True, paths=paths)
        if plan.waiting or plan.blocked:
            return Visit(again_s=plan.check_after_s, has_failed=plan.check_after_s is None, paths=paths)
        return Visit(again_s=plan.check_after_s or (RESYNC_RUNNING_S if is_active else None), paths=paths)

    def _learn_definition(self, stored: StoredObject, observed: MachineObservation, plan: Plan) -> None:
        """Of a machine that is as declared, where nobody knows its definition's hash: what is changed from now on is drift."""
        is_open = plan.steps or plan.waiting or plan.blocked or plan.drift
        if observed.config is not None and not stored.run.defined_hash and not is_open:
            found = observed.config_hash
            self._store.update_run(stored.uid, lambda run: dataclasses.replace(run, defined_hash=found))

    def _report(
        self, desired: MachineDesired, observed: MachineObservation, plan: Plan, error: XvirtError | None
    ) -> None:
        stored = self._store.find(desired.stored.uid)
        if stored is None:
            return
        old = self._recorder.old_status(stored)
        guest = self._guests.facts(stored.uid)
        if guest.agent is AgentState.UNASKED:  # the plugin has just come: what the agent told its predecessor
            guest = dataclasses.replace(guest, told=old.guest)
        guest = dataclasses.replace(guest, readiness=self._wellbeing.readiness(desired, observed))
        status = machine_status(desired, observed, plan, error, guest)
        now = self._recorder.now()
        status = dataclasses.replace(
            status,
            conditions=keep_times(status.conditions, old.conditions, now),
            last_error=last_error(error, old.last_error, now),
        )
        self._recorder.write_status(stored, status)

    def _report_unseen(self, stored: StoredObject, error: XvirtError) -> None:
        """The host could not be asked: what was known stays, marked as unknown."""
        current = self._store.find(stored.uid)
        if current is None:
            return
        old = self._recorder.old_status(current)
        now = self._recorder.now()
        verdict = judge_failure(error, "Unknown")
        conditions = base_conditions(verdict, current.generation)
        rest = tuple(item for item in old.conditions if item.type not in {new.type for new in conditions})
        status = dataclasses.replace(
            old,
            printable_status=verdict.word,
            power_state=PowerState.UNKNOWN,
            node_name=self._host.settings.node_name,
            conditions=(*keep_times(conditions, old.conditions, now), *rest),
            last_error=last_error(error, old.last_error, now),
        )
        if self._recorder.write_status(current, status):
            self._recorder.fail(current, error)

    def guest_facts(self, uid: str) -> GuestFacts:
        """What the guest told last."""
        return self._guests.facts(uid)


def _paths(observed: MachineObservation) -> frozenset[str]:
    definitions = [item for item in (observed.config, observed.live) if item is not None]
    return frozenset(disk.path for item in definitions for disk in item.facts.disks if disk.path)


def _learn(run: RunRecord, spec: VirtualMachineSpec, observed: MachineObservation, *, is_stable: bool) -> RunRecord:
    domain = observed.domain
    if domain is not None and domain.is_active:
        is_new = run.restart_from is not None and domain.domain_id != run.restart_from
        return dataclasses.replace(
            run,
            has_started=True,
            is_start_requested=run.is_start_requested and run.restart_from is not None and not is_new,
            restart_from=None if is_new else run.restart_from,
            restarts=0 if is_stable else run.restarts,
            ready_in=run.ready_in if run.ready_in == domain.domain_id else None,
            failed_in=run.failed_in if run.failed_in == domain.domain_id else None,
        )
    if run.is_save_requested:
        return dataclasses.replace(run, is_save_requested=False, is_held_off=True, is_paused=False)
    is_finished = spec.run_strategy is RunStrategy.RERUN_ON_FAILURE and run.has_started and is_guest_shutdown(domain)
    is_own_doing = (
        run.is_start_requested or run.restart_from is not None or run.is_held_off or run.failed_in is not None
    )
    return dataclasses.replace(
        run,
        is_finished=run.is_finished or (is_finished and not is_own_doing),
        is_paused=False,
        ready_in=None,
        stop_grace_s=run.stop_grace_s if run.is_held_off else None,
    )


def _started(run: RunRecord, restarts: int) -> RunRecord:
    return dataclasses.replace(
        run,
        has_started=True,
        is_start_requested=False,
        is_finished=False,
        restart_from=None,
        failed_in=None,
        stop_grace_s=None,
        restarts=run.restarts + restarts,
    )


def is_stalled(stored: StoredObject) -> bool:
    """Whether the status says that this generation failed."""
    status = stored.status
    if status.get("observedGeneration") != stored.generation:
        return False
    return any(item["type"] == "Stalled" and item["status"] == "True" for item in status.get("conditions", ()))


def _event_reason(step: Step) -> str:
    return "".join(part.capitalize() for part in step.name.split("-"))
