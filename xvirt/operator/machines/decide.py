"""What is to be done about a machine, one effect at a time, from everything that is known of it. Pure.

                      no finalizer          no host              host written down
VirtualMachine --> AddFinalizer --> CreateHolder ..bound..> PutStatus(nodeName) --> ApplyOn --> PutStatus, for ever
                                         ^                                            ^
                                         `-- spent holders are replaced               `-- spec, Secrets, profile or node changed

deletionTimestamp --> DeleteOn (until the host says that it has nothing) --> DiscardHolder --> ReleaseFinalizer

The host is, in this order: the one in the status, the one that a holder is bound to, one that shows the machine. It is written into the
status before anything is asked of it, and never changes: a lost host makes its machines Unknown and nothing else.
What cannot be seen is not gone: only a host's own answer, or the user's word for one that cannot be reached, lets a machine go.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

from xvirt.operator.conditions import Status, Verdict, stalled, terminating
from xvirt.operator.effects import AddFinalizer, ApplyOn, DeleteOn, Refresh, ReleaseFinalizer
from xvirt.operator.machines.placing import find_hosts, find_obstacle
from xvirt.operator.machines.records import Delivery, Holder, Machine, Outside, Scene
from xvirt.operator.machines.status import is_ready, is_urgent, node_status, own_status
from xvirt.operator.nodes.state import Reach, Sighting
from xvirt.operator.nodes.views import NodeView
from xvirt.operator.troubles import Trouble, current_trouble
from xvirt.operator.verdicts import is_newer, judge_lost, judge_lost_removal, judge_namesake, judge_newer, said_message

# effects, beside those of every kind


@dataclasses.dataclass(frozen=True)
class CreateHolder:
    """`pin`: the host that the machine has already. `hosts`: those that its disks and pools leave, where they leave not all. `spent`:
    those that it replaces."""

    pin: str = ""
    hosts: tuple[str, ...] = ()
    spent: tuple[Holder, ...] = ()


@dataclasses.dataclass(frozen=True)
class DiscardHolder:
    """Let a holder go, with its room."""

    holder: Holder


@dataclasses.dataclass(frozen=True)
class PutStatus:
    """`is_urgent`: people wait for it."""

    status: Status
    is_urgent: bool


@dataclasses.dataclass(frozen=True)
class AdoptOn:
    """Have the host take over a domain by the document."""

    host: str
    domain_uuid: str


Effect: TypeAlias = (
    AddFinalizer | ReleaseFinalizer | CreateHolder | DiscardHolder | PutStatus | ApplyOn | AdoptOn | DeleteOn | Refresh
)


@dataclasses.dataclass(frozen=True)
class Decision:
    """The next effect, None where nothing is to be done; and when to look again although nothing has changed (monotonic)."""

    effect: Effect | None = None
    look_again_s: float | None = None


DONE = Decision()
LOOK_FOR_ROOM_S = 30.0
"""A host outside of the cluster may have room again by then."""
SHOWN_WITHIN_S = 30.0
"""A node that has taken a document shows it by then, or is asked again."""


def decide(scene: Scene) -> Decision:
    """The next effect for one machine."""
    machine = scene.machine
    if machine.is_deleting or scene.is_namespace_ending:
        return _remove(scene)
    if not machine.has_finalizer:
        return Decision(AddFinalizer())
    host = find_host(scene)
    if not host:
        return _find_room(scene)
    if machine.recorded_host != host:
        if not scene.sightings and (misled := _find_misled(scene, host)) is not None:
            return misled
        return _choose(scene, host)
    return _keep(scene, host)


def find_host(scene: Scene) -> str:
    """The machine's host; empty as long as it has none."""
    if scene.machine.recorded_host:
        return scene.machine.recorded_host
    if scene.sightings:
        return scene.sightings[0].host
    bound = [holder for holder in scene.holders if holder.host and not holder.is_spent]
    return bound[0].host if bound else ""


# a machine without a host


