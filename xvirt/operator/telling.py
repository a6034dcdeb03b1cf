"""What becomes an Event of the cluster: what hosts tell of their objects, and the operator's own word of what was left behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xvirt.model.exchange import Event, EventType
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.recorder import Recorder
from xvirt.operator.runtime.resources import NAMESPACES, Key, Object, is_deleting, key_of, uid_of

FOR_GOOD = frozenset(("Adopted", "ReleaseDomain", "VolumeRetained", "VolumeTakenBack"))
"""Reasons of a node's normal events that become the cluster's: what happened for good. Its warnings all do."""

PASSING: Mapping[str, str] = {
    "Restarting": "Restarting",
    "Restart": "Restarting",
    "Reset": "Reset",
    "AttachDevice": "Attached",
    "DetachDevice": "Detached",
    "SetVcpus": "ChangedLive",
    "SetMemory": "ChangedLive",
    "UpdateDevice": "ChangedLive",
    "ChangeMedium": "ChangedLive",
    "SetBlockIoTune": "ChangedLive",
    "AddIoThread": "ChangedLive",
    "RemoveIoThread": "ChangedLive",
    "ResizeDisk": "ChangedLive",
}
"""Others that do, as long as their object stays, and what they are called there."""


class Teller:
    """Over the recorder. A namespace that is being deleted takes no Events, and would take them along: what is told of its objects is
    told of the namespace itself, in namespace default."""

    def __init__(self, recorder: Recorder, namespaces: Cache) -> None:
        self._recorder = recorder
        self._namespaces = namespaces

    def relay(self, item: Mapping[str, Any], host: str, event: Event, *, node_uid: str) -> None:
        """Tell what a host told of an object, where it is worth an Event. `node_uid`: what hosts call the object by. Of another one that
        had its name, and is gone, what happened for good is told with that one's uid."""
        is_own = event.ref.uid == node_uid
        if event.type is not EventType.NORMAL or event.reason in FOR_GOOD:
            about = item if is_own else _namesake(item, event.ref.uid)
            self.tell(about, event.type.value, event.reason, f"{host}: {event.message}")
        elif is_own and event.reason in PASSING:
            self.mention(item, event.type.value, PASSING[event.reason], f"{host}: {event.message}")

    def mention(self, item: Mapping[str, Any], kind: str, reason: str, message: str) -> None:
        """Tell what nobody needs to know once the object's namespace goes."""
        if self._find_ending(key_of(item).namespace) is None:
            self._recorder.record(item, kind, reason, message, is_passing=kind == EventType.NORMAL.value)

    def tell(self, item: Mapping[str, Any], kind: str, reason: str, message: str, action: str = "Reconcile") -> None:
        """As `Recorder.record`."""
        key = key_of(item)
        namespace = self._find_ending(key.namespace)
        if namespace is None:
            self._recorder.record(item, kind, reason, message, action)
            return
        place = NAMESPACES.object(Key("", key.namespace))
        place["metadata"]["uid"] = uid_of(namespace)
        self._recorder.record(item, kind, reason, f"{item['kind']} {key}: {message}", action, regarding=place)

    def _find_ending(self, name: str) -> Object | None:
        """The namespace, where it is being deleted."""
        namespace = self._namespaces.get(Key("", name)) if name else None
        return namespace if namespace is not None and is_deleting(namespace) else None


def _namesake(item: Mapping[str, Any], uid: str) -> Object:
    key = key_of(item)
    return {
        "apiVersion": item.get("apiVersion"),
        "kind": item.get("kind"),
        "metadata": {"name": key.name, "namespace": key.namespace, "uid": uid},
    }
