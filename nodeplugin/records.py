"""What the store keeps of one object, as plain values that plan, converge and service share."""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Mapping
from typing import Any

from xvirt.model.codec import canonical_json, from_json, parse
from xvirt.model.exchange import ObjectRef, ObjectView, Token
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
    `garbage`: volumes whose declaration was removed with policy Delete, to be deleted once nobody uses them.
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
    defined_hash: str = ""
    garbage: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunRecord:
        """Unknown keys (of a newer release) are passed over."""
        known = {item.name for item in dataclasses.fields(cls)}
        values = {key: entry for key, entry in value.items() if key in known}
        values["garbage"] = tuple((path, volume_format) for path, volume_format in values.get("garbage", ()))
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
        return _parse(canonical_json(self.document))

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


@functools.lru_cache(maxsize=RESOURCES_CACHED_MAX)
def _parse(document: bytes) -> Resource:
    """An object is visited many times between two changes of its document, and validation costs more than the rest of a plan."""
    return parse(from_json(document))