def _find_misled(scene: Scene, host: str) -> Decision | None:
    """What is done instead where a holder was bound to a host that will not do: its disks have got their place meanwhile."""
    obstacle = find_obstacle(scene.required, "")
    if obstacle is not None:
        return _tell(scene, obstacle)
    hosts = find_hosts(scene.required)
    if not hosts or host in hosts:
        return None
    return Decision(DiscardHolder(next(holder for holder in scene.holders if holder.host == host)))


def _find_room(scene: Scene) -> Decision:
    machine, wanted = scene.machine, scene.wanted
    if wanted.problem is not None:
        return _tell(scene, stalled(wanted.problem.reason, wanted.problem.message))
    if machine.adopts and not machine.wished_host:
        message = "say in spec.placement.host which host has the domain that is to be taken over"
        return _tell(scene, stalled("AdoptionNeedsHost", message))
    obstacle = find_obstacle(scene.required, machine.wished_host)
    if obstacle is not None:
        return _tell(scene, obstacle)
    if not scene.is_settled:
        return _tell(scene, Verdict(reason="HostsUnknown", message="every host is asked first whether it has it"))
    if scene.outside is not None:
        return _go_outside(scene, scene.outside)
    waiting = [holder for holder in scene.holders if not holder.is_spent]
    spent = [holder for holder in scene.holders if holder.is_spent]
    if not waiting:
        if spent:
            return Decision(DiscardHolder(spent[0]))
        return _create_holder(scene, CreateHolder(hosts=find_hosts(scene.required)))
    if len(waiting) > 1:
        return Decision(DiscardHolder(max(waiting, key=lambda holder: (holder.created, holder.uid))))
    if waiting[0].digest != wanted.holder:
        return Decision(DiscardHolder(waiting[0]))
    if waiting[0].obstacle:
        return _tell(scene, Verdict(reason="Unschedulable", message=waiting[0].obstacle))
    return DONE


def _go_outside(scene: Scene, outside: Outside) -> Decision:
    """A host without a Node is nothing that a scheduler could choose: the machine names it, and needs no holder."""
    if outside.obstacle:
        told = _tell(scene, Verdict(reason="Unschedulable", message=outside.obstacle))
        return dataclasses.replace(told, look_again_s=scene.now_s + LOOK_FOR_ROOM_S)
    return _choose(scene, outside.host)


def _choose(scene: Scene, host: str) -> Decision:
    chosen = Verdict(reason="Scheduled", message=f"host {host} was chosen", word="Scheduled")
    return Decision(PutStatus(own_status(scene.machine, chosen, scene.now, host=host), is_urgent=True))


def _create_holder(scene: Scene, effect: CreateHolder, *, is_quiet: bool = False) -> Decision:
    trouble = current_trouble(scene.holder_trouble, "holder", scene.now_s)
    if trouble is None:
        return Decision(effect)
    if is_quiet:
        return Decision(look_again_s=trouble.until_s)
    told = _tell(scene, Verdict(reason=trouble.reason, message=trouble.message))
    return dataclasses.replace(told, look_again_s=trouble.until_s)


# a machine with a host


def _keep(scene: Scene, host: str) -> Decision:
    reach = scene.reach(host)
    if reach is Reach.SYNCED:
        told = _keep_applied(scene, host)
    elif reach is Reach.CONNECTING:
        told = DONE
    else:
        told = _tell(scene, judge_lost(reach, host, "the machine may run there or not"))
    if told.effect is not None and not isinstance(told.effect, PutStatus):
        return told
    if isinstance(told.effect, PutStatus) and told.effect.is_urgent:
        return told
    room = _keep_room(scene, host)
    return room if room.effect is not None else _sooner(told, room)


def _sooner(one: Decision, other: Decision) -> Decision:
    times = [item.look_again_s for item in (one, other) if item.look_again_s is not None]
    return dataclasses.replace(one, look_again_s=min(times, default=None))


