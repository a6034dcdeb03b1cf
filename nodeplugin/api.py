"""What the server may ask of the node: the seam between transport (`server`) and convergence (`service`).

Every method may raise any error of `xvirt.model.errors`; the server translates. Rights are checked here, by `Caller`, not in the
transport. All methods return within the node's deadlines; only iterators and streams last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from nodeplugin.hypervisor.port import ConsoleStream
from nodeplugin.images.port import Upload
from xvirt.model.exchange import (
    AdoptCall,
    ApplyCall,
    ApplyResult,
    Caller,
    Description,
    Detail,
    Event,
    ForeignDomain,
    NodeDescription,
    ObjectRef,
    ObjectView,
    OperateCall,
    Operation,
    Orphan,
    Token,
    WatchEvent,
)


class WatchSubscription(Protocol):
    """One reader's watch."""

    def next_event(self, timeout_s: float) -> WatchEvent | None:
        """The next message; None where none came in time. Raises Exhausted where the reader was too slow: it must start over."""

    def close(self) -> None:
        """End it."""


class NodeApi(Protocol):
    """The node, to its transport."""

    def apply(self, caller: Caller, call: ApplyCall) -> ApplyResult: ...

    def delete(self, caller: Caller, ref: ObjectRef, token: Token, *, force: bool) -> ObjectView: ...

    def get(self, caller: Caller, ref: ObjectRef) -> ObjectView: ...

    def list_objects(
        self, caller: Caller, kind: str, namespace: str, detail: Detail = Detail.WHOLE
    ) -> list[ObjectView]: ...

    def watch(self, caller: Caller, kind: str, namespace: str) -> WatchSubscription: ...

    def operate(self, caller: Caller, call: OperateCall) -> Operation: ...

    def describe(self, caller: Caller, ref: ObjectRef) -> Description: ...

    def node_info(self, caller: Caller) -> NodeDescription: ...

    def console(self, caller: Caller, ref: ObjectRef, *, force: bool) -> ConsoleStream: ...

    def console_log(self, caller: Caller, ref: ObjectRef, *, follow: bool, tail_bytes: int) -> Iterator[bytes]: ...

    def open_upload(self, caller: Caller, ref: ObjectRef, size_bytes: int) -> Upload: ...

    def list_events(self, caller: Caller, ref: ObjectRef | None) -> list[Event]: ...

    def list_orphans(self, caller: Caller, namespace: str) -> list[Orphan]: ...

    def adopt(self, caller: Caller, call: AdoptCall) -> ApplyResult: ...

    def accept_epoch(self, caller: Caller, authority: str) -> list[ObjectRef]: ...

    def list_foreign(self, caller: Caller) -> list[ForeignDomain]: ...
