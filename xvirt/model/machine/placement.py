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


class SelectorOperator(enum.Enum):
    """As in a pod's affinity; Gt and Lt of nodes' labels alone."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GT = "Gt"
    LT = "Lt"


class WhenUnsatisfiable(enum.Enum):
    """As in a pod."""

    DO_NOT_SCHEDULE = "DoNotSchedule"
    SCHEDULE_ANYWAY = "ScheduleAnyway"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectorRequirement:
    """One condition on a label."""

    key: str = field("Label's key.", LIVE)
    operator: SelectorOperator = field("How its value is compared.", LIVE)
    values: tuple[str, ...] = field("With what; none for Exists and DoesNotExist.", LIVE, default=(), max_items=64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeSelectorTerm:
    """All conditions of one term must hold."""

    match_expressions: tuple[SelectorRequirement, ...] = field("On the host's labels.", LIVE, default=(), max_items=32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeSelector:
    """One of the terms must hold."""

    node_selector_terms: tuple[NodeSelectorTerm, ...] = field("Terms.", LIVE, min_items=1, max_items=16)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreferredNode:
    """A term that counts for a host."""

    weight: int = field("How much.", LIVE, minimum=1, maximum=100)
    preference: NodeSelectorTerm = field("The term.", LIVE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeAffinity:
    """Which hosts a machine wants, by their labels."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = field("Must hold.", LIVE, default=None)
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredNode, ...] = field(
        "Had better hold.", LIVE, default=(), max_items=16
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelSelector:
    """Machines by their labels: all conditions must hold."""

    match_labels: Mapping[str, str] | None = field(
        "Labels and values.", LIVE, default=None, format=Format.LABEL_VALUE, max_length=63
    )
    match_expressions: tuple[SelectorRequirement, ...] = field("Conditions.", LIVE, default=(), max_items=32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PodAffinityTerm:
    """Near to, or far from, other machines (and pods): near is one value of a label of hosts."""

    label_selector: LabelSelector | None = field("Which machines; absent: none.", LIVE, default=None)
    topology_key: str = field("Label of hosts, such as `kubernetes.io/hostname`.", LIVE)
    namespaces: tuple[str, ...] = field(
        "Their namespaces; none: the machine's own.", LIVE, default=(), format=Format.LABEL, max_length=63, max_items=64
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreferredPods:
    """A term that counts for a host."""

    weight: int = field("How much.", LIVE, minimum=1, maximum=100)
    pod_affinity_term: PodAffinityTerm = field("The term.", LIVE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PodAffinity:
    """As in a pod. Machines' holders have their machines' labels, so terms may speak of either."""

    required_during_scheduling_ignored_during_execution: tuple[PodAffinityTerm, ...] = field(
        "Must hold.", LIVE, default=(), max_items=16
    )
    preferred_during_scheduling_ignored_during_execution: tuple[PreferredPods, ...] = field(
        "Had better hold.", LIVE, default=(), max_items=16
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Affinity:
    """As in a pod."""

    node_affinity: NodeAffinity | None = field("By hosts' labels.", LIVE, default=None)
    pod_affinity: PodAffinity | None = field("Near to machines.", LIVE, default=None)
    pod_anti_affinity: PodAffinity | None = field("Far from machines.", LIVE, default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TopologySpreadConstraint:
    """As in a pod: how evenly machines are spread over hosts, or groups of hosts."""

    max_skew: int = field("Most and fewest may differ by so many.", LIVE, default=1, minimum=1, maximum=1000)
    topology_key: str = field("Label of hosts that groups them.", LIVE)
    when_unsatisfiable: WhenUnsatisfiable = field(
        "What becomes of a machine that cannot be placed so.", LIVE, default=WhenUnsatisfiable.DO_NOT_SCHEDULE
    )
    label_selector: LabelSelector | None = field("Which machines count; absent: none.", LIVE, default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Placement:
    """Which host may run the machine. A node plugin runs what it is given; only a cluster's scheduler reads these."""

    host: str | None = field("The one host.", FIXED, default=None, format=Format.LABEL, max_length=63)
    node_selector: Mapping[str, str] | None = field(
        "Labels that the host must have.", LIVE, default=None, format=Format.LABEL_VALUE, max_length=63
    )
    affinity: Affinity | None = field("Hosts and neighbours that it wants or shuns.", LIVE, default=None)
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = field(
        "How machines are spread.", LIVE, default=(), max_items=16
    )
    tolerations: tuple[Toleration, ...] = field("Taints that are put up with.", LIVE, default=())
    priority_class_name: str | None = field("PriorityClass.", LIVE, default=None, format=Format.DOMAIN_NAME)
