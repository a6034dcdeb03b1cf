"""How well a host is known, and which life of its node the operator's views are of."""

from __future__ import annotations

import dataclasses
import enum

from xvirt.operator.nodes.views import NodeView


class Reach(enum.Enum):
    """How well the operator knows a host at present.

    SYNCED: its views are what is there. CONNECTING: they may be old, for a short while. LOST: it has not been heard for long.
    UNKNOWN: there is no such host.
    """

    SYNCED = "synced"
    CONNECTING = "connecting"
    LOST = "lost"
    UNKNOWN = "unknown"


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """One life of a node's process, and the number of the snapshot that the operator has of it."""

    boot_id: str = ""
    number: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Sighting:
    """An object of a node, as it was seen last."""

    host: str
    view: NodeView
