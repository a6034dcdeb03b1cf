"""Status from what was seen: for people and for kstatus (DESIGN law 10). Stopped as asked is Ready; failure is Stalled.

Ready        True: as declared. False: not (yet), with the reason. Unknown: the host or domain cannot be asked.
Reconciling  True: xVirt works on it, or waits for something that will come.
Stalled      True: somebody must change something; the message says what.
"""

from __future__ import annotations

import dataclasses

from nodeplugin.hypervisor.port import DomainRecord, DomainState, VolumeFacts
from nodeplugin.plan.confinement import confinement
from nodeplugin.plan.guest import AgentState, GuestFacts
from nodeplugin.plan.intent import MachineDesired
from nodeplugin.plan.observation import MachineObservation
from nodeplugin.plan.outcome import Obstacle, Plan
from nodeplugin.plan.power import PowerGoal, decide_power
from nodeplugin.plan.probe import Health, Readiness
from nodeplugin.plan.storage import find_seen, inline_owner
from nodeplugin.records import Deletion
from xvirt.domainxml.facts import DiskFacts, DomainFacts
from xvirt.model.errors import RetryLater, Unavailable, XvirtError
from xvirt.model.machine.disk import DiskDevice, DiskStatus, TrayState
from xvirt.model.machine.nic import AddressSource, NicAddress, NicStatus
from xvirt.model.machine.status import PowerState, VirtualMachineStatus
from xvirt.model.meta import Condition, ConditionStatus, ConditionType, LastError
from xvirt.model.quantity import ByteSize

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the conditions Ready, Reconciling and Stalled say; `word` is for the STATUS column."""

    ready: ConditionStatus
    reason: str
    message: str
    is_reconciling: bool
    is_stalled: bool
    word: str


def judge_failure(error: XvirtError, word: str) -> Verdict:
    """A step or an observation failed."""
    if isinstance(error, Unavailable):
        return Verdict(UNKNOWN, error.reason, error.message, True, False, "Unknown")
    if isinstance(error, RetryLater):
        return Verdict(FALSE, error.reason, error.message, True, False, word)
    return Verdict(FALSE, error.reason, error.message, False, True, "Failed")


def judge_plan(plan: Plan, ready_word: str, busy_word: str) -> Verdict:
    """No failure: blocked, waiting, still to be done, or as declared."""
    if plan.blocked:
        first = plan.blocked[0]
        return Verdict(FALSE, first.reason, _join(plan.blocked), False, True, first.reason)
    if plan.waiting:
        first = plan.waiting[0]
        return Verdict(FALSE, first.reason, _join(plan.waiting), True, False, first.reason)
    if plan.steps:
        message = plan.steps[0].summary
        return Verdict(FALSE, "Progressing", message, True, False, busy_word)
    return Verdict(TRUE, ready_word, "", False, False, ready_word)


def _join(obstacles: tuple[Obstacle, ...]) -> str:
    return "; ".join(dict.fromkeys(item.message for item in obstacles))


def base_conditions(verdict: Verdict, generation: int) -> tuple[Condition, ...]:
    """Ready, Reconciling and Stalled."""
    reconciling = TRUE if verdict.is_reconciling else FALSE
    stalled = TRUE if verdict.is_stalled else FALSE
    reason = verdict.reason
    return (
        condition(ConditionType.READY, verdict.ready, reason, verdict.message, generation),
        condition(
            ConditionType.RECONCILING,
            reconciling,
            reason if verdict.is_reconciling else "Settled",
            verdict.message if verdict.is_reconciling else "",
            generation,
        ),
        condition(
            ConditionType.STALLED,
            stalled,
            reason if verdict.is_stalled else "NotStalled",
            verdict.message if verdict.is_stalled else "",
            generation,
        ),
    )


def condition(kind: ConditionType, status: ConditionStatus, reason: str, message: str, generation: int) -> Condition:
    """A condition without its time, which `keep_times` adds."""
    return Condition(type=kind, status=status, reason=reason, message=message[:4096], observed_generation=generation)


def keep_times(new: tuple[Condition, ...], old: tuple[Condition, ...], now: str) -> tuple[Condition, ...]:
    """`lastTransitionTime` moves only where `status` changes."""
    known = {item.type: item for item in old}
    return tuple(
        dataclasses.replace(
            item,
            last_transition_time=known[item.type].last_transition_time
            if item.type in known and known[item.type].status is item.status
            else now,
        )
        for item in new
    )


def last_error(error: XvirtError | None, old: LastError | None, now: str) -> LastError | None:
    """The error as status has it; its time stays where it is the same again."""
    if error is None:
        return None
    new = LastError(reason=error.reason, message=error.message[:4096], libvirt_code=error.libvirt_code, time=now)
    if old is not None and dataclasses.replace(new, time=old.time) == old:
        return old
    return new


# machines


def machine_status(
    desired: MachineDesired, observed: MachineObservation, plan: Plan, error: XvirtError | None, guest: GuestFacts
) -> VirtualMachineStatus:
    """A machine's status, without times."""
    generation = desired.stored.generation
    power, reason = power_state(observed)
    definition = observed.live or observed.config
    facts = definition.facts if definition else None
    verdict = _judge_machine(desired, observed, plan, error, guest)
    conditions = (
        *base_conditions(verdict, generation),
        *_extra_conditions(desired, observed, plan, guest),
    )
    return VirtualMachineStatus(
        observed_generation=generation,
        printable_status=verdict.word,
        power_state=power,
        power_reason=reason,
        uuid=desired.stored.uid,
        domain_name=observed.domain.name if observed.domain else "",
        node_name=desired.settings.node_name,
        cpus=facts.vcpus if facts else 0,
        memory=ByteSize(_memory_now(facts)) if facts else None,
        restart_required=plan.restart_required,
        drift=plan.drift,
        interfaces=_interfaces(facts, guest) if facts else (),
        disks=_disks(facts, observed) if facts else _expected_disks(desired),
        guest=guest.told if observed.live and observed.live.facts.is_agent_connected else None,
        restart_count=desired.stored.run.restarts,
        conditions=conditions,
    )


