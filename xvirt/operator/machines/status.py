"""The status of a machine in the cluster: what its node says, and over it what only the operator knows. Pure.

A node's word on Ready, Reconciling and Stalled is replaced where it is not the last one:

no host yet, or not applied yet    Reconciling=True, Ready=False
spec that is refused               Stalled=True, Ready=False, of the newest generation; everything else as the node says
host that cannot be reached        Ready=Unknown, Reconciling=True; everything else as it was last known
being deleted                      Terminating
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from xvirt.operator.conditions import OWN, Status, Verdict, make_conditions
from xvirt.operator.machines.records import Machine


def node_status(machine: Machine, said: Mapping[str, Any], host: str, now: str) -> Status:
    """As the machine's node says."""
    status = {**said, "nodeName": host}
    return _timed(status, said.get("conditions") or (), machine, now)


def own_status(
    machine: Machine, verdict: Verdict, now: str, *, host: str = "", said: Mapping[str, Any] | None = None
) -> Status:
    """The operator's word over what the node says, or over what it said last."""
    base = dict(said if said is not None else machine.status)
    base["observedGeneration"] = machine.generation
    base["printableStatus"] = verdict.word
    if host:
        base["nodeName"] = host
    if verdict.ready == "Unknown":
        base["powerState"] = "Unknown"
        base["observedGeneration"] = int(machine.status.get("observedGeneration") or -1)
    others = [item for item in base.get("conditions") or () if item["type"] not in OWN]
    conditions = [*make_conditions(verdict, machine.generation), *others]
    return _timed(base, conditions, machine, now)


def _timed(status: Status, conditions: Iterable[Mapping[str, Any]], machine: Machine, now: str) -> Status:
    """`lastTransitionTime` moves only where a condition's status does; a node's own time counts where it is later than the last one."""
    known = {item["type"]: item for item in machine.status.get("conditions") or ()}
    status["conditions"] = [_timed_condition(item, known.get(item["type"]), now) for item in conditions]
    return status


def _timed_condition(item: Mapping[str, Any], known: Mapping[str, Any] | None, now: str) -> dict[str, Any]:
    said = str(item.get("lastTransitionTime") or "")
    if known is None:
        return {**item, "lastTransitionTime": said or now}
    before = str(known.get("lastTransitionTime") or "")
    if known.get("status") == item["status"]:
        return {**item, "lastTransitionTime": before}
    return {**item, "lastTransitionTime": said if said > before else now}


def is_ready(status: Mapping[str, Any]) -> bool:
    """Whether a status says that the machine is as declared."""
    return _statuses(status).get("Ready") == "True"


def is_urgent(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether people wait for this change: the machine has settled, in good or bad, or got a host. Progress and details may be told
    together a little later."""
    if old.get("nodeName") != new.get("nodeName"):
        return True
    before, after = _statuses(old), _statuses(new)
    has_settled = before != after and after.get("Reconciling") != "True"
    return has_settled or (after.get("Ready") == "Unknown" and before.get("Ready") != "Unknown")


def _statuses(status: Mapping[str, Any]) -> dict[str, str]:
    return {item["type"]: item["status"] for item in status.get("conditions") or () if item["type"] in OWN}
