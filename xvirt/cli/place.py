"""A place that holds objects: what every verb asks for. A node is one (`xvirt.cli.node_place`), a cluster another (`xvirt.cli.cluster`)."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from xvirt.cli.manifests import Manifest
from xvirt.model.exchange import (
    Description,
    Detail,
    Event,
    FieldChange,
    ObjectRef,
    ObjectView,
    OperateCall,
    Operation,
    PlannedStep,
    WatchEvent,
)
from xvirt.model.kinds import Kind
from xvirt.wire.limits import UNARY_TIMEOUT_S


class Verdict(enum.Enum):
    """What a declaration does to an object, in kubectl's words."""

    CREATED = "created"
    CONFIGURED = "configured"
    UNCHANGED = "unchanged"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wish:
    """How a document is declared. `is_dry`: only what would come of it. `takes_over`: fields that somebody else has set, too."""

    is_dry: bool = False
    profile: str = ""
    takes_over: bool = False
    timeout_s: float = UNARY_TIMEOUT_S


@dataclasses.dataclass(frozen=True, kw_only=True)
class Declared:
    """What came of it. `plan` and `waiting_for` only where the place itself plans."""

    verdict: Verdict
    changes: tuple[FieldChange, ...] = ()
    plan: tuple[PlannedStep, ...] = ()
    waiting_for: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class About:
    """What the place is: `word` for machines (`node`), its versions by name, and a line for people."""

    word: str
    versions: Mapping[str, str]
    sentence: str


Events = contextlib.AbstractContextManager[Iterator[WatchEvent]]


class Place(Protocol):
    """Threads may share it. Every method may raise any error of `xvirt.model.errors`."""

    @property
    def poll_s(self) -> float:
        """Pause between two looks of whoever waits."""

    def about(self) -> About:
        """What it is, and of which versions."""

    def declare(self, manifest: Manifest, wish: Wish) -> Declared:
        """Declare a document, or say what that would do."""

    def get(self, ref: ObjectRef) -> ObjectView:
        """An object, hosts among them."""

    def list_objects(self, kind: str, namespace: str = "", detail: Detail = Detail.WHOLE) -> list[ObjectView]:
        """Objects of a kind; an empty namespace means all."""

    def describe(self, ref: ObjectRef) -> Description:
        """Everything about an object."""

    def inspect(self, ref: ObjectRef) -> Description:
        """What a machine's host knows of it: its operations and parts; events may be left out."""

    def delete(self, ref: ObjectRef, *, force: bool = False) -> None:
        """Ask for an object's deletion; `force` powers a machine off at once."""

    def operate(self, call: OperateCall) -> Operation:
        """Ask for an act upon a machine. The same operation id again is the same act."""

    def list_events(self, ref: ObjectRef | None = None, namespace: str = "") -> list[Event]:
        """What happened, oldest first: to an object, or in a namespace (empty: everywhere) and outside of any."""

    def watch(self, kinds: Sequence[Kind], namespace: str = "") -> Events:
        """Objects as they are, SYNCED, then changes. Others than those asked for may come along. A broken stream raises Unavailable."""

    def watch_events(self, namespace: str = "") -> Events:
        """What happens from now on. Messages that are no events may come along."""
