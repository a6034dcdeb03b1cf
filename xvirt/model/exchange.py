"""What crosses the node RPC, as plain values: the words that client, server and converger share. `xvirt.wire` knows the messages."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]
"""A document as JSON values: apiVersion, kind, metadata, spec, and status where a node answers."""


class Impact(enum.Enum):
    """What a step or a field's change does to a running machine."""

    NONE = "none"
    LIVE = "live"
    RESTART = "restart"
    REFUSED = "refused"


class DryRun(enum.Enum):
    """Whether Apply stores."""

    NONE = "none"
    PLAN = "plan"


class Detail(enum.Enum):
    """How much of each object List tells: the whole, or its state alone (names, labels, state and conditions, no spec)."""

    WHOLE = "whole"
    STATE = "state"


class Verb(enum.Enum):
    """One-shot acts upon a machine."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    RESET = "reset"
    PAUSE = "pause"
    RESUME = "resume"
    SAVE = "save"
    RESTORE = "restore"


class OperationState(enum.Enum):
    """Where an operation stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"

    @property
    def is_final(self) -> bool:
        return self in (OperationState.SUCCEEDED, OperationState.FAILED)


class EventType(enum.Enum):
    """Kubernetes' two event types."""

    NORMAL = "Normal"
    WARNING = "Warning"


class WatchType(enum.Enum):
    """Kinds of messages in a watch."""

    OBJECT = "object"
    DELETED = "deleted"
    SYNCED = "synced"
    OPERATION = "operation"
    EVENT = "event"
    HEARTBEAT = "heartbeat"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectRef:
    """Who an object is. A request gives either `uid` or `kind`, `namespace` and `name`; an answer all of them."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    authority: str = ""

    def __str__(self) -> str:
        if not self.name:
            return f"uid {self.uid}"
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Token:
    """Fencing token, compared as (epoch, generation) per object within one authority.

    `generation` 0 asks the node for the next one; then `if_generation` is the generation seen last (compare-and-set), -1 for any.
    An empty `authority` means the caller's only one.
    """

    authority: str = ""
    epoch: int = 0
    generation: int = 0
    if_generation: int = -1


@dataclasses.dataclass(frozen=True, kw_only=True)
class SecretContent:
    """Content of one Secret as the caller resolved it."""

    name: str
    data: Mapping[str, bytes] = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectView:
    """A stored object: `document` holds metadata, spec and status."""

    ref: ObjectRef
    document: Document
    token: Token
    is_deleting: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """One step of a plan, for people: `name` such as `define-domain`, one line, and what it does to a running machine."""

    name: str
    summary: str
    impact: Impact


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldChange:
    """A field whose wished value differs from the stored one; `old` and `new` are JSON values (None: absent)."""

    path: str
    old: Any
    new: Any
    impact: Impact
    reason: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ApplyCall:
    """One Apply. `seen_volumes`: paths of volumes that the caller has seen this object to have on this node; where the node has forgotten
    the object, none of them is made anew."""

    document: Document
    token: Token = Token()
    secrets: tuple[SecretContent, ...] = ()
    dry_run: DryRun = DryRun.NONE
    profile: str = ""
    seen_volumes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ApplyResult:
    """Apply's answer: validated, allowed, stored durably, with the plan that is about to run."""

    object: ObjectView
    plan: tuple[PlannedStep, ...] = ()
    changes: tuple[FieldChange, ...] = ()
    waiting_for: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdoptCall:
    """Take over a domain that nobody declares. Without `document` the node writes it from the domain, for an object `name` (empty: made
    from the domain's) in `namespace`."""

    domain_uuid: str
    document: Document | None = None
    namespace: str = ""
    name: str = ""
    token: Token = Token()
    secrets: tuple[SecretContent, ...] = ()
    dry_run: DryRun = DryRun.NONE
    profile: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForeignDomain:
    """A domain of the host that nobody declares. `object_name`: what Adopt would call it; `obstacle`: why it cannot be adopted, as far
    as is known without looking at it closely."""

    uuid: str
    name: str
    power_state: str
    object_name: str
    obstacle: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperateCall:
    """One act. `operation_id` is the caller's; the same id again answers the same operation. `grace_period_s` None: the spec's."""

    ref: ObjectRef
    verb: Verb
    operation_id: str
    token: Token = Token()
    force: bool = False
    grace_period_s: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Operation:
    """An act and how it went. Times are RFC 3339 in UTC, empty where not yet."""

    id: str
    ref: ObjectRef
    verb: Verb
    state: OperationState
    message: str = ""
    reason: str = ""
    libvirt_code: int = 0
    started: str = ""
    finished: str = ""
    progress_percent: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """Something worth telling about an object; equal ones are counted, not repeated."""

    ref: ObjectRef
    type: EventType
    reason: str
    message: str
    count: int = 1
    first_seen: str = ""
    last_seen: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class WatchEvent:
    """One message of a watch: snapshot objects, SYNCED, then deltas, numbered within one `boot_id`."""

    type: WatchType
    boot_id: str
    sequence: int
    object: ObjectView | None = None
    operation: Operation | None = None
    event: Event | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class DescribedPart:
    """One part of a description: a JSON value, or why it is missing."""

    name: str
    value: Any = None
    error: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """Everything about one object."""

    object: ObjectView
    events: tuple[Event, ...] = ()
    operations: tuple[Operation, ...] = ()
    parts: tuple[DescribedPart, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeDescription:
    """A VirtualHost document and what the node can do."""

    document: Document
    capabilities: tuple[str, ...] = ()


class OrphanKind(enum.Enum):
    """What an orphan is."""

    VOLUME = "Volume"
    SEED = "Seed"
    NVRAM = "Nvram"
    CONSOLE_LOG = "ConsoleLog"
    NETWORK = "Network"
    DOMAIN = "Domain"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Orphan:
    """Something on the host that is ours by name or mark, and that nobody declares. The node lists it and never removes it.

    `namespace` is empty where nothing tells whose it is. `location`: path, or UUID of a network or domain. `size_bytes`: space that
    it takes. `reason` is stable; `message`, `take_back` and `removal` are sentences: why it is one, what ends that, and how.
    """

    kind: OrphanKind
    namespace: str
    name: str
    location: str
    reason: str
    message: str
    take_back: str
    removal: str
    pool: str = ""
    size_bytes: int = 0
    used_by: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Caller:
    """Who calls, as the transport proved it: its authorities, the namespaces and the policy profiles that it may use.

    `namespaces` holds names or `*`. `profiles` is ordered from the strictest to the most liberal. `is_host_root`: over the Unix socket.
    """

    name: str
    authorities: tuple[str, ...]
    namespaces: tuple[str, ...]
    profiles: tuple[str, ...]
    is_host_root: bool = False
