"""Which host may run a VirtualMachine."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

from xvirt.model.fields import Format, Mutability, field

LIVE, FIXED = Mutability.LIVE, Mutability.FIXED


class TolerationOperator(enum.Enum):
    """As in a pod."""

    EXISTS = "Exists"
    EQUAL = "Equal"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toleration:
    """As in a pod."""

    key: str = field("Taint's key; empty: every key.", LIVE, default="")
    operator: TolerationOperator = field("How the value is compared.", LIVE, default=TolerationOperator.EQUAL)
    value: str = field("Taint's value.", LIVE, default="")
    effect: str = field("Taint's effect; empty: every effect.", LIVE, default="")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Placement:
    """Which host may run the machine. A node plugin runs what it is given; only a cluster's scheduler reads these."""

    host: str | None = field("The one host.", FIXED, default=None, format=Format.LABEL, max_length=63)
    node_selector: Mapping[str, str] | None = field(
        "Labels that the host must have.", LIVE, default=None, format=Format.LABEL_VALUE, max_length=63
    )
    tolerations: tuple[Toleration, ...] = field("Taints that are put up with.", LIVE, default=())
    priority_class_name: str | None = field("PriorityClass.", LIVE, default=None, format=Format.DOMAIN_NAME)
