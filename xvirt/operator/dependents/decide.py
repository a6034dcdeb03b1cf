"""What is to be done about a disk, image, network or pool. Pure.

Its own life, one write at a time:

    no host needs it --> status NotNeeded
    needed --> AddFinalizer --> PutStatus with the hosts, before anything is asked of them --> PutStatus as they tell, for ever
    deletionTimestamp --> wait for its users --> wait until every host has let go --> ReleaseFinalizer

and beside it, for each host by itself, so that one that hangs holds up nobody else:

    recorded --> ApplyOn --> again whenever the host holds something else
    being deleted, or not to be there any more --> DeleteOn, until the host answers that it does not have it

What cannot be seen is not gone. A host that is lost keeps what it has; only its own answer, its VirtualHost's removal (but for disks, which
are data) or the user's `xvirt.io/force-delete` lets an object go without it, and an Event says what may stay.
"""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

from xvirt.operator.conditions import Status, Verdict, terminating
from xvirt.operator.dependents.judge import name_hosts, needs_apply
from xvirt.operator.dependents.records import DELETION, Part, Scene
from xvirt.operator.dependents.status import differs, find_status, is_urgent
from xvirt.operator.effects import AddFinalizer, ApplyOn, DeleteOn, Refresh, ReleaseFinalizer
from xvirt.operator.nodes.state import Reach
from xvirt.operator.troubles import current_trouble
from xvirt.operator.verdicts import judge_lost_removal, said_message

USERS_NAMED_MAX = 5


@dataclasses.dataclass(frozen=True)
class PutStatus:
    """`is_urgent`: somebody waits for it. `left_behind`: what may stay on a host that is not told of any more, for an Event."""

    status: Status
    is_urgent: bool = True
    left_behind: str = ""


Effect: TypeAlias = AddFinalizer | ReleaseFinalizer | PutStatus | Refresh


@dataclasses.dataclass(frozen=True)
class Errand:
    """What is to be asked of one host next, None for nothing; and when to look again although nothing has changed (monotonic)."""

    call: ApplyOn | DeleteOn | None = None
    look_again_s: float | None = None


NOTHING = Errand()


# the object itself


def decide(scene: Scene) -> Effect | None:
    """The next write about an object."""
    item = scene.item
    if item.is_deleting:
        return _remove(scene)
    if not item.has_finalizer and scene.places:
        return AddFinalizer()
    if any(scene.is_behind(part) for part in scene.parts.values()) and not scene.is_fresh:
        return Refresh()
    kept = {host for host in scene.places if is_kept(scene, host)}
    unsaid = [host for host in scene.needed if _is_unsaid(scene.part(host))]
    if unsaid and kept == set(item.recorded):
        return None  # what this operator has not heard of yet is as it was
    forgotten = [host for host in item.recorded if host not in kept and not scene.part(host).is_gone]
    return _put(scene, find_status(scene, kept), _left_behind(scene, forgotten))


def _is_unsaid(part: Part) -> bool:
    return part.reach is Reach.CONNECTING and not part.is_heard


def is_kept(scene: Scene, host: str) -> bool:
    """Whether the object's status is to tell of a host."""
    part = scene.part(host)
    if host in scene.needed or part.view is not None or part.delivered is not None:
        return True
    if scene.item.traits.is_single:
        return host in scene.item.recorded
    if host not in scene.item.recorded or part.is_gone or (part.reach is Reach.UNKNOWN and scene.is_settled):
        return False
    # A whole snapshot without it says that it is not there; one that is to be removed has to be asked for first.
    return scene.item.traits.is_everywhere or part.reach is not Reach.SYNCED


