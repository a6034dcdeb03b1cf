"""What a decision about a machine is made from, as plain values: the cluster's objects and the nodes' views, read into a few fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from xvirt.model.errors import XvirtError
from xvirt.operator.dependents.references import RequiredHosts
from xvirt.operator.kinds import KNOWN
from xvirt.operator.names import (
    ADOPT_ANNOTATION,
    DIGEST_ANNOTATION,
    FINALIZER,
    FORCE_DELETE_ANNOTATION,
    HOLDS_ANNOTATION,
    PINNED_ANNOTATION,
)
from xvirt.operator.nodes.state import Reach, Session, Sighting
from xvirt.operator.nodes.views import NodeView
from xvirt.operator.readings import part_of
from xvirt.operator.troubles import Trouble


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """A VirtualMachine of the cluster."""

    namespace: str
    name: str
    uid: str
    version: str
    generation: int
    is_deleting: bool = False
    finalizers: tuple[str, ...] = ()
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    spec: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    status: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def has_finalizer(self) -> bool:
        return FINALIZER in self.finalizers

    @property
    def is_forced(self) -> bool:
        """Whether its deletion is not to wait for a host that cannot be reached."""
        return self.annotations.get(FORCE_DELETE_ANNOTATION) == "true"

    @property
    def adopts(self) -> str:
        """UUID of the domain that it takes over; empty for one that is made."""
        return self.annotations.get(ADOPT_ANNOTATION, "").strip().lower()

    @property
    def node_uid(self) -> str:
        """What its node calls it by: its own uid, or the UUID of the domain that it took over (once known, whatever is annotated)."""
        return str(self.status.get("uuid") or "") or self.adopts or self.uid

    @property
    def recorded_host(self) -> str:
        """The host that was written down before anything was done there."""
        return str(self.status.get("nodeName") or "")

    @property
    def wished_host(self) -> str:
        """The one host that the spec names."""
        return str(part_of(self.spec, "placement").get("host") or "")


def read_machine(item: Mapping[str, Any]) -> Machine:
    """From the API server's object."""
    metadata = item["metadata"]
    return Machine(
        namespace=metadata.get("namespace") or "",
        name=metadata["name"],
        uid=metadata.get("uid") or "",
        version=metadata.get("resourceVersion") or "",
        generation=int(metadata.get("generation") or 0),
        is_deleting=bool(metadata.get("deletionTimestamp")),
        finalizers=tuple(metadata.get("finalizers") or ()),
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        spec=part_of(item, "spec"),
        status=KNOWN["VirtualMachine"].known_of(part_of(item, "status")),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """A machine's pod: it holds the room that the machine takes on its host.

    `host`: the node that it is bound to. `pinned_to`: the only ones that it may be bound to, with commas; empty: what its spec says.
    `obstacle`: the scheduler's word on why it is not bound. `holds`: the machine's size that it was made for; `digest`: of all that it
    asks for.
    """

    namespace: str
    name: str
    uid: str
    version: str
    host: str = ""
    pinned_to: str = ""
    phase: str = "Pending"
    is_deleting: bool = False
    has_finalizer: bool = True
    obstacle: str = ""
    created: str = ""
    holds: str = ""
    digest: str = ""

    @property
    def is_spent(self) -> bool:
        """Whether the scheduler no longer counts it, or will not for long."""
        return self.is_deleting or self.is_ended

    @property
    def is_ended(self) -> bool:
        """Whether it holds no room any more."""
        return self.phase in ("Succeeded", "Failed")


def read_holder(item: Mapping[str, Any]) -> Holder:
    """From the API server's pod."""
    metadata, status = item["metadata"], item.get("status") or {}
    annotations = metadata.get("annotations") or {}
    conditions: Sequence[Mapping[str, Any]] = status.get("conditions") or ()
    scheduled = next((one for one in conditions if one.get("type") == "PodScheduled"), {})
    return Holder(
        namespace=metadata.get("namespace") or "",
        name=metadata["name"],
        uid=metadata.get("uid") or "",
        version=metadata.get("resourceVersion") or "",
        host=(item.get("spec") or {}).get("nodeName") or "",
        pinned_to=annotations.get(PINNED_ANNOTATION, ""),
        phase=status.get("phase") or "Pending",
        is_deleting=bool(metadata.get("deletionTimestamp")),
        has_finalizer=FINALIZER in (metadata.get("finalizers") or ()),
        obstacle=str(scheduled.get("message") or "") if scheduled.get("status") == "False" else "",
        created=str(metadata.get("creationTimestamp") or ""),
        holds=annotations.get(HOLDS_ANNOTATION, ""),
        digest=annotations.get(DIGEST_ANNOTATION, ""),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What the machine's node is to hold. `digest`: of document, profile and versions of the Secrets; `problem`: why it cannot be sent.

    `holds`: the machine's size, as `Holder.holds` says it; `holder`: digest of the holder that the machine should have, pinned to its host
    where it has one.
    """

    digest: str = ""
    holds: str = ""
    holder: str = ""
    has_secrets: bool = False
    profile: str = ""
    problem: XvirtError | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """What a node has answered to last: a digest, or a deletion. Its views show it a moment later, or the next snapshot does."""

    subject: str
    session: Session


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Outside:
    """A host that is no Node of the cluster, which the machine names: nobody but the operator counts its room. `obstacle`: why it does not
    take the machine; empty where it does."""

    host: str
    obstacle: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Everything that is known of one machine.

    `sightings`: where nodes show its node uid. `namesakes`: objects of this cluster with its name and another uid.
    `outside`: the host that the machine has or names, where it is outside of the cluster. `reaches`: of each host that is named here. `is_settled`: every host has been asked once since this operator leads.
    `is_namespace_ending`: its namespace is being deleted, which cannot be taken back. Kubernetes deletes all pods of it, and the machines only
    once no pod is left.
    `is_fresh`: the machine was read from the API server itself, not from a cache, in just this version.
    `required`: where its disks and pools bind it to. `delivered`: what its node has answered to last in this operator's life. `gone_from`: hosts that have answered that they do not have
    it. `is_told`: the status that is wished was written, and differs only by what the API server makes of it. `now`: for `lastTransitionTime`; `now_s`: monotonic.
    """

    machine: Machine
    holders: tuple[Holder, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    namesakes: tuple[Sighting, ...] = ()
    outside: Outside | None = None
    reaches: Mapping[str, Reach] = dataclasses.field(default_factory=dict)
    sessions: Mapping[str, Session] = dataclasses.field(default_factory=dict)
    wanted: Wanted = Wanted()
    required: RequiredHosts = dataclasses.field(default_factory=RequiredHosts)
    epoch: int = 0
    is_settled: bool = True
    is_namespace_ending: bool = False
    is_fresh: bool = False
    delivered: Delivery | None = None
    gone_from: frozenset[str] = frozenset()
    call_trouble: Trouble | None = None
    holder_trouble: Trouble | None = None
    is_told: bool = False
    now: str = "1970-01-01T00:00:00Z"
    now_s: float = 0.0

    def reach(self, host: str) -> Reach:
        """How well a host is known."""
        return self.reaches.get(host, Reach.UNKNOWN)

    def session(self, host: str) -> Session:
        """The life of a host's node that the views are of."""
        return self.sessions.get(host, Session())

    def view_on(self, host: str) -> NodeView | None:
        """The machine as a host shows it."""
        return next((seen.view for seen in self.sightings if seen.host == host), None)
