"""What is to be said of an object where its host has the last word, or none; the same for every kind. Pure."""

from __future__ import annotations

from xvirt.operator.conditions import Verdict, stalled, terminating, unknown
from xvirt.operator.nodes.state import Reach
from xvirt.operator.nodes.views import NodeView


def judge_lost(reach: Reach, host: str, doubt: str) -> Verdict:
    """A host that is away; `doubt`: what nobody can say now."""
    if reach is Reach.UNKNOWN:
        return unknown("HostUnknown", f"there is no VirtualHost {host}; {doubt}")
    return unknown("HostUnreachable", f"host {host} cannot be reached; {doubt}")


def judge_namesake(noun: str, host: str, namesake: NodeView) -> Verdict:
    """An earlier object has the name on the host."""
    subject = f"host {host} still has an earlier {noun} of this name (uid {namesake.uid})"
    if namesake.is_deleting:
        return Verdict(reason="NameInUse", message=f"{subject}, which is being deleted")
    return stalled("NameTaken", f"{subject}, which is declared no more; remove it there, or give this one another name")


def is_newer(view: NodeView, generation: int, epoch: int) -> bool:
    """Whether a node knows more of an object than this operator."""
    return view.generation > generation or view.epoch > epoch


def judge_newer(view: NodeView, generation: int, epoch: int, host: str) -> Verdict:
    """Why a host refuses what the cluster says."""
    message = (
        f"host {host} holds epoch {view.epoch}, generation {view.generation}; the cluster has epoch {epoch}, generation"
        f" {generation}: it was restored from a backup; see `xvirt node accept-epoch`"
    )
    return stalled("StaleToken", message)


def judge_lost_removal(host: str) -> Verdict:
    """A deletion waits for a host that is away."""
    message = f"host {host} cannot be reached; deletion goes on once it can, or without it by xvirt.io/force-delete"
    return terminating(message, "HostUnreachable")


def said_message(view: NodeView) -> str:
    """What a node says of why an object is not ready."""
    conditions = view.status.get("conditions") or ()
    return next((str(item.get("message") or "") for item in conditions if item["type"] == "Ready"), "")