def _memory_now(facts: DomainFacts) -> int:
    if facts.memory_device is not None:
        return facts.memory_bytes - facts.memory_device.size_bytes + facts.memory_device.current_bytes
    return facts.current_memory_bytes


def power_state(observed: MachineObservation) -> tuple[PowerState, str]:
    """What the domain does, and why."""
    domain = observed.domain
    if domain is None:
        return PowerState.NOT_DEFINED, ""
    if domain.is_active and observed.stop is not None:
        return PowerState.STOPPING, domain.reason
    return _POWER.get(domain.state, PowerState.UNKNOWN) if not _is_saved(domain) else PowerState.SAVED, domain.reason


_POWER = {
    DomainState.RUNNING: PowerState.RUNNING,
    DomainState.BLOCKED: PowerState.RUNNING,
    DomainState.PAUSED: PowerState.PAUSED,
    DomainState.PM_SUSPENDED: PowerState.PAUSED,
    DomainState.SHUTDOWN: PowerState.STOPPING,
    DomainState.SHUTOFF: PowerState.STOPPED,
    DomainState.CRASHED: PowerState.CRASHED,
}


def _is_saved(domain: DomainRecord) -> bool:
    return not domain.is_active and domain.has_managed_save


def _judge_machine(
    desired: MachineDesired, observed: MachineObservation, plan: Plan, error: XvirtError | None, guest: GuestFacts
) -> Verdict:
    is_active = observed.domain is not None and observed.domain.is_active
    if desired.stored.deletion is not Deletion.NONE:
        word = "Terminating"
        if error is not None:
            return judge_failure(error, word)
        message = plan.waiting[0].message if plan.waiting else "the machine is being deleted"
        return Verdict(FALSE, "Terminating", message, True, False, word)
    if error is not None:
        return judge_failure(error, "Failed")
    if is_active and not guest.is_responding:
        message = "QEMU does not answer its monitor; look at the process on the host"
        return Verdict(UNKNOWN, "NotResponding", message, True, False, "NotResponding")
    goal = decide_power(desired.spec.run_strategy, desired.stored.run, observed.domain).goal
    state = power_state(observed)[0]
    busy = "Stopping" if goal is PowerGoal.OFF else "Starting" if not is_active else "Updating"
    return _judge_readiness(judge_plan(plan, state.value, busy), guest.readiness)


