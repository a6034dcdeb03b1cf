"""Room on hosts that are no Nodes of the cluster. The operator counts it itself, by what their VirtualHosts say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xvirt.model.quantity import ByteSize
from xvirt.operator.machines.records import Machine, Outside
from xvirt.operator.machines.shapes import BY_HOST, room_of
from xvirt.operator.names import MADE_ANNOTATION
from xvirt.operator.readings import list_of, part_of
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.resources import Key, Object, uid_of

Promise = tuple[str, int, int]
"""Host, vCPUs, bytes of memory."""
_KEEPING_OUT = ("NoSchedule", "NoExecute")
"""Effects of taints; a machine that names its host has no other to prefer, and what runs is never ended for a taint."""


class OutsideHosts:
    """Which hosts are outside, and what they still take. What was promised a moment ago counts before the caches show it."""

    def __init__(self, hosts: Cache, nodes: Cache, machines: Cache) -> None:
        self._hosts = hosts
        self._nodes = nodes
        self._machines = machines
        self._promises: dict[str, Promise] = {}

    def look(self, machine: Machine, item: Object) -> Outside | None:
        """For the host that a machine has or names; None for a Node's, and for one that nobody knows."""
        name = machine.recorded_host or machine.wished_host
        host = self._hosts.get(Key("", name)) if name else None
        if host is None or self._nodes.get(Key("", name)) is not None or _is_made(host):
            return None
        if machine.recorded_host:
            self._promises.pop(machine.uid, None)
            return Outside(host=name)
        obstacle = self._find_obstacle(name, host, machine, room_of(item))
        if not obstacle:
            self._promises[machine.uid] = (name, *room_of(item))
        return Outside(host=name, obstacle=obstacle)

    def forget(self, uid: str) -> None:
        """The machine is gone."""
        self._promises.pop(uid, None)

    def _find_obstacle(self, name: str, host: Object, machine: Machine, wanted: tuple[int, int]) -> str:
        status = part_of(host, "status")
        if status.get("unschedulable", True):
            return f"host {name} takes no new machine: it is cordoned or not ready"
        tolerations = list_of(part_of(machine.spec, "placement"), "tolerations")
        for taint in list_of(status, "taints"):
            if taint.get("effect") in _KEEPING_OUT and not any(_tolerates(each, taint) for each in tolerations):
                return f"host {name} has the taint {_taint_text(taint)}, which the machine does not tolerate"
        taken = self._taken(name, machine.uid)
        room = part_of(status, "allocatable")
        left = (_number(room, "vcpus") - taken[0], _bytes(room) - taken[1], _number(room, "machines") - taken[2])
        if left[2] < 1:
            return f"host {name} takes no more than {_number(room, 'machines')} machines"
        if wanted[0] > left[0]:
            return f"host {name} has {max(left[0], 0)} vCPUs left, {wanted[0]} are wanted"
        if wanted[1] > left[1]:
            return f"host {name} has {ByteSize(max(left[1], 0))} of memory left, {ByteSize(wanted[1])} are wanted"
        return ""

    def _taken(self, name: str, uid: str) -> tuple[int, int, int]:
        placed = {uid_of(item): room_of(item) for item in self._machines.by_index(BY_HOST, name)}
        promised = {
            other: tuple(more) for other, (host, *more) in self._promises.items() if host == name and other != uid
        }
        rooms = {**promised, **placed}
        return sum(room[0] for room in rooms.values()), sum(room[1] for room in rooms.values()), len(rooms)


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """As Kubernetes compares them (https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/)."""
    key, effect = toleration.get("key") or "", toleration.get("effect") or ""
    if effect not in ("", taint.get("effect")) or key not in ("", taint.get("key")):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(key) and (toleration.get("value") or "") == (taint.get("value") or "")


def _taint_text(taint: Mapping[str, Any]) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint.get('key')}{value}:{taint.get('effect')}"


def _is_made(host: Object) -> bool:
    return (host["metadata"].get("annotations") or {}).get(MADE_ANNOTATION) == "true"


def _number(room: Mapping[str, Any], name: str) -> int:
    return int(room.get(name) or 0)


def _bytes(room: Mapping[str, Any]) -> int:
    return int(ByteSize(room.get("memory") or 0))
