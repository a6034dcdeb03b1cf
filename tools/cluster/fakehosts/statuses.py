"""What a fake node says of its objects. Pure; words and conditions are the plugin's own."""

from __future__ import annotations

import dataclasses
from typing import Any

from nodeplugin.hypervisor.port import DomainRecord, DomainState
from nodeplugin.plan.outcome import Obstacle, Plan
from nodeplugin.plan.status import Verdict, base_conditions, condition, judge_plan, keep_times
from nodeplugin.records import Deletion, StoredObject
from tools.cluster.fakehosts.sizes import Running, started
from tools.cluster.fakehosts.volumes import path_of, volumes_of
from xvirt.model.identity import host_name, mac_address
from xvirt.model.kinds import BY_NAME
from xvirt.model.machine.nic import NicStatus
from xvirt.model.machine.status import PowerState, VirtualMachineStatus
from xvirt.model.meta import Condition, ConditionStatus, ConditionType
from xvirt.model.quantity import ByteSize
from xvirt.model.storage import VolumeStatus
from xvirt.model.values import decode, encode
from xvirt.model.virtualnetwork import VirtualNetworkStatus

_PERSONAL = ("SecretMissing",)
"""Obstacles that go away only when somebody declares something else."""
_POWER = {DomainState.RUNNING: PowerState.RUNNING, DomainState.PAUSED: PowerState.PAUSED}
_READY_WORDS = {"VirtualNetwork": "Active", "StoragePool": "Active"}
_MACHINE_CONDITIONS = (
    (ConditionType.AGENT_CONNECTED, "NotConnected", ""),
    (ConditionType.ACCELERATED, "SoftwareEmulation", "the host runs guests without KVM: this is slow"),
)


@dataclasses.dataclass(frozen=True)
class Seen:
    """An object as it is: what stands in its way, its domain, what that was started with and which fields wait for a restart, what uses
    it, and whether its domain still starts or stops."""

    obstacles: tuple[Obstacle, ...] = ()
    domain: DomainRecord | None = None
    running: Running | None = None
    waits: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    is_moving: bool = False


def describe(stored: StoredObject, node: str, seen: Seen, now: str) -> dict[str, Any]:
    """The status document of an object; times of conditions that stay the same are kept."""
    kind = BY_NAME[stored.kind].status
    old = decode(kind, stored.status) if stored.status else kind()
    verdict = _judge(stored, seen)
    conditions = base_conditions(verdict, stored.generation)
    if stored.kind == "VirtualMachine":
        new = _machine(stored, node, seen)
        conditions += (_restart(stored, seen.waits), *(_false(stored, *words) for words in _MACHINE_CONDITIONS))
    else:
        new = _other(stored, old)
    made = dataclasses.replace(
        new,
        observed_generation=stored.generation,
        printable_status=verdict.word,
        conditions=keep_times(conditions, old.conditions, now),
    )
    return dict(encode(made))


def _judge(stored: StoredObject, seen: Seen) -> Verdict:
    if stored.deletion is not Deletion.NONE:
        message = f"used by {', '.join(seen.users)}" if seen.users else "being deleted"
        return Verdict(ConditionStatus.FALSE, "Terminating", message, True, False, "Terminating")
    is_active = seen.domain is not None and seen.domain.is_active
    if seen.is_moving:
        word = "Stopping" if is_active else "Starting"
        return Verdict(ConditionStatus.FALSE, "Progressing", f"{word.lower()} the machine", True, False, word)
    blocked = tuple(item for item in seen.obstacles if item.reason in _PERSONAL)
    waiting = tuple(item for item in seen.obstacles if item.reason not in _PERSONAL)
    ready = _power(seen).value if stored.kind == "VirtualMachine" else _READY_WORDS.get(stored.kind, "Ready")
    return judge_plan(Plan(blocked=blocked, waiting=waiting), ready, "Starting")


def _power(seen: Seen) -> PowerState:
    if seen.domain is None:
        return PowerState.NOT_DEFINED
    if not seen.domain.is_active:
        return PowerState.STOPPED
    return PowerState.STOPPING if seen.is_moving else _POWER[seen.domain.state]


def _machine(stored: StoredObject, node: str, seen: Seen) -> VirtualMachineStatus:
    spec = stored.document["spec"]
    is_defined = seen.domain is not None
    nics = spec.get("nics", ()) if is_defined else ()
    sizes = seen.running or started(spec)
    return VirtualMachineStatus(
        power_state=_power(seen),
        power_reason=seen.domain.reason if seen.domain else "",
        uuid=stored.uid,
        domain_name=stored.domain_name if is_defined else "",
        node_name=node,
        cpus=sizes.cores if is_defined else 0,
        memory=ByteSize(sizes.memory_bytes) if is_defined else None,
        restart_required=seen.waits,
        interfaces=tuple(
            NicStatus(
                name=nic["name"],
                mac=nic.get("mac") or mac_address(stored.uid, nic["name"]),
                network=host_name(stored.namespace, nic["network"]) if nic.get("network") else nic.get("bridge", ""),
            )
            for nic in nics
        ),
        restart_count=stored.run.restarts,
    )


def _other(stored: StoredObject, old: Any) -> Any:
    spec = stored.document["spec"]
    if isinstance(old, VolumeStatus):
        size = ByteSize(spec["size"]) if spec.get("size") else ByteSize(1 << 30)
        ((name, _),) = volumes_of(stored)
        return dataclasses.replace(old, path=path_of(name), size=size, allocation=ByteSize(0))
    if isinstance(old, VirtualNetworkStatus):
        name = host_name(stored.namespace, stored.name)
        return dataclasses.replace(old, uuid=stored.uid, network_name=name, bridge=spec.get("bridge") or "virbr0")
    size = ByteSize(1 << 40)
    return dataclasses.replace(old, uuid=stored.uid, path=spec.get("path") or "", capacity=size, available=size)


def _restart(stored: StoredObject, waits: tuple[str, ...]) -> Condition:
    if not waits:
        return _false(stored, ConditionType.RESTART_REQUIRED, "UpToDate", "")
    message = f"{', '.join(waits)} will change at the next start; `xvirt restart vm {stored.name}` restarts now"
    return condition(ConditionType.RESTART_REQUIRED, ConditionStatus.TRUE, "FieldsWait", message, stored.generation)


def _false(stored: StoredObject, kind: ConditionType, reason: str, message: str) -> Condition:
    return condition(kind, ConditionStatus.FALSE, reason, message, stored.generation)
