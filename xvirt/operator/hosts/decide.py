"""What is to be done about a host, one effect at a time. Pure.

    Node with xvirt.io/host --> MakeHost --> its address is followed --> AdvertiseRoom on the Node, status on the VirtualHost
    VirtualHost by hand ------------------/

A VirtualHost that was made from a Node stays as long as anything is placed on it or shown by it: what runs there needs somebody to ask.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

from xvirt.model.quantity import ByteSize
from xvirt.operator.hosts.records import HostScene, Room
from xvirt.operator.names import EXTENDED_PREFIX, MEMORY_RESOURCE, OPEN_RESOURCE, SLOTS_RESOURCE, VCPUS_RESOURCE
from xvirt.operator.nodes.state import Reach

SILENT_AFTER_S = 40.0
"""A node that answers, but has not told of itself for so long, has lost its hypervisor."""
_MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class MakeHost:
    """A VirtualHost for a Node."""


@dataclasses.dataclass(frozen=True)
class RemoveHost:
    """A VirtualHost that was made for a Node which is a host no more, and on which nothing is."""


@dataclasses.dataclass(frozen=True)
class AdvertiseRoom:
    """Extended resources of the Node, by name; None removes one."""

    resources: Mapping[str, str | None]


Effect: TypeAlias = MakeHost | RemoveHost | AdvertiseRoom


def decide(scene: HostScene) -> Effect | None:
    """The next effect, its status aside."""
    is_host = scene.node is not None and scene.node.is_host
    if scene.host is None:
        return MakeHost() if is_host else None
    if scene.host.is_made and not is_host and not scene.placed.machines and not scene.holds_objects:
        return RemoveHost() if not scene.host.is_deleting else None
    return _advertise(scene)


def find_address(scene: HostScene) -> str:
    """`host:port` of the node plugin; empty where nobody says it."""
    said = str((scene.host.spec.get("address") if scene.host is not None else None) or "")
    if said:
        return said
    node = scene.node
    if node is None or not node.address:
        # A Node that is gone leaves its last address: what runs there is still to be asked.
        return str(scene.host.status.get("address") or "") if scene.host is not None else ""
    port = node.port if node.port.isdecimal() else str(scene.settings.port)
    return f"[{node.address}]:{port}" if ":" in node.address else f"{node.address}:{port}"


def is_ready(scene: HostScene) -> bool:
    """Whether the host answers, and its hypervisor does."""
    return scene.reach is Reach.SYNCED and scene.facts.description is not None and not is_mute(scene)


def is_mute(scene: HostScene) -> bool:
    """Whether the node has not told of itself for long although it can be reached."""
    since_s = scene.facts.failed_since_s
    return since_s is not None and scene.now_s - since_s >= SILENT_AFTER_S


def is_cordoned(scene: HostScene) -> bool:
    """Whether somebody wants no new machine there."""
    by_host = scene.host is not None and bool(scene.host.spec.get("unschedulable"))
    return by_host or (scene.node is not None and scene.node.is_cordoned)


def find_capacity(scene: HostScene) -> Room | None:
    """What the host has; None as long as it has not said."""
    if scene.facts.description is None:
        return None
    said = scene.facts.description.document.get("status") or {}
    return Room(
        vcpus=int(said.get("cpus") or 0),
        memory_bytes=int(ByteSize(said.get("memory") or 0)),
        machines=_machines_max(scene),
    )


def find_allocatable(scene: HostScene) -> Room | None:
    """What machines may be promised on the host."""
    capacity = find_capacity(scene)
    if capacity is None:
        return None
    overcommit = (scene.host.spec.get("overcommit") if scene.host is not None else None) or {}
    ratio = int(overcommit.get("cpuAllocationRatio") or scene.settings.cpu_allocation_ratio)
    percent = int(overcommit.get("memoryOvercommit") or scene.settings.memory_overcommit_percent)
    return Room(
        vcpus=capacity.vcpus * ratio,
        memory_bytes=capacity.memory_bytes * percent // 100,
        machines=capacity.machines,
    )


def _machines_max(scene: HostScene) -> int:
    said = scene.host.spec.get("maxMachines") if scene.host is not None else None
    return scene.settings.machines_max if said is None else int(said)


def _advertise(scene: HostScene) -> AdvertiseRoom | None:
    """A host that is cordoned or not ready is open to nothing new; what is there keeps its places, and may have another holder."""
    node, room = scene.node, find_allocatable(scene)
    if node is None or room is None:
        return None
    accelerator = (
        (scene.facts.description.document.get("status") or {}).get("accelerator") if scene.facts.description else None
    )
    is_open = is_ready(scene) and not is_cordoned(scene) and node.is_host
    slots = str(room.machines)
    wanted: dict[str, str] = {
        SLOTS_RESOURCE: slots,
        OPEN_RESOURCE: slots if is_open else "0",
        VCPUS_RESOURCE: str(room.vcpus),
        MEMORY_RESOURCE: str(room.memory_bytes // _MIB),
    }
    if accelerator:
        wanted[f"{EXTENDED_PREFIX}{accelerator}"] = slots
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if node.extended.get(name) != value}
    changes |= {f"{EXTENDED_PREFIX}{name}": None for name in _other_accelerators(accelerator, node.extended)}
    return AdvertiseRoom(changes) if changes else None


def _other_accelerators(accelerator: str | None, extended: Mapping[str, str]) -> list[str]:
    return [name for name in ("kvm", "tcg") if name != accelerator and f"{EXTENDED_PREFIX}{name}" in extended]