def _keep_applied(scene: Scene, host: str) -> Decision:
    machine, wanted = scene.machine, scene.wanted
    view = scene.view_on(host)
    obstacle = _find_conflict(scene, host)
    if obstacle is not None:
        return _tell(scene, obstacle, view)
    if wanted.problem is not None:
        return _tell(scene, stalled(wanted.problem.reason, wanted.problem.message), view)
    if view is not None and is_newer(view, machine.generation, scene.epoch):
        if not scene.is_fresh:
            return Decision(Refresh())
        return _tell(scene, judge_newer(view, machine.generation, scene.epoch, host), view)
    if view is not None and view.is_deleting:
        return _tell_node(scene, host, view)
    trouble = current_trouble(scene.call_trouble, wanted.digest, scene.now_s)
    if needs_apply(view, scene, host):
        if trouble is None:
            is_adoption = view is None and machine.adopts == machine.node_uid
            return Decision(AdoptOn(host, machine.adopts) if is_adoption else ApplyOn(host))
        return dataclasses.replace(_tell_trouble(scene, trouble, view), look_again_s=trouble.until_s)
    if view is None:
        return Decision(look_again_s=scene.now_s + SHOWN_WITHIN_S)
    misplaced = scene.required.find_misplaced(host)
    if misplaced and not is_ready(view.status):
        return _tell(scene, stalled("DiskElsewhere", misplaced), view)
    return _tell_node(scene, host, view)


def needs_apply(view: NodeView | None, scene: Scene, host: str) -> bool:
    """Whether the host holds something else than it should. Secrets are not shown by a node, which may have lost them with its store:
    they are given once in the life of both processes."""
    wanted, session = scene.wanted, scene.session(host)
    given = scene.delivered if scene.delivered is not None and scene.delivered.subject == wanted.digest else None
    if given is not None and given.session == session:
        return False
    if view is None or view.generation != scene.machine.generation or view.applied != wanted.digest:
        return True
    return wanted.has_secrets and (given is None or given.session.boot_id != session.boot_id)


def _find_conflict(scene: Scene, host: str) -> Verdict | None:
    others = sorted(seen.host for seen in scene.sightings if seen.host != host)
    if others:
        message = f"it is declared on host {', '.join(others)} as well; look which one runs, and remove the other there"
        return stalled("DeclaredTwice", message)
    namesake = next((seen for seen in scene.namesakes if seen.host == host), None)
    if namesake is None:
        return None
    return judge_namesake("machine", host, namesake.view)


def _tell_trouble(scene: Scene, trouble: Trouble, view: NodeView | None) -> Decision:
    if trouble.is_passing:
        word = str(view.status.get("printableStatus") or "Scheduled") if view is not None else "Scheduled"
        return _tell(scene, Verdict(reason=trouble.reason, message=trouble.message, word=word), view)
    return _tell(scene, stalled(trouble.reason, trouble.message), view)


def _keep_room(scene: Scene, host: str) -> Decision:
    """A holder on the machine's host, as large as the machine is, whatever became of the last one."""
    if scene.outside is not None:
        return Decision(DiscardHolder(scene.holders[0])) if scene.holders else DONE
    unfit = [holder for holder in scene.holders if not holder.is_spent and not _fits(holder, scene, host)]
    if unfit:
        return Decision(DiscardHolder(unfit[0]))
    fit = [holder for holder in scene.holders if not holder.is_spent and not _is_outgrown(holder, scene)]
    spent = tuple(holder for holder in scene.holders if holder.is_spent or _is_outgrown(holder, scene))
    if len(fit) > 1:
        return Decision(DiscardHolder(max(fit, key=lambda holder: (not holder.host, holder.created, holder.uid))))
    replaceable = [holder for holder in spent if holder.is_ended or (fit and fit[0].host)]
    if fit and replaceable:
        return Decision(DiscardHolder(replaceable[0]))
    if fit or scene.wanted.problem is not None:
        return DONE
    return _create_holder(scene, CreateHolder(pin=host, spent=spent), is_quiet=True)


def _is_outgrown(holder: Holder, scene: Scene) -> bool:
    """Whether the machine is larger or smaller now than what the holder was made for: its successor needs room of its own for a moment."""
    return bool(holder.host) and scene.wanted.problem is None and holder.holds != scene.wanted.holds


