"""What a node shows of its objects, kept small: thousands of them are in memory, and few are looked at."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from xvirt.model.exchange import ObjectView
from xvirt.operator.kinds import KNOWN
from xvirt.operator.names import APPLIED_ANNOTATION
from xvirt.operator.packing import pack, unpack


class ViewKey(NamedTuple):
    """An object by its names; `namespace` is empty for cluster-scoped kinds."""

    kind: str
    namespace: str
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class NodeView:
    """One object as a node holds it. `applied`: digest that the operator gave with it; `packed_status`: its status as `pack` keeps it."""

    key: ViewKey
    uid: str
    authority: str
    epoch: int
    generation: int
    is_deleting: bool
    applied: str
    packed_status: bytes

    @property
    def status(self) -> Mapping[str, Any]:
        """The status, unpacked anew."""
        found: Mapping[str, Any] = unpack(self.packed_status)
        return found


def read_view(view: ObjectView) -> NodeView:
    """The small form of what a node says."""
    ref, metadata = view.ref, view.document.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    status = view.document.get("status") or {}
    # What a later node says more would be taken for a later operator's word, which nobody takes back.
    if ref.kind in KNOWN:
        status = KNOWN[ref.kind].known_of(status)
    return NodeView(
        key=ViewKey(sys.intern(ref.kind), sys.intern(ref.namespace), ref.name),
        uid=ref.uid,
        authority=sys.intern(ref.authority),
        epoch=view.token.epoch,
        generation=view.token.generation,
        is_deleting=view.is_deleting,
        applied=annotations.get(APPLIED_ANNOTATION, ""),
        packed_status=pack(status),
    )


class NodeViews:
    """The objects of one node, by uid and by name."""

    def __init__(self) -> None:
        self._by_uid: dict[str, NodeView] = {}
        self._by_key: dict[ViewKey, str] = {}

    def __len__(self) -> int:
        return len(self._by_uid)

    def __iter__(self) -> Iterator[NodeView]:
        return iter(tuple(self._by_uid.values()))

    def find(self, uid: str) -> NodeView | None:
        """By uid."""
        return self._by_uid.get(uid)

    def find_named(self, key: ViewKey) -> NodeView | None:
        """By name."""
        uid = self._by_key.get(key)
        return self._by_uid.get(uid) if uid is not None else None

    def put(self, view: NodeView) -> tuple[NodeView, ...]:
        """Take a view in; what has changed by that: nothing, or the view and whoever had its name before."""
        known = self._by_uid.get(view.uid)
        if known == view:
            return ()
        former = self.find_named(view.key)
        changed = [view]
        if former is not None and former.uid != view.uid:
            del self._by_uid[former.uid]
            changed.append(former)
        self._by_uid[view.uid] = view
        self._by_key[view.key] = view.uid
        return tuple(changed)

    def drop(self, uid: str) -> NodeView | None:
        """Forget an object; the last view of it."""
        known = self._by_uid.pop(uid, None)
        if known is not None and self._by_key.get(known.key) == uid:
            del self._by_key[known.key]
        return known

    def replace(self, views: Iterable[NodeView]) -> tuple[NodeView, ...]:
        """Take a whole snapshot in place of everything; what has changed, with the last views of what is gone."""
        wanted = {view.uid: view for view in views}
        gone = [known for uid, known in self._by_uid.items() if uid not in wanted]
        changed = [view for uid, view in wanted.items() if self._by_uid.get(uid) != view]
        self._by_uid = wanted
        self._by_key = {view.key: uid for uid, view in wanted.items()}
        return (*changed, *gone)
