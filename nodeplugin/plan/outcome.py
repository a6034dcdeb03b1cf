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
    kept: tuple[str, ...] = ()
    """Deletion only: paths of volumes that stay, because their policy says so."""


def kept_message(paths: Sequence[str]) -> str:
    """What is told of volumes that outlive their object."""
    what = f"volume {paths[0]} stays" if len(paths) == 1 else f"volumes {', '.join(paths)} stay"
    return f"{what}, as deletionPolicy says; who declares the same again finds the content as it is"
