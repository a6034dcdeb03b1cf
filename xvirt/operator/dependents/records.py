"""What a decision about a disk, image, network or pool is made from, as plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from xvirt.operator.kinds import KNOWN
from xvirt.operator.names import FINALIZER, FORCE_DELETE_ANNOTATION
from xvirt.operator.nodes.state import Reach, Session
from xvirt.operator.nodes.views import NodeView
from xvirt.operator.readings import list_of, part_of
from xvirt.operator.troubles import Trouble
from xvirt.operator.verdicts import is_newer


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Traits:
    """How a kind lives in a cluster.

    `is_single`: one host has it, recorded in `status.nodeName`; else those of `status.hosts`. `is_everywhere`: hosts have it whether
    anything names it or not, and a host that is not to have it any more gives it up. `ready_word`: what a node calls a ready one.
    """

    kind: str
    is_single: bool = False
    is_everywhere: bool = False
    ready_word: str = "Ready"


DISK = Traits(kind="VirtualDisk", is_single=True)
IMAGE = Traits(kind="VirtualImage")
NETWORK = Traits(kind="VirtualNetwork", ready_word="Active")
POOL = Traits(kind="StoragePool", is_everywhere=True, ready_word="Active")
ALL = (POOL, NETWORK, IMAGE, DISK)
"""In the order in which they depend on each other."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Dependent:
    """An object of the cluster. `namespace` is empty for a pool."""

    traits: Traits
    namespace: str
    name: str
    uid: str
    version: str
    generation: int
    is_deleting: bool = False
    has_finalizer: bool = False
    is_forced: bool = False
    spec: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    status: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def recorded(self) -> tuple[str, ...]:
        """The hosts that were written down before anything was asked of them."""
        if self.traits.is_single:
            host = str(self.status.get("nodeName") or "")
            return (host,) if host else ()
        return tuple(str(item["name"]) for item in list_of(self.status, "hosts"))

    @property
    def title(self) -> str:
        """For messages."""
        return (
            f"{self.traits.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.traits.kind} {self.name}"
        )


def read_dependent(traits: Traits, item: Mapping[str, Any]) -> Dependent:
    """From the API server's object."""
    metadata = item["metadata"]
    return Dependent(
        traits=traits,
        namespace=metadata.get("namespace") or "",
        name=metadata["name"],
        uid=metadata.get("uid") or "",
        version=metadata.get("resourceVersion") or "",
        generation=int(metadata.get("generation") or 0),
        is_deleting=bool(metadata.get("deletionTimestamp")),
        has_finalizer=FINALIZER in (metadata.get("finalizers") or ()),
        is_forced=(metadata.get("annotations") or {}).get(FORCE_DELETE_ANNOTATION) == "true",
        spec=part_of(item, "spec"),
        status=KNOWN[traits.kind].known_of(part_of(item, "status")),
    )


DELETION = "deletion"
"""Subject of a call; others are digests of what hosts are to hold."""


@dataclasses.dataclass(frozen=True, slots=True)
class Delivery:
    """What a host has answered to last, a digest or `DELETION`. Its views show it a moment later, or the next snapshot does; after
    `until_s` they should have."""

    subject: str
    session: Session
    until_s: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What is known of an object on one host.

    `namesake`: an object of this cluster with its name and another uid. `is_gone`: the host has answered that it does not have it.
    """

    reach: Reach = Reach.SYNCED
    session: Session = dataclasses.field(default_factory=Session)
    view: NodeView | None = None
    namesake: NodeView | None = None
    trouble: Trouble | None = None
    delivered: Delivery | None = None
    is_gone: bool = False

    @property
    def is_heard(self) -> bool:
        """Whether its views are, or were, of this life of the operator."""
        return bool(self.session.number)

    def has_answered(self, subject: str, now_s: float) -> bool:
        """Whether the host has taken this, and its views are about to show it."""
        given = self.delivered
        return given is not None and (given.subject, given.session) == (subject, self.session) and now_s < given.until_s


@dataclasses.dataclass(frozen=True, slots=True)
class Problem:
    """Why an object cannot be anywhere."""

    reason: str
    message: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Everything that is known of one object.

    `needed`: hosts that are to have it. `parts`: of those, of the recorded ones, and of those that show it. `users`: what of the cluster
    keeps it from being deleted. `is_settled`: every host has been asked once since this operator leads. `is_fresh`: the object was read
    from the API server itself, in just this version. `digest`: of what hosts are to hold. `now_s`: monotonic.
    """

    item: Dependent
    needed: frozenset[str] = frozenset()
    parts: Mapping[str, Part] = dataclasses.field(default_factory=dict)
    users: tuple[str, ...] = ()
    problem: Problem | None = None
    digest: str = ""
    epoch: int = 0
    is_settled: bool = True
    is_fresh: bool = False
    now_s: float = 0.0

    def part(self, host: str) -> Part:
        """What is known of it on a host."""
        return self.parts.get(host, Part(reach=Reach.UNKNOWN))

    def is_behind(self, part: Part) -> bool:
        """Whether a host knows more of it than this operator."""
        return part.view is not None and is_newer(part.view, self.item.generation, self.epoch)

    @property
    def places(self) -> tuple[str, ...]:
        """Every host that may have it, sorted."""
        return tuple(sorted(self.parts))
