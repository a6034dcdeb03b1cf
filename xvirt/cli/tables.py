"""Objects as tables, YAML, JSON and names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from xvirt.model.exchange import ObjectView
from xvirt.model.kinds import BY_NAME, Kind
from xvirt.model.meta import Scope

_PART = re.compile(r"([A-Za-z0-9_-]+)|\[(\d+)\]")


def lookup(document: Any, path: str) -> Any:
    """The value at a path such as `status.interfaces[0].addresses[0].address`; None where it is missing."""
    current = document
    for name, index in _PART.findall(path):
        if name and isinstance(current, Mapping):
            current = current.get(name)
        elif index and isinstance(current, list) and int(index) < len(current):
            current = current[int(index)]
        else:
            return None
    return current


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns apart by three spaces, as kubectl prints them."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def object_rows(
    kind: Kind, views: Sequence[ObjectView], *, is_wide: bool, with_namespace: bool, with_kind: bool
) -> list[list[str]]:
    """Heading and one row for each object of a kind."""
    columns = [column for column in kind.columns if is_wide or not column.is_wide]
    has_namespace = with_namespace and kind.scope is Scope.NAMESPACED
    heading = [*(["NAMESPACE"] if has_namespace else []), "NAME", *(column.heading for column in columns)]
    rows = [heading]
    for view in views:
        name = f"{kind.singular}/{view.ref.name}" if with_kind else view.ref.name
        cells = [_cell(lookup(view.document, column.path)) for column in columns]
        rows.append([*([view.ref.namespace] if has_namespace else []), name, *cells])
    return rows


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def to_yaml(value: Any) -> str:
    """YAML as kubectl prints it."""
    return str(yaml.safe_dump(value, sort_keys=False, default_flow_style=False, allow_unicode=True, width=10_000))


def to_json(value: Any) -> str:
    """Indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def as_list(views: Sequence[ObjectView]) -> Any:
    """One document, or a `List` of several."""
    if len(views) == 1:
        return views[0].document
    return {"apiVersion": "v1", "kind": "List", "items": [view.document for view in views]}


def kind_of(view: ObjectView) -> Kind:
    """An object's kind."""
    return BY_NAME[view.ref.kind]
