"""Objects as the caches keep them: what decisions need of them, small, because there are thousands."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from xvirt import API_VERSION
from xvirt.model.quantity import ByteSize
from xvirt.operator import packing
from xvirt.operator.dependents.needs import REFERENCES
from xvirt.operator.dependents.references import machine_references
from xvirt.operator.kinds import VIRTUAL_MACHINES
from xvirt.operator.machines.document import secret_names
from xvirt.operator.names import EXTENDED_PREFIX, VM_NAME_LABEL
from xvirt.operator.readings import part_of
from xvirt.operator.runtime.resources import Key, Object
from xvirt.operator.soundness import sound_status

BY_MACHINE, BY_SECRET, BY_HOST, BY_NAMESPACE = "machine", "secret", "host", "namespace"
"""Indexes: holders by `namespace/name` of their machine; machines by `namespace/name` of a Secret, by their host (empty: none yet), and by
namespace."""
_KEPT = ("name", "namespace", "uid", "resourceVersion", "generation", "deletionTimestamp", "creationTimestamp")
_PACKED, _ROOM, _SECRETS = "packed", "room", "secrets"


def shape_machine(item: Object) -> Object:
    """A VirtualMachine with its spec and status packed, which takes a third of the room; `unpack` gives them back. Of the status its host
    stays in sight."""
    spec, status = part_of(item, "spec"), sound_status("VirtualMachine", item.get("status"))
    secrets = secret_names("VirtualMachine", spec)
    host = status.get("nodeName")
    return {
        "apiVersion": API_VERSION,
        "kind": VIRTUAL_MACHINES.kind,
        "metadata": _metadata(item, ("finalizers", "labels", "annotations")),
        _PACKED: packing.pack({"spec": spec, "status": status}),
        _ROOM: _find_room(spec),
        REFERENCES: machine_references(spec),
        **({_SECRETS: secrets} if secrets else {}),
        "status": {"nodeName": sys.intern(host)} if isinstance(host, str) else {},
    }


def unpack(item: Object) -> Object:
    """The machine with its spec and status; the copy's other parts are the cache's own."""
    return {**item, **packing.unpack(item[_PACKED])}


def room_of(item: Object) -> tuple[int, int]:
    """vCPUs and bytes of memory that a machine declares."""
    room: tuple[int, int] = item[_ROOM]
    return room


def _find_room(spec: Mapping[str, Any]) -> tuple[int, int]:
    try:
        cores = int(part_of(spec, "cpu").get("cores") or 1)
        return cores, int(ByteSize(part_of(spec, "memory").get("size") or 0))
    except (TypeError, ValueError):  # the machine itself is told what is wrong with it
        return 0, 0


def shape_node(item: Object) -> Object:
    """A Node: what hosts are made from."""
    spec, status = item.get("spec") or {}, item.get("status") or {}
    capacity = status.get("capacity") or {}
    return {
        "apiVersion": item.get("apiVersion"),
        "kind": item.get("kind"),
        "metadata": _metadata(item, ("labels", "annotations")),
        "spec": {name: spec[name] for name in ("unschedulable", "taints") if spec.get(name)},
        "status": {
            "addresses": status.get("addresses") or [],
            "capacity": {name: value for name, value in capacity.items() if name.startswith(EXTENDED_PREFIX)},
        },
    }


def shape_pod(item: Object) -> Object:
    """A holder: its place, its phase, why the scheduler found none, and what it asks for."""
    status = item.get("status") or {}
    conditions = [
        one
        for one in status.get("conditions") or ()
        if one.get("type") == "PodScheduled" and one.get("status") != "True"
    ]
    return {
        "apiVersion": item.get("apiVersion"),
        "kind": item.get("kind"),
        "metadata": _metadata(item, ("finalizers", "labels", "annotations")),
        "spec": {"nodeName": (item.get("spec") or {}).get("nodeName") or ""},
        "status": {"phase": status.get("phase"), "conditions": conditions},
    }


def shape_names(item: Object) -> Object:
    """Names, labels and version alone: of Namespaces."""
    return {"metadata": _metadata(item, ("labels",))}


def _metadata(item: Object, more: Iterable[str]) -> dict[str, Any]:
    metadata = item["metadata"]
    return {name: metadata[name] for name in (*_KEPT, *more) if metadata.get(name)}


def index_pod(item: Object) -> Iterable[str]:
    """For BY_MACHINE."""
    name = (item["metadata"].get("labels") or {}).get(VM_NAME_LABEL)
    return (f"{item['metadata']['namespace']}/{name}",) if name else ()


def index_secrets(item: Object) -> Iterable[str]:
    """For BY_SECRET."""
    return [str(key) for key in secrets_of(item)]


def secrets_of(item: Object) -> list[Key]:
    """The Secrets that a machine refers to."""
    return [Key(item["metadata"]["namespace"], name) for name in item.get(_SECRETS, ())]


def index_host(item: Object) -> Iterable[str]:
    """For BY_HOST."""
    return (item["status"].get("nodeName") or "",)


def index_namespace(item: Object) -> Iterable[str]:
    """For BY_NAMESPACE."""
    return (item["metadata"].get("namespace") or "",)
