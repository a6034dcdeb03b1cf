"""The status of a machine in the cluster: what its node says, and over it what only the operator knows. Pure.

A node's word on Ready, Reconciling and Stalled is replaced where it is not the last one:

no host yet, or not applied yet    Reconciling=True, Ready=False
spec that is refused               Stalled=True, Ready=False, of the newest generation; everything else as the node says
host that cannot be reached        Ready=Unknown, Reconciling=True; everything else as it was last known
being deleted                      Terminating
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from xvirt.operator.machines.records import Machine

MESSAGE_MAX_LENGTH = 4096
Status = dict[str, Any]
"""A status document, as JSON values."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """What Ready, Reconciling and Stalled say. `word` is for the STATUS column; `ready` is `True`, `False` or `Unknown`."""

    reason: str
    message: str = ""
    word: str = "Pending"
    ready: str = "False"
    is_reconciling: bool = True
    is_stalled: bool = False


def stalled(reason: str, message: str) -> Verdict:
    """Somebody must change something."""
    return Verdict(reason=reason, message=message, word="Failed", is_reconciling=False, is_stalled=True)


def unknown(reason: str, message: str) -> Verdict:
    """Nobody can say how it is."""
    return Verdict(reason=reason, message=message, word="Unknown", ready="Unknown")


def terminating(message: str, reason: str = "Terminating") -> Verdict:
    """It is being deleted."""
    return Verdict(reason=reason, message=message, word="Terminating")


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
    others = [item for item in base.get("conditions") or () if item["type"] not in _OWN]
    conditions = [*_conditions(verdict, machine.generation), *others]
    return _timed(base, conditions, machine, now)


_OWN = ("Ready", "Reconciling", "Stalled")


def _conditions(verdict: Verdict, generation: int) -> list[dict[str, Any]]:
    """As the node's: an answer of `False` to Reconciling and Stalled needs no message."""
    reason, message = verdict.reason, verdict.message[:MESSAGE_MAX_LENGTH]
    works, stuck = verdict.is_reconciling, verdict.is_stalled
    return [
        _condition("Ready", verdict.ready, reason, message, generation),
        _condition("Reconciling", _word(works), reason if works else "Settled", message if works else "", generation),
        _condition("Stalled", _word(stuck), reason if stuck else "NotStalled", message if stuck else "", generation),
    ]


def _word(value: bool) -> str:
    return "True" if value else "False"


def _condition(kind: str, status: str, reason: str, message: str, generation: int) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": "",
    }


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


def is_urgent(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether people wait for this change: the machine has settled, in good or bad, or got a host. Progress and details may be told
    together a little later."""
    if old.get("nodeName") != new.get("nodeName"):
        return True
    before, after = _statuses(old), _statuses(new)
    has_settled = before != after and after.get("Reconciling") != "True"
    return has_settled or (after.get("Ready") == "Unknown" and before.get("Ready") != "Unknown")


def _statuses(status: Mapping[str, Any]) -> dict[str, str]:
    return {item["type"]: item["status"] for item in status.get("conditions") or () if item["type"] in _OWN}
