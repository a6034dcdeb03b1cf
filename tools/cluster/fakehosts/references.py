"""What an object of a fake node needs of others, and who needs it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nodeplugin.plan.outcome import Obstacle
from nodeplugin.records import StoredObject

DEFAULT_POOL = "default"
Has = Callable[[str, str, str], bool]
"""Whether (kind, namespace, name) is on the node and not on its way out."""


def obstacles_of(stored: StoredObject, has: Has) -> tuple[Obstacle, ...]:
    """What an object waits for, each thing once, in the plugin's words."""
    found = []
    for kind, name in dict.fromkeys(needs_of(stored.document)):
        namespace = "" if kind == "StoragePool" else stored.namespace
        is_built_in = kind == "StoragePool" and name == DEFAULT_POOL
        if not is_built_in and not has(kind, namespace, name):
            reason = f"{kind.removeprefix('Virtual').removeprefix('Storage')}NotFound"
            place = f"{namespace}/{name}" if namespace else name
            found.append(Obstacle(reason, f"{kind} {place} is not there; apply it"))
    for name, key in _secrets_of(stored.document):
        if key not in stored.secrets.get(name, {}):
            message = f"Secret {name} with key {key} was not sent along; apply it with the machine"
            found.append(Obstacle("SecretMissing", message))
    return tuple(found)


def needs_of(document: Any) -> Iterator[tuple[str, str]]:
    """(kind, name) of what a document names in its own namespace."""
    spec = document["spec"]
    for disk in spec.get("disks", ()):
        source = disk.get("source") or {}
        yield from _sources(source)
        if "disk" not in source and "path" not in source and source:
            yield "StoragePool", disk.get("pool", DEFAULT_POOL)
    for nic in spec.get("nics", ()):
        if nic.get("network"):
            yield "VirtualNetwork", nic["network"]
    if document["kind"] in ("VirtualDisk", "VirtualImage"):
        yield "StoragePool", spec.get("pool", DEFAULT_POOL)
        yield from _sources(spec.get("source") or {})


def _sources(source: Any) -> Iterator[tuple[str, str]]:
    for field, kind in (("image", "VirtualImage"), ("disk", "VirtualDisk"), ("clone", "VirtualDisk")):
        if isinstance(source.get(field), str):
            yield kind, source[field]


def _secrets_of(document: Any) -> Iterator[tuple[str, str]]:
    cloud_init = document["spec"].get("cloudInit") or {}
    for part in ("userData", "networkData"):
        source = cloud_init.get(part) or {}
        if source.get("secret"):
            yield source["secret"], source.get("key") or part
