"""Whether guests are well, and what follows: readiness goes into status, a failed liveness probe ends the machine, a watchdog that
expired is told.

Probes are asked by threads of their own (`nodeplugin.probes`), watchdogs are heard of on libvirt's event thread; both only note and wake.
What follows is decided here, in the machine's own worker, from what it has just observed.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable

from nodeplugin.converge.guest import GuestWatch
from nodeplugin.converge.host import Host
from nodeplugin.converge.recorder import Recorder
from nodeplugin.hypervisor.port import DomainRecord, DomainState, EventKind, HypervisorEvent
from nodeplugin.plan.intent import MachineDesired
from nodeplugin.plan.observation import MachineObservation
from nodeplugin.plan.probe import Health, ProbeKind, Readiness, Tally
from nodeplugin.probes.ask import Asker, Card
from nodeplugin.probes.watch import Asked, Probes, ProbeWatch
from nodeplugin.records import Deletion, RunRecord, StoredObject
from nodeplugin.store import Store
from xvirt.model.errors import XvirtError
from xvirt.model.exchange import EventType
from xvirt.model.virtualmachine import VirtualMachineSpec

ENDING_ACTIONS = frozenset({"poweroff", "shutdown"})
"""Of a watchdog: with these the machine is to end, and has failed."""
_ENDED_BY_ITSELF = 0


class Wellbeing:
    """Probes and watchdogs of all machines."""

    def __init__(
        self, host: Host, store: Store, recorder: Recorder, guests: GuestWatch, wake: Callable[[str], None]
    ) -> None:
        self._hypervisor = host.hypervisor
        self._store = store
        self._recorder = recorder
        asker = Asker(host.hypervisor, host.clock, lambda uid: guests.facts(uid).addresses)
        self.probes = ProbeWatch(asker.ask, host.clock, wake)
        self._lock = threading.Lock()
        self._expired: dict[str, str] = {}
        """Machines whose watchdog expired, and what it did, until their worker looks."""

    def start(self) -> None:
        """Start asking."""
        self.probes.start()

    def stop(self) -> None:
        """Stop asking."""
        self.probes.stop()

    def forget(self, uid: str) -> None:
        """The machine is gone."""
        self.probes.follow(uid, None)
        with self._lock:
            self._expired.pop(uid, None)

    def hear(self, event: HypervisorEvent) -> None:
        """On libvirt's event thread: note only."""
        if event.kind is EventKind.REBOOT:
            self.probes.begin_anew(event.subject)
        elif event.kind is EventKind.WATCHDOG:
            with self._lock:
                self._expired[event.subject] = event.detail

    # in the machine's worker

    def follow(self, desired: MachineDesired, observed: MachineObservation) -> None:
        """Who is to be asked, and where."""
        domain, spec = observed.domain, desired.spec
        probes: Probes = {}
        if spec.readiness_probe is not None:
            probes[ProbeKind.READINESS] = spec.readiness_probe
        if spec.liveness_probe is not None:
            probes[ProbeKind.LIVENESS] = spec.liveness_probe
        asked = None
        is_kept = desired.stored.deletion is Deletion.NONE and desired.stored.run.failed_in is None
        if probes and is_kept and domain is not None and _is_running(domain) and domain.domain_id is not None:
            asked = Asked(domain_id=domain.domain_id, probes=probes, cards=_cards(spec, observed))
        self.probes.follow(desired.stored.uid, asked)

    def judge(self, stored: StoredObject, observed: MachineObservation) -> StoredObject:
        """What answers and watchdogs said since the last look goes into the run record, and is told."""
        run = self._hear_watchdog(stored, observed, stored.run)
        domain = observed.domain
        if domain is not None and domain.domain_id is not None and _is_running(domain):
            run = self._judge_readiness(stored, domain.domain_id, run)
            run = self._judge_liveness(stored, domain, run)
        if run == stored.run:
            return stored
        kept = self._store.update_run(
            stored.uid,
            lambda newest: dataclasses.replace(
                newest, ready_in=run.ready_in, failed_in=run.failed_in, stop_grace_s=run.stop_grace_s
            ),
        )
        return dataclasses.replace(stored, run=kept)

    def readiness(self, desired: MachineDesired, observed: MachineObservation) -> Readiness | None:
        """For the status: what the probe says; while a plugin that has just come knows nothing yet, what its predecessor knew."""
        domain = observed.domain
        if desired.spec.readiness_probe is None or domain is None or not _is_running(domain):
            return None
        tally = self._tally(desired.stored.uid, ProbeKind.READINESS, domain)
        if tally.health is Health.UNKNOWN and desired.stored.run.ready_in == domain.domain_id:
            return Readiness(Health.PASSING)
        return Readiness(tally.health, tally.message)

    def _tally(self, uid: str, kind: ProbeKind, domain: DomainRecord) -> Tally:
        found = self.probes.tally(uid, kind, domain.domain_id) if domain.domain_id is not None else None
        return found if found is not None else Tally()

    def _judge_readiness(self, stored: StoredObject, domain_id: int, run: RunRecord) -> RunRecord:
        tally = self.probes.tally(stored.uid, ProbeKind.READINESS, domain_id)
        was_ready = run.ready_in == domain_id
        if tally is None or tally.health is Health.UNKNOWN or was_ready is (tally.health is Health.PASSING):
            return run
        if was_ready:
            self._recorder.tell(stored, EventType.WARNING, "ReadinessProbeFailed", tally.message)
            return dataclasses.replace(run, ready_in=None)
        self._recorder.tell(stored, EventType.NORMAL, "ReadinessProbePassed", "the guest is ready")
        return dataclasses.replace(run, ready_in=domain_id)

    def _judge_liveness(self, stored: StoredObject, domain: DomainRecord, run: RunRecord) -> RunRecord:
        tally = self._tally(stored.uid, ProbeKind.LIVENESS, domain)
        is_busy = run.is_held_off or run.is_save_requested or run.is_paused or run.restart_from is not None
        is_kept = stored.deletion is Deletion.NONE and run.failed_in is None
        if tally.health is not Health.FAILING or is_busy or not is_kept or self._has_job(domain.uuid):
            return run
        spec: VirtualMachineSpec = stored.resource.spec
        grace_s = spec.liveness_probe.termination_grace_period_seconds if spec.liveness_probe is not None else None
        message = (
            f"{tally.message}; shutting the machine down, runStrategy {spec.run_strategy.value} decides what comes next"
        )
        self._recorder.tell(stored, EventType.WARNING, "LivenessProbeFailed", message)
        return dataclasses.replace(run, failed_in=domain.domain_id, stop_grace_s=grace_s)

    def _has_job(self, uuid: str) -> bool:
        """A domain that is being saved or migrated is left alone; so is one whose QEMU does not say."""
        try:
            return self._hypervisor.save_progress_percent(uuid) is not None
        except XvirtError:
            return True

    def _hear_watchdog(self, stored: StoredObject, observed: MachineObservation, run: RunRecord) -> RunRecord:
        with self._lock:
            action = self._expired.pop(stored.uid, None)
        if action is None:
            return run
        message = f"the guest did not feed its watchdog, whose action is {action}"
        self._recorder.tell(stored, EventType.WARNING, "WatchdogExpired", message)
        is_asked_for = run.is_held_off or run.restart_from is not None or stored.deletion is not Deletion.NONE
        if action not in ENDING_ACTIONS or is_asked_for:
            return run
        domain = observed.domain
        is_active = domain is not None and domain.is_active
        domain_id = domain.domain_id if is_active and domain is not None else None
        return dataclasses.replace(run, failed_in=_ENDED_BY_ITSELF if domain_id is None else domain_id)


def _is_running(domain: DomainRecord) -> bool:
    return domain.is_active and domain.state in (DomainState.RUNNING, DomainState.BLOCKED)


def _cards(spec: VirtualMachineSpec, observed: MachineObservation) -> tuple[Card, ...]:
    """In the order in which they are declared."""
    order = {nic.name: number for number, nic in enumerate(spec.nics)}
    facts = observed.live.facts.nics if observed.live is not None else ()
    cards = [Card(nic.name, nic.mac, nic.bridge or "") for nic in facts if nic.name in order]
    return tuple(sorted(cards, key=lambda card: order[card.name]))
