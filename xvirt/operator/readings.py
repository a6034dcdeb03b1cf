"""Reads raw documents that may have any shape: what is wrong with them is a node's to say. Pure."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def part_of(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A map within a map; an empty one where there is none, or something else."""
    part = value.get(name)
    return part if isinstance(part, Mapping) else {}


def list_of(value: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The maps of a list within a map."""
    items = value.get(name)
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, Sequence) else []


def names_of(value: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The strings of a list within a map, each once."""
    items = value.get(name)
    return names_among(items) if isinstance(items, Sequence) and not isinstance(items, str) else ()


def names_among(values: Iterable[Any]) -> tuple[str, ...]:
    """Those that are strings and not empty, each once."""
    return tuple(dict.fromkeys(sys.intern(value) for value in values if isinstance(value, str) and value))


def seen_volumes(status: Mapping[str, Any], host: str) -> tuple[str, ...]:
    """Paths of the volumes that an object had on a host when it was looked at last: should the host have forgotten the object, it must not
    make them anew."""
    if status.get("nodeName") != host:
        return ()
    return names_among([status.get("path"), *(disk.get("path") for disk in list_of(status, "disks"))])
