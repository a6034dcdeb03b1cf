"""The status of a disk, image, network or pool in the cluster: what its hosts say, folded into one, and the operator's word over it. Pure.

A disk's is its host's. Of the other kinds `hosts` tells of each host; what is the same wherever it is known (paths, bridges, sizes) stands
at the top, a transfer's progress is the slowest host's, and a pool's sizes are the sum of its hosts'. Times are left to the writer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xvirt.model.quantity import ByteSize
from xvirt.operator.conditions import MESSAGE_MAX_LENGTH, OWN, Status, Verdict, make_conditions
from xvirt.operator.dependents.judge import judge, judge_host, name_hosts
from xvirt.operator.dependents.records import Scene
from xvirt.operator.nodes.state import Reach
from xvirt.operator.readings import list_of

_SAME: Mapping[str, tuple[str, ...]] = {
    "VirtualNetwork": ("uuid", "networkName", "bridge"),
    "VirtualImage": ("path", "size", "allocation", "checksum"),
    "StoragePool": ("uuid", "path"),
}
"""What is told at the top where all hosts that tell it agree."""
_SLOWEST = ("progressPercent", "transferred", "transferSize")
_NOT_OF_A_NODE = ("hosts", "nodeName", "conditions")


def find_status(scene: Scene, hosts: Iterable[str], verdict: Verdict | None = None) -> Status:
    """The whole status. `hosts`: those that are recorded with it. `verdict`: the operator's own, over what is found."""
    item, verdicts = scene.item, {host: judge_host(scene, host) for host in scene.places}
    said = {host: _said(scene, host) for host in sorted(hosts)}
    final = verdict or judge(scene, verdicts)
    status: Status = _single(scene, said) if item.traits.is_single else _many(scene, said, verdicts)
    status["observedGeneration"] = item.generation
    status["printableStatus"] = final.word
    status["conditions"] = [*make_conditions(final, item.generation), *_other_conditions(said, item.generation)]
    return {name: value for name, value in status.items() if value not in (None, "", [])}


def _said(scene: Scene, host: str) -> Mapping[str, Any]:
    """What a host says, or said last."""
    view = scene.part(host).view
    if view is not None:
        return view.status
    return scene.item.status if scene.item.traits.is_single else {}


def _single(scene: Scene, said: Mapping[str, Mapping[str, Any]]) -> Status:
    for host, status in said.items():
        return {**{name: value for name, value in status.items() if name not in _NOT_OF_A_NODE}, "nodeName": host}
    return {}


def _many(scene: Scene, said: Mapping[str, Mapping[str, Any]], verdicts: Mapping[str, Verdict]) -> Status:
    kind = scene.item.traits.kind
    status: Status = {name: _agreed(said, name) for name in _SAME[kind]}
    if kind == "VirtualImage":
        slowest = min((one for one in said.values() if "progressPercent" in one), key=_progress, default={})
        status |= {name: slowest.get(name) for name in _SLOWEST}
    if kind == "StoragePool":
        status |= {name: _sum(said, name) for name in ("capacity", "available")}
    if kind == "VirtualNetwork":
        waiting = (path for one in said.values() for path in one.get("restartRequired") or ())
        status["restartRequired"] = list(dict.fromkeys(waiting))
    status["lastError"] = next((one["lastError"] for one in said.values() if one.get("lastError")), None)
    known = {entry["name"]: entry for entry in list_of(scene.item.status, "hosts")}
    status["hosts"] = [_entry(scene, host, verdicts[host], known.get(host), one) for host, one in said.items()]
    return status


def _entry(
    scene: Scene, host: str, verdict: Verdict, known: Mapping[str, Any] | None, said: Mapping[str, Any]
) -> dict[str, Any]:
    part = scene.part(host)
    if known is not None and part.reach is Reach.CONNECTING and not part.is_heard:
        return dict(known)  # a host that this operator has not heard yet: it is as it was
    entry: dict[str, Any] = {"name": host, "state": verdict.word}
    is_ready = verdict.ready == "True" and not verdict.is_reconciling
    if verdict.message and not is_ready:
        entry["message"] = verdict.message[:MESSAGE_MAX_LENGTH]
    if scene.item.traits.kind == "StoragePool":
        entry |= {name: said[name] for name in ("capacity", "available") if said.get(name)}
    return entry


def _agreed(said: Mapping[str, Mapping[str, Any]], name: str) -> Any:
    values = {str(one[name]): one[name] for one in said.values() if one.get(name)}
    return next(iter(values.values())) if len(values) == 1 else None


def _progress(said: Mapping[str, Any]) -> int:
    return int(said["progressPercent"])


def _sum(said: Mapping[str, Mapping[str, Any]], name: str) -> str | None:
    sizes = [int(ByteSize(one[name])) for one in said.values() if one.get(name)]
    return str(ByteSize(sum(sizes))) if sizes else None


def _other_conditions(said: Mapping[str, Mapping[str, Any]], generation: int) -> list[dict[str, Any]]:
    """What nodes say beside Ready, Reconciling and Stalled; of several hosts together, each condition once."""
    found: dict[str, dict[str, Verdict]] = {}
    for host, one in said.items():
        for item in one.get("conditions") or ():
            if item["type"] not in OWN and item["status"] == "True":
                told = Verdict(reason=str(item["reason"]), message=str(item.get("message") or ""))
                found.setdefault(str(item["type"]), {})[host] = told
    return [_folded(kind, verdicts, generation) for kind, verdicts in sorted(found.items())]


def _folded(kind: str, verdicts: Mapping[str, Verdict], generation: int) -> dict[str, Any]:
    first = next(iter(verdicts.values()))
    return {
        "type": kind,
        "status": "True",
        "reason": first.reason,
        "message": first.message if len(verdicts) == 1 else name_hosts(verdicts)[:MESSAGE_MAX_LENGTH],
        "observedGeneration": generation,
        "lastTransitionTime": "",
    }


# what is worth a write


def differs(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two statuses say different things; times are none of them."""
    return _timeless(old) != _timeless(new)


def _timeless(status: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions = [{**item, "lastTransitionTime": ""} for item in status.get("conditions") or ()]
    return {**status, "conditions": sorted(conditions, key=lambda item: str(item["type"]))}


def is_urgent(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether people, or hosts, wait for this change: hosts come, it has settled in good or bad, or nobody can say how it is. Progress
    and sizes may be told together a little later."""
    if old.get("nodeName") != new.get("nodeName") or _names(old) != _names(new):
        return True
    before, after = _statuses(old), _statuses(new)
    return before != after and (after.get("Reconciling") != "True" or after.get("Ready") == "Unknown")


def _names(status: Mapping[str, Any]) -> Sequence[str]:
    return [str(item["name"]) for item in list_of(status, "hosts")]


def _statuses(status: Mapping[str, Any]) -> dict[str, str]:
    return {item["type"]: item["status"] for item in status.get("conditions") or () if item["type"] in OWN}
