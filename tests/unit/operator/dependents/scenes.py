"""Scenes of dependents for decisions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xvirt.operator.dependents.records import (
    DELETION,
    DISK,
    IMAGE,
    NETWORK,
    POOL,
    Delivery,
    Dependent,
    Part,
    Scene,
    Traits,
)
from xvirt.operator.nodes.state import Reach, Session
from xvirt.operator.nodes.views import NodeView, ViewKey
from xvirt.operator.packing import pack
from xvirt.operator.troubles import Trouble

__all__ = [
    "DELETION",
    "DISK",
    "IMAGE",
    "NETWORK",
    "POOL",
    "deleted",
    "item",
    "part",
    "ready",
    "scene",
    "trouble",
    "view",
]
DIGEST = "digest-1"
SESSION = Session("boot-1", 1)


def conditions(ready: str = "True", reason: str = "Ready", message: str = "", **more: str) -> list[dict[str, Any]]:
    """Node's conditions; `more` are other types and their status."""
    values = {"Ready": ready, "Reconciling": "False", "Stalled": "False", **more}
    return [
        {"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 1}
        for kind, status in values.items()
    ]


def item(traits: Traits = NETWORK, *, hosts: Iterable[str] = (), **more: Any) -> Dependent:
    """An object with its finalizer, recorded on `hosts`."""
    status = more.pop("status", {})
    if traits.is_single:
        status = {"nodeName": next(iter(hosts), ""), **status}
    elif hosts:
        status = {"hosts": [{"name": host, "state": "Pending"} for host in hosts], **status}
    made: dict[str, Any] = {
        "namespace": "" if traits is POOL else "default",
        "name": "lan",
        "uid": "uid-1",
        "version": "7",
        "generation": 1,
        "has_finalizer": True,
    }
    return Dependent(traits=traits, status=status, **{**made, **more})


def view(
    *,
    uid: str = "uid-1",
    generation: int = 1,
    applied: str = DIGEST,
    epoch: int = 1,
    is_deleting: bool = False,
    **status: Any,
) -> NodeView:
    """What a node shows; without a status of its own it is ready."""
    said = {"observedGeneration": generation, "printableStatus": "Active", "conditions": conditions(), **status}
    return NodeView(
        key=ViewKey("VirtualNetwork", "default", "lan"),
        uid=uid,
        authority="cluster",
        epoch=epoch,
        generation=generation,
        is_deleting=is_deleting,
        applied=applied,
        packed_status=pack(said),
    )


def part(shown: NodeView | None = None, **more: Any) -> Part:
    """A host that is heard."""
    return Part(view=shown, **{"session": SESSION, **more})


def ready(**status: Any) -> Part:
    """A host on which it is as declared."""
    return part(view(**status))


def deleted(session: Session = SESSION) -> Delivery:
    """That a deletion was taken."""
    return Delivery(DELETION, session, 1000.0)


def trouble(
    subject: str = DIGEST, *, reason: str = "Refused", is_passing: bool = False, until_s: float = 50.0
) -> Trouble:
    return Trouble(subject, reason, "it cannot be", is_passing, until_s)


def scene(dependent: Dependent | None = None, needed: Iterable[str] = (), **more: Any) -> Scene:
    """`needed` hosts that are not among `parts` are heard and do not have it."""
    needed = frozenset(needed)
    dependent = dependent or item()
    parts = {host: part() for host in (*needed, *dependent.recorded)} | more.pop("parts", {})
    return Scene(item=dependent, needed=needed, parts=parts, **{"digest": DIGEST, "epoch": 1, "now_s": 10.0, **more})


LOST, UNKNOWN, CONNECTING = (
    Part(reach=reach, session=SESSION) for reach in (Reach.LOST, Reach.UNKNOWN, Reach.CONNECTING)
)
UNHEARD = Part(reach=Reach.CONNECTING)