def _remove(scene: Scene) -> Effect | None:
    item = scene.item
    if not item.has_finalizer:
        return None
    if scene.users:
        message = f"it is used by {_list(scene.users)}; it is deleted once they are gone"
        return _put(scene, find_status(scene, item.recorded, terminating(message, "InUse")))
    waiting = [host for host in scene.places if not _is_done(scene, host)]
    if not waiting:
        left = [host for host in scene.places if not scene.part(host).is_gone]
        return ReleaseFinalizer(_left_behind(scene, left))
    if any(_is_unsaid(scene.part(host)) for host in waiting):
        return None
    verdicts = {host: _judge_removal(scene, host) for host in waiting}
    first = next(iter(verdicts.values()))
    message = first.message if item.traits.is_single else name_hosts(verdicts)
    return _put(scene, find_status(scene, item.recorded, dataclasses.replace(first, message=message)))


def _is_done(scene: Scene, host: str) -> bool:
    """Whether deletion needs to wait for a host no longer."""
    part = scene.part(host)
    if part.is_gone:
        return True
    is_lost = part.reach in (Reach.LOST, Reach.UNKNOWN) and scene.is_settled
    is_removed = part.reach is Reach.UNKNOWN and scene.is_settled and not scene.item.traits.is_single
    return is_removed or (is_lost and scene.item.is_forced)


def _judge_removal(scene: Scene, host: str) -> Verdict:
    part = scene.part(host)
    if part.reach in (Reach.LOST, Reach.UNKNOWN):
        return judge_lost_removal(host)
    if part.trouble is not None and part.trouble.subject == DELETION:
        return terminating(part.trouble.message, part.trouble.reason)
    return terminating(said_message(part.view) if part.view is not None and part.view.is_deleting else "being deleted")


def _left_behind(scene: Scene, hosts: list[str]) -> str:
    if not hosts:
        return ""
    path = str(scene.item.status.get("path") or "")
    what = f"{scene.item.title}{f' ({path})' if path else ''}"
    return f"host {', '.join(hosts)} could not be asked: {what} may be left there"


def _list(names: tuple[str, ...]) -> str:
    more = len(names) - USERS_NAMED_MAX
    shown = ", ".join(names[:USERS_NAMED_MAX])
    return f"{shown} and {more} more" if more > 0 else shown


def _put(scene: Scene, status: Status, left_behind: str = "") -> PutStatus | None:
    known = scene.item.status
    if not differs(known, status):
        return None
    return PutStatus(status, is_urgent(known, status), left_behind)


# what is asked of one host


def decide_errand(scene: Scene, host: str) -> Errand:
    """The next call to a host."""
    item, part = scene.item, scene.part(host)
    if part.reach is not Reach.SYNCED or not item.has_finalizer:
        return NOTHING
    if item.is_deleting:
        return NOTHING if scene.users else _delete_on(scene, host)
    if host not in item.recorded:
        return NOTHING
    if item.traits.is_everywhere and host not in scene.needed:
        return _delete_on(scene, host)
    return _apply_on(scene, host)


def _delete_on(scene: Scene, host: str) -> Errand:
    part = scene.part(host)
    if part.is_gone:
        return NOTHING
    trouble = current_trouble(part.trouble, DELETION, scene.now_s)
    if trouble is not None:
        return Errand(look_again_s=trouble.until_s)
    if part.view is not None and part.has_answered(DELETION, scene.now_s):
        return NOTHING  # it works on it, and its view will go
    return Errand(DeleteOn(host, scene.item.uid))


def _apply_on(scene: Scene, host: str) -> Errand:
    part = scene.part(host)
    view = part.view
    if scene.problem is not None and view is None:
        return NOTHING
    if view is None and (part.namesake is not None or host not in scene.needed):
        return NOTHING
    if view is not None and (view.is_deleting or scene.is_behind(part)):
        return NOTHING
    if not needs_apply(scene, part):
        return NOTHING
    trouble = current_trouble(part.trouble, scene.digest, scene.now_s)
    if trouble is not None:
        return Errand(look_again_s=trouble.until_s)
    return Errand(ApplyOn(host))