def _judge_readiness(verdict: Verdict, readiness: Readiness | None) -> Verdict:
    """A machine that is as declared is ready once its guest is, where a probe asks that."""
    if verdict.ready is not TRUE or readiness is None or readiness.health is Health.PASSING:
        return verdict
    if readiness.health is Health.UNKNOWN:
        message = readiness.message or "the guest has not answered its readinessProbe yet"
        return Verdict(FALSE, "ReadinessProbePending", message, True, False, "NotReady")
    return Verdict(FALSE, "ReadinessProbeFailed", readiness.message, False, False, "NotReady")


def _extra_conditions(
    desired: MachineDesired, observed: MachineObservation, plan: Plan, guest: GuestFacts
) -> tuple[Condition, ...]:
    generation = desired.stored.generation
    waits = ", ".join(plan.restart_required)
    restart = condition(
        ConditionType.RESTART_REQUIRED,
        TRUE if waits else FALSE,
        "FieldsWait" if waits else "UpToDate",
        f"{waits} will change at the next start; `xvirt restart vm {desired.stored.name}` restarts now"
        if waits
        else "",
        generation,
    )
    facts = observed.live.facts if observed.live else None
    agent = _agent_condition(facts is not None and facts.is_agent_connected, guest, generation)
    conditions = [restart, agent]
    if facts is not None:
        conditions.append(confinement(facts, generation))
    if plan.drift:
        message = "; ".join(plan.drift)
        conditions.append(condition(ConditionType.DRIFTED, TRUE, "ChangedByHand", message, generation))
    if desired.settings.domain_type == "qemu":
        message = "the host runs guests without KVM: this is slow"
        conditions.append(condition(ConditionType.ACCELERATED, FALSE, "SoftwareEmulation", message, generation))
    return tuple(conditions)


def _agent_condition(is_connected: bool, guest: GuestFacts, generation: int) -> Condition:
    if not is_connected:
        return condition(ConditionType.AGENT_CONNECTED, FALSE, "NotConnected", "", generation)
    if guest.agent is AgentState.SILENT:
        message = f"the guest's agent does not answer ({guest.silence}); restart qemu-guest-agent in the guest"
        return condition(ConditionType.AGENT_CONNECTED, FALSE, "NotResponding", message, generation)
    version = guest.told.agent_version if guest.told is not None else ""
    message = f"version {version}" if version else ""
    return condition(ConditionType.AGENT_CONNECTED, TRUE, "Connected", message, generation)


def _interfaces(facts: DomainFacts, guest: GuestFacts) -> tuple[NicStatus, ...]:
    return tuple(
        NicStatus(
            name=nic.name,
            mac=nic.mac.lower(),
            network=nic.network or nic.bridge or "",
            device=nic.target or "",
            addresses=tuple(
                NicAddress(address=item.address, prefix=item.prefix, source=AddressSource(item.source))
                for item in guest.addresses
                if item.mac.lower() == nic.mac.lower()
            ),
        )
        for nic in facts.nics
    )


def _disks(facts: DomainFacts, observed: MachineObservation) -> tuple[DiskStatus, ...]:
    def size(path: str | None) -> ByteSize | None:
        volume: VolumeFacts | None = observed.volumes.get(path or "")
        return ByteSize(volume.capacity_bytes) if volume else None

    return tuple(
        DiskStatus(
            name=disk.name,
            target=disk.target,
            device=DiskDevice.CDROM if disk.device == "cdrom" else DiskDevice.DISK,
            path=disk.path or "",
            tray=_tray(disk, observed),
            size=size(disk.path),
        )
        for disk in facts.disks
    )


def _expected_disks(desired: MachineDesired) -> tuple[DiskStatus, ...]:
    """Of a machine that this host had forgotten and that is not defined yet: who forgot once may forget again, and it is the status that
    remembers which volumes there were."""
    inline = [disk for disk in desired.spec.disks if disk.is_inline]
    paths = [find_seen(inline_owner(desired.resource, disk), desired.stored.run.expected) for disk in inline]
    return tuple(
        DiskStatus(name=disk.name, path=path) for disk, path in zip(inline, paths, strict=True) if path is not None
    )


def _tray(disk: DiskFacts, observed: MachineObservation) -> TrayState | None:
    if disk.device != "cdrom" or observed.live is None:
        return None
    return TrayState.OPEN if disk.has_open_tray else TrayState.CLOSED
