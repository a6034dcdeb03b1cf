"""The status of a VirtualHost: what its node says of itself, and what only the operator knows. Pure.

Ready        True: it answers, and its hypervisor does. False: its hypervisor does not, or nobody could ask it yet.
             Unknown: it is not heard any more.
Reconciling  True: it is being looked for.
Stalled      True: somebody must say where it is, or give the operator a certificate that it takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xvirt.model.quantity import ByteSize
from xvirt.operator.conditions import Verdict, make_conditions
from xvirt.operator.hosts.decide import (
    find_address,
    find_allocatable,
    find_capacity,
    is_cordoned,
    is_mute,
    is_ready,
)
from xvirt.operator.hosts.records import HostScene, Room
from xvirt.operator.nodes.state import Reach

UNDECLARED_MAX = 100
_OWN = ("heartbeat", "lastHeardTime")


def host_status(scene: HostScene) -> dict[str, Any] | None:
    """The whole status; None while there is nothing new to say: a host that is looked for keeps what was said of it."""
    host = scene.host
    if host is None or (scene.reach is Reach.CONNECTING and host.status.get("conditions")):
        return None
    said = _said(scene)
    status: dict[str, Any] = {
        **said,
        "observedGeneration": host.generation,
        "nodeName": scene.name,
        "address": find_address(scene),
        "unschedulable": is_cordoned(scene) or not is_ready(scene),
        "taints": [dict(taint) for taint in scene.node.taints]
        if scene.node is not None
        else list(host.spec.get("taints") or ()),
        "allocated": _room(scene.placed),
        "heartbeat": _heartbeat(scene),
        "undeclared": list(scene.undeclared[:UNDECLARED_MAX]),
        "conditions": make_conditions(judge(scene), host.generation),
    }
    for name, room in (("capacity", find_capacity(scene)), ("allocatable", find_allocatable(scene))):
        if room is not None:
            status[name] = _room(room)
        elif name in host.status:
            status[name] = host.status[name]
    if status["heartbeat"] != "Current" and scene.heard:
        status["lastHeardTime"] = str(host.status.get("lastHeardTime") or scene.heard)
    return status


def _said(scene: HostScene) -> dict[str, Any]:
    """What the node says, or said last: it is not forgotten because it is not heard."""
    known = dict(scene.host.status) if scene.host is not None else {}
    if scene.facts.description is None:
        return {name: value for name, value in known.items() if name not in _OWN}
    said = dict(scene.facts.description.document.get("status") or {})
    said["pools"] = settle_pools(known.get("pools") or (), said.get("pools") or ())
    return said


def settle_pools(before: Sequence[Mapping[str, Any]], said: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Free space changes all the time; it is told once it has changed by a hundredth of the pool."""
    known = {pool.get("name"): pool for pool in before}
    return [_settle_pool(known.get(pool.get("name")), pool) for pool in said]


def _settle_pool(known: Mapping[str, Any] | None, pool: Mapping[str, Any]) -> dict[str, Any]:
    if (
        known is None
        or known.get("capacity") != pool.get("capacity")
        or not (known.get("available") and pool.get("available"))
    ):
        return dict(pool)
    moved = abs(int(ByteSize(pool["available"])) - int(ByteSize(known["available"])))
    is_same = moved * 100 < int(ByteSize(pool.get("capacity") or 0))
    return {**pool, "available": known["available"]} if is_same else dict(pool)


def judge(scene: HostScene) -> Verdict:
    """What the conditions say."""
    if scene.obstacle:
        return Verdict(reason="NotConnectable", message=scene.obstacle, is_reconciling=False, is_stalled=True)
    if scene.reach in (Reach.LOST, Reach.UNKNOWN):
        message = f"{scene.name} is not heard: {scene.failure or 'no answer'}"
        return Verdict(reason="HostUnreachable", message=message, ready="Unknown")
    if scene.reach is Reach.CONNECTING:
        return Verdict(reason="Connecting", message=f"{scene.name} is being asked for the first time")
    if is_mute(scene):
        return Verdict(reason="HypervisorUnreachable", message=scene.facts.failure)
    if scene.facts.description is None:
        return Verdict(reason="Connecting", message=scene.facts.failure or f"{scene.name} has not told of itself yet")
    return Verdict(reason="HostReady", ready="True", is_reconciling=False)


def _heartbeat(scene: HostScene) -> str:
    if scene.reach is Reach.SYNCED:
        return "Late" if is_mute(scene) else "Current"
    return "Lost" if scene.heard or (scene.host is not None and scene.host.status.get("bootId")) else "Never"


def _room(room: Room) -> dict[str, Any]:
    return {"vcpus": room.vcpus, "memory": str(ByteSize(room.memory_bytes)), "machines": room.machines}


def is_urgent(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether people wait for it: the host was found or lost, or takes machines or not. Figures may be told a little later."""
    return any(old.get(name) != new.get(name) for name in ("heartbeat", "unschedulable")) or _statuses(
        old
    ) != _statuses(new)


def _statuses(status: Mapping[str, Any]) -> dict[str, str]:
    return {item["type"]: item["status"] for item in status.get("conditions") or ()}
