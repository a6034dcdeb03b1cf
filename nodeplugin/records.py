"""What the store keeps of one object, as plain values that plan, converge and service share."""

from __future__ import annotations

import dataclasses
import enum
import threading
from collections.abc import Mapping
from typing import Any

from xvirt.model.codec import canonical_json, from_json, parse
from xvirt.model.exchange import ObjectRef, ObjectView, Token
from xvirt.model.identity import host_name
from xvirt.model.meta import Resource


class Deletion(enum.Enum):
    """Whether an object is on its way out."""

    NONE = "none"
    GRACEFUL = "graceful"
    FORCED = "forced"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a machine's run strategy must remember beyond what libvirt tells.

    `is_held_off`: stopped by hand, until started by hand. `is_start_requested`: started by hand, not yet seen running.
    `has_started`: ran at least once (Once). `is_finished`: the guest shut itself down (RerunOnFailure).
    `restart_from`: the domain id that a requested restart is to end. `stop_grace_s`: overrides the spec's for this stop.
    `defined_hash`: canonical hash of the definition as libvirt dumped it after our last define; differs: drift.
    `ready_in`: the domain id in which the readiness probe passed last. `failed_in`: the domain id that is to end because its liveness probe
    failed, until the next start; 0, which no domain has: it ended by itself, and that was a failure.
    `defined_xml`: that definition, packed (`xvirt.domainxml.drift`), to tell what drifted; empty as long as it is not known.
    `domain_name`: what an adopted domain was called before, and is for ever; empty: as every machine's.
    `garbage`: volumes whose declaration was removed with policy Delete, to be deleted once nobody uses them.
    `expected`: volumes that a caller knew when this node had forgotten the object: they were made once, and are not made again.
    """

    is_held_off: bool = False
    is_start_requested: bool = False
    is_paused: bool = False
    is_save_requested: bool = False
    has_started: bool = False
    is_finished: bool = False
    restart_from: int | None = None
    stop_grace_s: int | None = None
    restarts: int = 0
    ready_in: int | None = None
    failed_in: int | None = None
    defined_hash: str = ""
    defined_xml: str = ""
    domain_name: str = ""
    garbage: tuple[tuple[str, str], ...] = ()
    expected: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunRecord:
        """Unknown keys (of a newer release) are passed over."""
        known = {item.name for item in dataclasses.fields(cls)}
        values = {key: entry for key, entry in value.items() if key in known}
        values["garbage"] = tuple((path, volume_format) for path, volume_format in values.get("garbage", ()))
        values["expected"] = tuple(values.get("expected", ()))
        return cls(**values)


RESOURCES_CACHED_MAX = 4096
"""Typed documents kept in memory: some 10 KiB each."""
Secrets = Mapping[str, Mapping[str, bytes]]
"""Secret name -> key -> content."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoredObject:
    """One object: `document` is normalised (apiVersion, kind, metadata, spec), `status` JSON values or empty."""

    uid: str
    authority: str
    kind: str
    namespace: str
    name: str
    document: Mapping[str, Any]
    generation: int
    epoch: int
    profile: str = "restricted"
    secrets: Secrets = dataclasses.field(default_factory=dict, repr=False)
    has_secrets: bool = True
    """False after the store was rebuilt from a domain's metadata: documents stand there, secrets do not."""
    secrets_hash: str = ""
    deletion: Deletion = Deletion.NONE
    status: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    run: RunRecord = RunRecord()

    @property
    def resource(self) -> Resource:
        """The document, typed. Raises InvalidSpec for one that this release does not take."""
        return read_document(self.document)

    @property
    def domain_name(self) -> str:
        """Of a machine: what its domain is called on the host."""
        return self.run.domain_name or host_name(self.namespace, self.name)

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef(
            kind=self.kind, namespace=self.namespace, name=self.name, uid=self.uid, authority=self.authority
        )

    @property
    def key(self) -> str:
        """`Kind namespace/name`, for messages."""
        return str(self.ref)

    def view(self) -> ObjectView:
        """The object as a caller sees it."""
        document = {**self.document}
        document["metadata"] = {**document["metadata"], "uid": self.uid, "generation": self.generation}
        if self.status:
            document["status"] = self.status
        token = Token(authority=self.authority, epoch=self.epoch, generation=self.generation)
        return ObjectView(ref=self.ref, document=document, token=token, is_deleting=self.deletion is not Deletion.NONE)


class _Resources:
    """Typed documents by their canonical bytes: an object is visited many times between two changes of its document, and validation
    costs more than the rest of a plan. The oldest goes first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[bytes, Resource] = {}

    def find(self, text: bytes) -> Resource:
        with self._lock:
            known = self._known.get(text)
        if known is None:
            known = parse(from_json(text))
            self.put(text, known)
        return known

    def put(self, text: bytes, resource: Resource) -> None:
        with self._lock:
            while len(self._known) >= RESOURCES_CACHED_MAX:
                self._known.pop(next(iter(self._known)))
            self._known[text] = resource


_RESOURCES = _Resources()


def read_document(document: Mapping[str, Any]) -> Resource:
    """A normalised document, typed. Raises InvalidSpec for one that this release does not take."""
    return _RESOURCES.find(canonical_json(document))


def remember_document(document: Mapping[str, Any], resource: Resource) -> None:
    """Spare `read_document` its work: `document` is what is stored of a resource that was just read, without uid, generation and status."""
    bare = dataclasses.replace(resource.metadata, uid=None, generation=None)
    _RESOURCES.put(canonical_json(document), dataclasses.replace(resource, metadata=bare, status=None))
