"""Objects as callers see them, kept from one List to the next: a List of many objects, of which few have changed, is no new work.

What is kept is as old as the store's stamp of it; documents and statuses are never changed in place, so callers may share them.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable
from typing import Any

from nodeplugin.store import Store
from xvirt.model.exchange import Detail, ObjectRef, ObjectView
from xvirt.nodeapi.v1 import node_pb2 as pb
from xvirt.wire.messages import encode_view

SPARE_MAX = 256
"""Objects that are kept beyond those of the last List; then what is not in that is dropped."""


class Views:
    """Views of stored objects. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[int, dict[Detail, ObjectView]]] = {}

    def list(
        self, kind: str, namespace: str, wants: Callable[[ObjectRef], bool], detail: Detail = Detail.WHOLE
    ) -> list[ObjectView]:
        """Objects of a kind and namespace (empty: all) that somebody wants, by kind, namespace and name."""
        stamps = self._store.list_stamps(kind, namespace)
        found = [self._view(ref, stamp) for ref, stamp in stamps if wants(ref)]
        with self._lock:
            if len(self._kept) > len(stamps) + SPARE_MAX:
                present = set(self._store.list_uids())
                self._kept = {uid: entry for uid, entry in self._kept.items() if uid in present}
        return [views[detail] for views in found if views is not None]

    def forget(self, uid: str) -> None:
        """The object is gone."""
        with self._lock:
            self._kept.pop(uid, None)

    def _view(self, ref: ObjectRef, stamp: int) -> dict[Detail, ObjectView] | None:
        with self._lock:
            kept = self._kept.get(ref.uid)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        stored = self._store.find(ref.uid)
        if stored is None:
            self.forget(ref.uid)
            return None
        view = stored.view()  # maybe newer than the stamp: then it is read once more the next time
        views = {Detail.WHOLE: view, Detail.STATE: state_of(view)}
        with self._lock:
            self._kept[ref.uid] = (stamp, views)
        return views


_STATE = ("observedGeneration", "printableStatus", "powerState", "conditions")
_NAMES = ("name", "namespace", "uid", "generation", "labels")


def state_of(view: ObjectView) -> ObjectView:
    """The object without its spec and without what its status tells beyond state and conditions."""
    whole = view.document
    document: dict[str, Any] = {key: whole[key] for key in ("apiVersion", "kind") if key in whole}
    document["metadata"] = {key: whole["metadata"][key] for key in _NAMES if key in whole["metadata"]}
    if "status" in whole:
        document["status"] = {key: whole["status"][key] for key in _STATE if key in whole["status"]}
    return dataclasses.replace(view, document=document)


class EncodedViews:
    """Messages of the views that were sent last. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[ObjectView, pb.Object]] = {}

    def encode(self, views: Iterable[ObjectView]) -> list[pb.Object]:
        """Their messages, which nobody may change."""
        wanted = list(views)
        found = [self._encode(view) for view in wanted]
        with self._lock:
            if len(self._kept) > len(wanted) + SPARE_MAX:
                present = {view.ref.uid for view in wanted}
                self._kept = {uid: entry for uid, entry in self._kept.items() if uid in present}
        return found

    def _encode(self, view: ObjectView) -> pb.Object:
        with self._lock:
            kept = self._kept.get(view.ref.uid)
        if kept is not None and kept[0] is view:
            return kept[1]
        message = encode_view(view)
        with self._lock:
            self._kept[view.ref.uid] = (view, message)
        return message
