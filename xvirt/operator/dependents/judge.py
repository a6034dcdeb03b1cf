"""What an object is on one host, and on all of them together. Pure.

Of one host, the first that holds:

unknown      its VirtualHost is gone, or it cannot be reached
stalled      an earlier object has the name there; the node knows a newer generation; the document is refused
works        the earlier object is going; it is being deleted there; it is being applied, or that is tried again
as it says   the node's own Ready, Reconciling and Stalled

Together, of the hosts that need it: stalled before unknown before works before ready. Ready where no host needs it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from xvirt.operator.conditions import Verdict, stalled, unknown
from xvirt.operator.dependents.records import Part, Scene, Trouble
from xvirt.operator.nodes.state import Reach
from xvirt.operator.nodes.views import NodeView

HOSTS_NAMED_MAX = 4
"""Hosts that a message names; more are counted."""
READY = Verdict(reason="Ready", word="Ready", ready="True", is_reconciling=False)


def current_trouble(part: Part, subject: str, now_s: float) -> Trouble | None:
    """The trouble with a subject, as long as its time has not come."""
    trouble = part.trouble
    return trouble if trouble is not None and trouble.subject == subject and now_s < trouble.until_s else None


def is_newer(view: NodeView, scene: Scene) -> bool:
    """Whether a node knows more of an object than this operator."""
    return view.generation > scene.item.generation or view.epoch > scene.epoch


def needs_apply(scene: Scene, part: Part) -> bool:
    """Whether a host holds something else than it should."""
    view = part.view
    if part.has_answered(scene.digest, scene.now_s):
        return False
    return view is None or view.generation != scene.item.generation or view.applied != scene.digest


def judge_host(scene: Scene, host: str) -> Verdict:
    """The object on one host."""
    part = scene.part(host)
    if part.reach is Reach.UNKNOWN:
        return unknown("HostUnknown", f"there is no VirtualHost {host}; it may be there or not")
    if part.reach is Reach.LOST:
        return unknown("HostUnreachable", f"host {host} cannot be reached; it may be there or not")
    if part.namesake is not None and part.view is None:
        return _judge_namesake(scene, part.namesake, host)
    if part.view is not None and is_newer(part.view, scene):
        return stalled("StaleToken", newer_message(scene, part.view, host))
    if part.view is not None and part.view.is_deleting:
        return Verdict(reason="Terminating", message=said_message(part.view), word="Terminating")
    if needs_apply(scene, part):
        return _judge_delivery(scene, part, host)
    return judge_view(part.view) if part.view is not None else _PENDING


_PENDING = Verdict(reason="Applying", message="its host is being asked", word="Pending")


def _judge_namesake(scene: Scene, namesake: NodeView, host: str) -> Verdict:
    subject = f"host {host} still has an earlier {scene.item.traits.kind} of this name (uid {namesake.uid})"
    if namesake.is_deleting:
        return Verdict(reason="NameInUse", message=f"{subject}, which is being deleted")
    return stalled("NameTaken", f"{subject}, which is declared no more; remove it there, or give this one another name")


def newer_message(scene: Scene, view: NodeView, host: str) -> str:
    """Why a host refuses what the cluster says."""
    return (
        f"host {host} holds epoch {view.epoch}, generation {view.generation}; the cluster has epoch {scene.epoch}, generation"
        f" {scene.item.generation}: it was restored from a backup; see `xvirt node accept-epoch`"
    )


def _judge_delivery(scene: Scene, part: Part, host: str) -> Verdict:
    trouble = part.trouble if part.trouble is not None and part.trouble.subject == scene.digest else None
    if trouble is None:
        return dataclasses.replace(_PENDING, message=f"host {host} is being asked")
    if trouble.is_passing:
        return Verdict(reason=trouble.reason, message=trouble.message)
    return stalled(trouble.reason, trouble.message)


def judge_view(view: NodeView) -> Verdict:
    """As the node says, of the generation that it was given."""
    status = view.status
    conditions = {item["type"]: item for item in status.get("conditions") or ()}
    ready = conditions.get("Ready")
    if ready is None or int(status.get("observedGeneration") or -1) < view.generation:
        return Verdict(reason="Applying", message="its host works on it", word="Pending")
    return Verdict(
        reason=str(ready["reason"]),
        message=str(ready.get("message") or ""),
        word=str(status.get("printableStatus") or ready["reason"]),
        ready=str(ready["status"]),
        is_reconciling=(conditions.get("Reconciling") or {}).get("status") == "True",
        is_stalled=(conditions.get("Stalled") or {}).get("status") == "True",
    )


def said_message(view: NodeView) -> str:
    """What a node says of why an object is not ready."""
    conditions = view.status.get("conditions") or ()
    return next((str(item.get("message") or "") for item in conditions if item["type"] == "Ready"), "")


def judge(scene: Scene, verdicts: Mapping[str, Verdict]) -> Verdict:
    """The object on the hosts that need it."""
    if scene.problem is not None:
        return stalled(scene.problem.reason, scene.problem.message)
    needed = {host: verdicts[host] for host in sorted(scene.needed)}
    if not needed:
        return dataclasses.replace(
            READY, reason="NotNeeded", word="NotNeeded", message=NOT_NEEDED[scene.item.traits.kind]
        )
    worst = min(_rank(verdict) for verdict in needed.values())
    first = {host: verdict for host, verdict in needed.items() if _rank(verdict) == worst}
    return _together(first, is_alone=scene.item.traits.is_single)


NOT_NEEDED = {
    "VirtualDisk": "no machine that uses it has a host; it is made on the host of the first one",
    "VirtualImage": "no machine or disk that has a host is made from it; it is fetched where one is",
    "VirtualNetwork": "no machine that has a host names it; it is made where one does",
    "StoragePool": "there is no host to have it",
}


def _rank(verdict: Verdict) -> int:
    if verdict.is_stalled:
        return 0
    if verdict.ready == "Unknown":
        return 1
    return 3 if verdict.ready == "True" and not verdict.is_reconciling else 2


def _together(verdicts: Mapping[str, Verdict], *, is_alone: bool) -> Verdict:
    """The reason is the first host's; the message names all of them."""
    first = next(iter(verdicts.values()))
    if is_alone or _rank(first) == 3:
        return first
    return dataclasses.replace(first, message=name_hosts(verdicts))


def name_hosts(verdicts: Mapping[str, Verdict]) -> str:
    """Each host with what is to be said of it, up to a bound."""
    lines = [_line(host, verdict) for host, verdict in verdicts.items()]
    more = len(lines) - HOSTS_NAMED_MAX
    return "; ".join([*lines[:HOSTS_NAMED_MAX], *([f"and {more} hosts more"] if more > 0 else [])])


def _line(host: str, verdict: Verdict) -> str:
    message = verdict.message or verdict.reason
    return message if host in message.split() else f"host {host}: {message}"
