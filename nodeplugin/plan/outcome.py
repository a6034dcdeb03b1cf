"""What a plan says besides its steps: what it waits for, what stands in its way, what a restart would bring."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from nodeplugin.plan.step import Step


@dataclasses.dataclass(frozen=True)
class Obstacle:
    """Why an object is not (yet) as declared: stable `reason`, one sentence."""

    reason: str
    message: str


KEPT_BYTES_MAX = 768
"""Of what is told of volumes that stay. An Event of the cluster holds 1024 bytes, host, namespace and object included."""


@dataclasses.dataclass(frozen=True)
class Kept:
    """A volume that outlives its object: because its policy says so, because `users` have it, or perhaps, where it cannot be seen."""

    path: str
    users: tuple[str, ...] = ()
    is_hidden: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """`waiting`: will go on by itself once something else is there. `blocked`: needs somebody to change something.
    `check_after_s`: look again then, although no event may come."""

    steps: tuple[Step, ...] = ()
    waiting: tuple[Obstacle, ...] = ()
    blocked: tuple[Obstacle, ...] = ()
    restart_required: tuple[str, ...] = ()
    drift: tuple[str, ...] = ()
    check_after_s: float | None = None
    is_gone: bool = False
    """Deletion only: nothing of the object is left on the host, but for `kept`."""
    kept: tuple[Kept, ...] = ()
    """Deletion only: volumes that stay, or may stay."""


def in_use(path: str, users: Sequence[str]) -> Obstacle:
    """A volume that is to go, and that others have."""
    return Obstacle("InUse", f"volume {path} is used by {', '.join(users)}; it is deleted once they are gone")


def kept_message(kept: Sequence[Kept]) -> str:
    """What is told of volumes that outlive their object: by path, as many as fit."""
    for count in range(len(kept), 0, -1):
        rest = len(kept) - count
        message = _tell_kept(kept[:count]) + (f"; and {rest} more" if rest else "")
        if len(message.encode()) <= KEPT_BYTES_MAX:
            return message
    return f"{len(kept)} volumes stay or may stay, whose paths are too long to be told; `xvirt get orphans` lists what is there"


def _tell_kept(kept: Sequence[Kept]) -> str:
    parts = []
    if retained := [item.path for item in kept if not item.users and not item.is_hidden]:
        told = _tell_paths(retained, "stays", "stay")
        parts.append(f"{told}, as deletionPolicy says; who declares the same again finds the content as it is")
    parts += [f"volume {item.path} stays, used by {', '.join(item.users)}" for item in kept if item.users]
    if hidden := [item.path for item in kept if item.is_hidden]:
        parts.append(f"{_tell_paths(hidden, 'may stay', 'may stay')}: what holds it cannot be seen now")
    return "; ".join(parts)


def _tell_paths(paths: Sequence[str], one: str, many: str) -> str:
    return f"volume {paths[0]} {one}" if len(paths) == 1 else f"volumes {', '.join(paths)} {many}"
