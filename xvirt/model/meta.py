"""What every object has besides its spec: names, identity, conditions."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from xvirt.model import limits
from xvirt.model.fields import Format, Mutability, field

DEFAULT_NAMESPACE = "default"


class Scope(enum.Enum):
    """Whether names are unique per namespace or over all."""

    NAMESPACED = "Namespaced"
    CLUSTER = "Cluster"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectMeta:
    """Names and identity. What an API server adds beyond these fields (managedFields and the like) is passed over."""

    name: str = field(
        "Name of the object, unique per kind and namespace.", Mutability.FIXED, format=Format.LABEL, max_length=63
    )
    namespace: str = field(
        "Namespace of the object; ignored for cluster-scoped kinds.",
        Mutability.FIXED,
        default=DEFAULT_NAMESPACE,
        format=Format.LABEL,
        max_length=63,
    )
    uid: str | None = field(
        "Identity of the object for its whole life; a new domain gets it as its UUID.",
        Mutability.FIXED,
        default=None,
        format=Format.UUID,
    )
    generation: int | None = field(
        "Number of the spec's version, counted up with each change.",
        Mutability.LIVE,
        default=None,
        minimum=0,
        maximum=(1 << 63) - 1,
    )
    labels: Mapping[str, str] | None = field(
        "Labels to select by.",
        Mutability.LIVE,
        default=None,
        format=Format.LABEL_VALUE,
        max_items=limits.LABELS_MAX,
        max_length=63,
    )
    annotations: Mapping[str, str] | None = field(
        "Free text for tools.",
        Mutability.LIVE,
        default=None,
        max_items=limits.LABELS_MAX,
        max_length=limits.ANNOTATION_MAX_LENGTH,
    )


class ConditionStatus(enum.Enum):
    """Kubernetes' three values."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class ConditionType(enum.Enum):
    """The conditions of DESIGN law 10; `Drifted` and `Accelerated` stand only where they have something to say, `Confined` only of
    a machine that runs."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    RESTART_REQUIRED = "RestartRequired"
    MIGRATABLE = "Migratable"
    AGENT_CONNECTED = "AgentConnected"
    DRIFTED = "Drifted"
    ACCELERATED = "Accelerated"
    CONFINED = "Confined"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition as Kubernetes and kstatus read it."""

    type: ConditionType = field("Which condition.", Mutability.LIVE)
    status: ConditionStatus = field("True, False or Unknown.", Mutability.LIVE)
    reason: str = field("Stable CamelCase word for machines.", Mutability.LIVE)
    message: str = field("One sentence for people.", Mutability.LIVE, default="", max_length=4096)
    observed_generation: int = field("Generation that this was said of.", Mutability.LIVE, default=0)
    last_transition_time: str = field(
        "When `status` last changed.", Mutability.LIVE, default="1970-01-01T00:00:00Z", format=Format.TIMESTAMP
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LastError:
    """What went wrong last, with libvirt's own number."""

    reason: str = field("Stable CamelCase word.", Mutability.LIVE)
    message: str = field("What failed, on what, and what to do.", Mutability.LIVE, max_length=4096)
    libvirt_code: int | None = field("libvirt's virErrorNumber.", Mutability.LIVE, default=None)
    time: str | None = field("When.", Mutability.LIVE, default=None, format=Format.TIMESTAMP)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostState:
    """An object as one host of a cluster has it."""

    name: str = field("The host.", Mutability.LIVE, format=Format.LABEL, max_length=63)
    state: str = field(
        "One word: what the host says; Pending before it was asked, Unknown while it cannot be.",
        Mutability.LIVE,
        default="Pending",
    )
    message: str = field("Why it is not ready there.", Mutability.LIVE, default="", max_length=4096)


HOST_STATES_MAX = 1024


def host_states() -> Any:
    """The `hosts` of a status whose object may be on several hosts."""
    return field(
        "In a cluster: the hosts that have it, or are about to.",
        Mutability.LIVE,
        default=(),
        list_key="name",
        max_items=HOST_STATES_MAX,
    )


@dataclasses.dataclass(frozen=True)
class Resource:
    """One typed document: `spec` and `status` are instances of the kind's dataclasses (`xvirt.model.kinds`)."""

    kind: str
    metadata: ObjectMeta
    spec: Any
    status: Any = None

    @property
    def key(self) -> str:
        """`Kind namespace/name`, for messages; a cluster-scoped kind has no namespace."""
        place = f"{self.metadata.namespace}/" if self.metadata.namespace else ""
        return f"{self.kind} {place}{self.metadata.name}"
