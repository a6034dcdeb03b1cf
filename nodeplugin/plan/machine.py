"""A VirtualMachine: from its document and its host to steps.

The definition always follows the document by redefinition of the whole; a running domain follows by live changes where libvirt
can, and otherwise names the fields that wait for a restart. What is in the way of the newest document never stops the machine
that is already defined: it runs on, and restarts, as it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from lxml import etree

from nodeplugin.hypervisor.port import DomainState, ShutdownMode
from nodeplugin.plan.devices import DETACH_ATTEMPTS, DETACH_REPEAT_S, DeviceChanges, plan_devices
from nodeplugin.plan.intent import Intent, MachineDesired, build_intent
from nodeplugin.plan.observation import MachineObservation
from nodeplugin.plan.outcome import Obstacle, Plan
from nodeplugin.plan.power import PowerDecision, PowerGoal, backoff_s, decide_power
from nodeplugin.plan.running import is_resized_by_hand, note_running, restart_fields
from nodeplugin.plan.seed import plan_stale_seeds
from nodeplugin.plan.sizing import plan_memory, plan_vcpus
from nodeplugin.plan.step import (
    DefineDomain,
    DeleteVolume,
    DestroyDomain,
    DetachDevice,
    GrowVolume,
    MarkDomain,
    ResumeDomain,
    SaveDomain,
    ShutdownDomain,
    StartDomain,
    Step,
    SuspendDomain,
)
from xvirt.domainxml.compare import lost
from xvirt.domainxml.drift import changes_by_hand, unpack
from xvirt.domainxml.mark import is_same_but_mark, mark_of
from xvirt.domainxml.tree import to_text
from xvirt.model.machine.disk import DiskDevice
from xvirt.model.virtualmachine import DriftPolicy

DRIFT_TOLD_MAX = 8
"""Places that were changed by hand and are named; the rest is counted."""
SHUTDOWN_REPEAT_S = 10.0
"""A guest that is still booting misses the power button; it is pressed again after this long."""


def plan_machine(desired: MachineDesired, observed: MachineObservation) -> Plan:
    """Steps to the declared state, or to a better understanding of what is in the way."""
    intent = build_intent(desired, observed)
    blocked = _find_conflicts(desired, observed, intent)
    obstacles = (*intent.obstacles, *blocked)
    decision = decide_power(desired.spec.run_strategy, desired.stored.run, observed.domain)
    waiting = tuple(item for item in intent.obstacles if not _needs_a_person(item))
    stuck = (*blocked, *(item for item in intent.obstacles if _needs_a_person(item)))
    config = _plan_definition(desired, observed, intent) if not obstacles else _Definition()
    power = _plan_power(desired, observed, decision, can_start=not obstacles or _is_defined(observed))
    live = _plan_live(desired, observed, intent, decision) if not obstacles else _Live()
    return Plan(
        steps=(*config.steps, *live.steps, *power.steps, *_plan_garbage(desired, observed, intent, bool(obstacles))),
        waiting=(*waiting, *live.waiting, *power.waiting),
        blocked=stuck,
        restart_required=live.restart_required,
        drift=(*config.drift, *live.drift, *power.drift),
        check_after_s=_soonest(live.check_after_s, power.check_after_s),
    )


_PERSONAL = frozenset(
    {
        "SizeTooSmall",
        "ShrinkRefused",
        "FormatNotRaw",
        "NameTooLong",
        "VolumeLost",
        "InvalidSpec",
        "OverlayConflict",
        "SecretMissing",
        "SecretInvalid",
    }
)


def _needs_a_person(obstacle: Obstacle) -> bool:
    return obstacle.reason in _PERSONAL


def _is_defined(observed: MachineObservation) -> bool:
    return observed.config is not None and observed.config.facts.mark is not None


def _soonest(*times: float | None) -> float | None:
    known = [item for item in times if item is not None]
    return min(known) if known else None


def _find_conflicts(desired: MachineDesired, observed: MachineObservation, intent: Intent) -> tuple[Obstacle, ...]:
    found = []
    name = desired.domain_name
    if observed.name_holder is not None:
        message = f"domain {name} exists with UUID {observed.name_holder} and is not ours; rename one of the two"
        found.append(Obstacle("NameTaken", message))
    if observed.domain is not None and observed.domain.name != name:
        other = observed.domain.name
        message = f"somebody renamed domain {name} to {other}; rename it back: virsh domrename {other} {name}"
        found.append(Obstacle("Renamed", message))
    if intent.root is None:
        return tuple(found)
    for mac in (element.get("address", "") for element in intent.root.iterfind("devices/interface/mac")):
        if holder := observed.host_use.macs.get(mac.lower()):
            found.append(Obstacle("DuplicateMac", f"MAC {mac} belongs to domain {holder}; give one of the two another"))
    read_only = {disk.name for disk in desired.spec.disks if disk.read_only or disk.device is DiskDevice.CDROM}
    for disk, backing in intent.disks.items():
        users = (observed.host_use.writable_paths if disk in read_only else observed.host_use.paths).get(backing.path)
        if users:
            message = f"disk {disk}: volume {backing.path} is in use by {', '.join(users)}; one writer at a time"
            found.append(Obstacle("DiskInUse", message))
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class _Definition:
    steps: tuple[Step, ...] = ()
    drift: tuple[str, ...] = ()


def _plan_definition(desired: MachineDesired, observed: MachineObservation, intent: Intent) -> _Definition:
    is_active = observed.live is not None
    steps: list[Step] = []
    for plan in intent.volumes.values():
        steps += [
            step for step in plan.steps if not (is_active and isinstance(step, GrowVolume) and not step.is_device)
        ]
    if intent.seed is not None and intent.seed.path not in observed.seeds:
        steps.append(intent.seed)
    drifted = _find_drift(desired, observed, intent)
    is_corrected = bool(drifted) and desired.spec.drift_policy is DriftPolicy.CORRECT
    if intent.root is not None and (not _is_current(observed, intent) or is_corrected):
        steps.append(_define_or_mark(desired, observed, intent.root))
    steps += plan_stale_seeds(desired.stored.uid, observed, intent.seed_path) if intent.root is not None else ()
    return _Definition(tuple(steps), drifted)


def _define_or_mark(desired: MachineDesired, observed: MachineObservation, root: etree._Element) -> Step:
    """A domain that is being adopted, and is already what is declared, gets the mark alone."""
    uuid, name = desired.stored.uid, desired.domain_name
    config = observed.config
    element = mark_of(root)
    if config is not None and config.facts.mark is None and element is not None and is_same_but_mark(root, config.root):
        return MarkDomain(uuid=uuid, xml=to_text(element), domain_name=name)
    return DefineDomain(uuid=uuid, xml=to_text(root), domain_name=name)


def _is_current(observed: MachineObservation, intent: Intent) -> bool:
    mark = observed.config.facts.mark if observed.config else None
    if mark is None or intent.mark is None:
        return False
    return dataclasses.replace(mark, document=None) == dataclasses.replace(intent.mark, document=None)


def _find_drift(desired: MachineDesired, observed: MachineObservation, intent: Intent) -> tuple[str, ...]:
    """What was changed by hand in the definition since xVirt wrote it. Where nobody knows what it was (the store was lost, or the process
    ended right after a define): what it lacks of all that is declared."""
    run, config = desired.stored.run, observed.config
    if config is None:
        return ()
    if not run.defined_hash:
        missing = lost(intent.root, config.root) if intent.root is not None and _is_current(observed, intent) else []
        return _tell_places([f"{path} was changed or removed" for path in missing])
    if run.defined_hash == observed.config_hash:
        return ()
    defined = unpack(run.defined_xml)
    if defined is None:  # written by a release that kept the hash alone
        return ("the definition was changed by hand",)
    return _tell_places(changes_by_hand(defined, config.root))


def _tell_places(places: Sequence[str]) -> tuple[str, ...]:
    told = places[:DRIFT_TOLD_MAX]
    more = len(places) - len(told)
    return (*(f"{place} by hand" for place in told), *((f"and {more} more changes by hand",) if more else ()))


@dataclasses.dataclass(frozen=True)
class _Live:
    steps: tuple[Step, ...] = ()
    waiting: tuple[Obstacle, ...] = ()
    restart_required: tuple[str, ...] = ()
    drift: tuple[str, ...] = ()
    check_after_s: float | None = None


def _plan_live(desired: MachineDesired, observed: MachineObservation, intent: Intent, decision: PowerDecision) -> _Live:
    live = observed.live
    if live is None or decision.goal in (PowerGoal.OFF, PowerGoal.SAVED):
        return _Live()
    uuid = desired.stored.uid
    changes = plan_devices(desired, observed, intent)
    vcpu_steps, vcpu_waits = plan_vcpus(uuid, desired.spec.cpu, live.facts)
    memory_steps, memory_waits = plan_memory(uuid, desired.spec.memory, live)
    sized = [
        part for part, busy in (("cpu", vcpu_steps or vcpu_waits), ("memory", memory_steps or memory_waits)) if not busy
    ]
    resized = _find_resized(desired, observed, vcpu_steps, memory_steps)
    restart = [
        *restart_fields(desired, observed, intent.seed_path),
        *changes.restart_required,
        *vcpu_waits,
        *memory_waits,
    ]
    if desired.spec.drift_policy is DriftPolicy.REPORT:
        changes.steps = [step for step in changes.steps if not _is_correction(step)]
        vcpu_steps = [] if "vcpu" in resized else vcpu_steps
        memory_steps = [] if "memory" in resized else memory_steps
    steps, waiting, check = _pace_detaches(changes, observed)
    return _Live(
        steps=(*note_running(desired, observed, steps, sized), *steps, *vcpu_steps, *memory_steps),
        waiting=waiting,
        restart_required=tuple(dict.fromkeys(restart)),
        drift=(*changes.drift, *resized.values()),
        check_after_s=check,
    )


def _find_resized(
    desired: MachineDesired, observed: MachineObservation, vcpu_steps: list[Step], memory_steps: list[Step]
) -> dict[str, str]:
    """What was resized by hand while the machine runs, and how to say it. A balloon's size is the guest's matter, too, and no sign."""
    live = observed.live
    assert live is not None, "only a running machine is resized"
    found = {}
    if vcpu_steps and is_resized_by_hand(desired, observed, "cpu"):
        found["vcpu"] = f"the running machine has {live.facts.vcpus} vCPUs, set by hand"
    if memory_steps and live.facts.memory_device is not None and is_resized_by_hand(desired, observed, "memory"):
        found["memory"] = "the memory of the running machine was set by hand"
    return found


def _is_correction(step: Step) -> bool:
    return isinstance(step, DetachDevice) and not step.alias.startswith("ua-")


def _pace_detaches(
    changes: DeviceChanges, observed: MachineObservation
) -> tuple[list[Step], tuple[Obstacle, ...], float | None]:
    """A guest that was asked lately is not asked again yet; one that was asked often enough is said to hold on."""
    steps: list[Step] = []
    waiting: list[Obstacle] = []
    check: float | None = None
    for step in changes.steps:
        asked = observed.detaches.get(step.alias) if isinstance(step, DetachDevice) else None
        if asked is None:
            steps.append(step)
            continue
        assert isinstance(step, DetachDevice)
        reason = "GuestHoldsDevice" if asked.count >= DETACH_ATTEMPTS else "Detaching"
        waiting.append(
            Obstacle(reason, f"the guest has not released {step.what} yet; it was asked {asked.count} times")
        )
        is_due = asked.idle_s >= DETACH_REPEAT_S
        check = _soonest(check, DETACH_REPEAT_S if is_due else DETACH_REPEAT_S - asked.idle_s)
        if is_due:
            steps.append(step)
    return steps, tuple(waiting), check


@dataclasses.dataclass(frozen=True)
class _Power:
    steps: tuple[Step, ...] = ()
    waiting: tuple[Obstacle, ...] = ()
    drift: tuple[str, ...] = ()
    check_after_s: float | None = None


def _plan_power(
    desired: MachineDesired, observed: MachineObservation, decision: PowerDecision, *, can_start: bool
) -> _Power:
    domain = observed.domain
    is_active = domain is not None and domain.is_active
    if decision.goal is PowerGoal.OFF:
        return plan_stop(desired, observed) if is_active else _Power()
    if decision.goal is PowerGoal.SAVED:
        return _Power((SaveDomain(uuid=desired.stored.uid),)) if is_active else _Power()
    if is_active:
        return _plan_pause(desired, observed)
    if decision.goal is PowerGoal.LEAVE or not can_start:
        return _Power()
    return _plan_start(desired, observed, decision)


def _plan_start(desired: MachineDesired, observed: MachineObservation, decision: PowerDecision) -> _Power:
    start = StartDomain(uuid=desired.stored.uid, is_automatic=decision.is_automatic)
    wait = backoff_s(desired.stored.run.restarts) - observed.off_elapsed_s if decision.is_automatic else 0.0
    if wait <= 0:
        return _Power((start,))
    message = f"restarted {desired.stored.run.restarts} times; next start in {wait:.0f} s"
    return _Power(waiting=(Obstacle("CrashLoopBackOff", message),), check_after_s=wait)


def _plan_pause(desired: MachineDesired, observed: MachineObservation) -> _Power:
    domain = observed.domain
    if domain is None:
        return _Power()
    is_paused = domain.state is DomainState.PAUSED
    if desired.stored.run.is_paused:
        return _Power() if is_paused else _Power((SuspendDomain(uuid=desired.stored.uid),))
    if not is_paused:
        return _Power()
    if domain.reason != "user":
        message = f"libvirt paused the machine: {domain.reason}; `xvirt resume` lets it go on once that is mended"
        return _Power(waiting=(Obstacle("Paused", message),))
    drift = ("the machine was paused by hand",)
    if desired.spec.drift_policy is DriftPolicy.REPORT:
        return _Power(drift=drift)
    return _Power((ResumeDomain(uuid=desired.stored.uid),), drift=drift)


def plan_stop(desired: MachineDesired, observed: MachineObservation) -> _Power:
    """Ask the guest, ask again, and power off when its grace period is over."""
    uuid = desired.stored.uid
    grace = desired.spec.termination_grace_period_seconds
    if desired.stored.run.stop_grace_s is not None:
        grace = desired.stored.run.stop_grace_s
    waiting = (Obstacle("Stopping", f"the guest was asked to shut down; powered off after {grace} s"),)
    asked = observed.stop
    if asked is None and grace > 0 and observed.domain is not None and observed.domain.state is DomainState.RUNNING:
        is_agent = observed.live is not None and observed.live.facts.is_agent_connected
        mode = ShutdownMode.AGENT if is_agent else ShutdownMode.ACPI
        return _Power((ShutdownDomain(uuid=uuid, mode=mode),), waiting, check_after_s=min(SHUTDOWN_REPEAT_S, grace))
    if asked is None or asked.elapsed_s >= grace:
        return _Power((DestroyDomain(uuid=uuid),))
    is_due = asked.idle_s >= SHUTDOWN_REPEAT_S
    pause = SHUTDOWN_REPEAT_S if is_due else SHUTDOWN_REPEAT_S - asked.idle_s
    steps = (ShutdownDomain(uuid=uuid, mode=ShutdownMode.ACPI),) if is_due else ()
    return _Power(steps, waiting, check_after_s=max(min(grace - asked.elapsed_s, pause), 0.05))


def _plan_garbage(
    desired: MachineDesired, observed: MachineObservation, intent: Intent, has_obstacles: bool
) -> tuple[Step, ...]:
    """Volumes of removed declarations with policy Delete, once their pool is there and neither this domain nor another has them."""
    if has_obstacles:
        return ()
    wanted = {backing.path for backing in intent.disks.values()}
    held = set(observed.host_use.paths) | set(observed.hidden) | wanted
    for definition in (observed.live, observed.config):
        held |= {disk.path for disk in definition.facts.disks if disk.path} if definition else set()
    return tuple(
        DeleteVolume(path=path, format=volume_format)
        for path, volume_format in desired.stored.run.garbage
        if path not in held
    )
