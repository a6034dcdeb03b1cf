"""Kinds as paths of the API, objects as dicts, and how they are named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

Object: TypeAlias = dict[str, Any]
"""An object as decoded JSON. What comes out of a cache is shared: never change it."""

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class Key(NamedTuple):
    """An object of a known kind. `namespace` is empty for what has none."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclasses.dataclass(frozen=True)
class Resource:
    """A kind: group (empty for the core's), version, plural, kind."""

    group: str
    version: str
    plural: str
    kind: str
    is_namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The path; without a namespace that of all namespaces. Raises ValueError where a name could not be a path's segment."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace and self.is_namespaced:
            parts += ["namespaces", _segment(namespace)]
        parts.append(self.plural)
        if name:
            parts.append(_segment(name))
        if subresource:
            parts += [_segment(part) for part in subresource.split("/")]
        return "/" + "/".join(parts)

    def object(self, key: Key, **more: Any) -> Object:
        """A document of this kind with its name; `more` are other fields of it."""
        metadata: Object = {"name": key.name}
        if key.namespace:
            metadata["namespace"] = key.namespace
        return {"apiVersion": self.api_version, "kind": self.kind, "metadata": metadata, **more}


def _segment(text: str) -> str:
    if text in ("", ".", "..") or "/" in text or "%" in text:
        raise ValueError(f"{text!r} cannot be a name in a path")
    return quote(text, safe=":")


NAMESPACES = Resource("", "v1", "namespaces", "Namespace", is_namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", is_namespaced=False)
PODS = Resource("", "v1", "pods", "Pod")
SECRETS = Resource("", "v1", "secrets", "Secret")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")


def key_of(item: Mapping[str, Any]) -> Key:
    """The key of an object."""
    metadata = item["metadata"]
    return Key(metadata.get("namespace") or "", metadata["name"])


def uid_of(item: Mapping[str, Any]) -> str:
    """The uid of an object; empty where it has none yet."""
    return str(item["metadata"].get("uid") or "")


def version_of(item: Mapping[str, Any]) -> str:
    """The resourceVersion of an object; empty where it has none yet."""
    return str(item["metadata"].get("resourceVersion") or "")


def is_deleting(item: Mapping[str, Any]) -> bool:
    """Whether somebody has deleted it and finalizers keep it."""
    return bool(item["metadata"].get("deletionTimestamp"))


def finalizers_of(item: Mapping[str, Any]) -> list[str]:
    """The finalizers of an object, in its order."""
    return list(item["metadata"].get("finalizers") or [])


def owner_reference(owner: Mapping[str, Any]) -> Object:
    """The entry that makes `owner` the controller of another object of its namespace."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owner_keys(kind: str) -> Callable[[Object], Iterable[Key]]:
    """Maps an object to the keys of the owners of one kind that control it."""

    def keys(item: Object) -> Iterable[Key]:
        metadata = item["metadata"]
        for owner in metadata.get("ownerReferences") or ():
            if owner.get("kind") == kind and owner.get("controller"):
                yield Key(metadata.get("namespace") or "", owner["name"])

    return keys


def strip(item: Object) -> Object:
    """The object without managedFields and kubectl's copy of the last apply, changed in place: a third of its memory."""
    metadata = item.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)
        annotations = metadata.get("annotations")
        if isinstance(annotations, dict) and annotations.pop(LAST_APPLIED, None) is not None and not annotations:
            del metadata["annotations"]
    return item
