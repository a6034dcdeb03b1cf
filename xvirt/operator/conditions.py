"""Ready, Reconciling and Stalled, as every kind's status has them (DESIGN law 10). Pure."""

from __future__ import annotations

import dataclasses
from typing import Any

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


OWN = ("Ready", "Reconciling", "Stalled")


def make_conditions(verdict: Verdict, generation: int) -> list[dict[str, Any]]:
    """Ready, Reconciling and Stalled without their times. As the node's: a `False` of the latter two needs no message."""
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
