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

from xvirt.operator.conditions import Verdict, stalled
from xvirt.operator.dependents.records import Part, Scene
from xvirt.operator.nodes.state import Reach
from xvirt.operator.nodes.views import NodeView
from xvirt.operator.verdicts import judge_lost, judge_namesake, judge_newer, said_message

HOSTS_NAMED_MAX = 4
"""Hosts that a message names; more are counted."""
READY = Verdict(reason="Ready", word="Ready", ready="True", is_reconciling=False)


def needs_apply(scene: Scene, part: Part) -> bool:
    """Whether a host holds something else than it should."""
    view = part.view
    if part.has_answered(scene.digest, scene.now_s):
        return False
    return view is None or view.generation != scene.item.generation or view.applied != scene.digest


def judge_host(scene: Scene, host: str) -> Verdict:
    """The object on one host."""
    part = scene.part(host)
    if part.reach in (Reach.UNKNOWN, Reach.LOST):
        return judge_lost(part.reach, host, "it may be there or not")
    if part.namesake is not None and part.view is None:
        return judge_namesake(scene.item.traits.kind, host, part.namesake)
    if part.view is not None and scene.is_behind(part):
        return judge_newer(part.view, scene.item.generation, scene.epoch, host)
    if part.view is not None and part.view.is_deleting:
        return Verdict(reason="Terminating", message=said_message(part.view), word="Terminating")
    if needs_apply(scene, part):
        return _judge_delivery(scene, part, host)
    return judge_view(part.view) if part.view is not None else _PENDING


_PENDING = Verdict(reason="Applying", message="its host is being asked", word="Pending")


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