def _fits(holder: Holder, scene: Scene, host: str) -> bool:
    if holder.host:
        return holder.host == host
    return holder.pinned_to == host and (scene.wanted.problem is not None or holder.digest == scene.wanted.holder)


# deletion


def _remove(scene: Scene) -> Decision:
    machine = scene.machine
    if not machine.has_finalizer and not scene.holders:
        return DONE
    host = find_host(scene)
    places = list(dict.fromkeys([*([host] if host else []), *(seen.host for seen in scene.sightings)]))
    left = [place for place in places if place not in scene.gone_from]
    if left:
        if not _may_leave(scene, left[0]):
            return _remove_from(scene, left[0])
        left_behind = _left_behind(machine, left)
    else:
        left_behind = ""
    if scene.holders:
        return Decision(DiscardHolder(scene.holders[0]))
    # In a namespace that ends its own deletion comes last.
    return Decision(ReleaseFinalizer(left_behind)) if machine.has_finalizer and machine.is_deleting else DONE


def _may_leave(scene: Scene, host: str) -> bool:
    return scene.machine.is_forced and scene.reach(host) in (Reach.LOST, Reach.UNKNOWN)


def _left_behind(machine: Machine, hosts: list[str]) -> str:
    disks = [item.get("path") or item["name"] for item in machine.status.get("disks") or ()]
    volumes = f" with {', '.join(disks)}" if disks else ""
    name = machine.status.get("domainName") or f"{machine.namespace}_{machine.name}"
    return f"host {', '.join(hosts)} could not be asked: domain {name} (UUID {machine.node_uid}){volumes} may be left there, and may run"


def _remove_from(scene: Scene, host: str) -> Decision:
    machine, view = scene.machine, scene.view_on(host)
    reach = scene.reach(host)
    if reach is Reach.CONNECTING:
        return DONE
    if reach is not Reach.SYNCED:
        return _tell(scene, judge_lost_removal(host))
    subject = deletion_subject(host, machine)
    trouble = current_trouble(scene.call_trouble, subject, scene.now_s)
    if trouble is not None:
        told = _tell(scene, terminating(trouble.message, trouble.reason), view)
        return dataclasses.replace(told, look_again_s=trouble.until_s)
    is_under_way = view is not None and scene.delivered == Delivery(subject, scene.session(host))
    if not is_under_way:
        return Decision(DeleteOn(host, view.uid if view is not None else machine.node_uid, machine.is_forced))
    return _tell(scene, terminating(said_message(view) if view is not None else ""), view)


def deletion_subject(host: str, machine: Machine) -> str:
    """How `Delivery` and `Trouble` name a machine's deletion on a host."""
    return f"{'forced ' if machine.is_forced else ''}deletion on {host}"


def decide_orphans(
    holders: tuple[Holder, ...], sightings: tuple[Sighting, ...], scene_reach: dict[str, Reach]
) -> Decision:
    """Holders of a machine whose object is gone: somebody took its finalizer away. They go once no host shows the machine any more."""
    for holder in holders:
        is_sure = not holder.host or scene_reach.get(holder.host, Reach.UNKNOWN) in (Reach.SYNCED, Reach.UNKNOWN)
        if is_sure and not any(seen.host == holder.host for seen in sightings):
            return Decision(DiscardHolder(holder))
    return DONE


# status


def _tell(scene: Scene, verdict: Verdict, view: NodeView | None = None) -> Decision:
    said: dict[str, Any] | None = dict(view.status) if view is not None else None
    host = scene.machine.recorded_host
    return _put(scene, own_status(scene.machine, verdict, scene.now, host=host, said=said))


def _tell_node(scene: Scene, host: str, view: NodeView) -> Decision:
    said = view.status
    return _put(scene, node_status(scene.machine, said, host, scene.now)) if said else DONE


def _put(scene: Scene, status: Status) -> Decision:
    known = scene.machine.status
    if scene.is_told or status == known:
        return DONE
    return Decision(PutStatus(status, is_urgent(known, status)))
