"""Effects that every kind's decisions share: each is one request, or one that is repeated without harm. Pure."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class AddFinalizer:
    """Before anything is asked of a host."""


@dataclasses.dataclass(frozen=True)
class ReleaseFinalizer:
    """Nothing is left to do. `left_behind`: what may stay somewhere, for an Event."""

    left_behind: str = ""


@dataclasses.dataclass(frozen=True)
class Refresh:
    """Read the object from the API server itself: a node knows a newer generation."""


@dataclasses.dataclass(frozen=True)
class ApplyOn:
    """Give the host the document."""

    host: str


@dataclasses.dataclass(frozen=True)
class DeleteOn:
    """Have the host let go of the object; its answer that there is none is what is waited for. `is_forced`: at once."""

    host: str
    uid: str
    is_forced: bool = False
