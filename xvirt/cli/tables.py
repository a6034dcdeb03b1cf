"""Objects as tables, YAML, JSON and names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from xvirt.cli.words import short_name
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


def clean(text: str) -> str:
    """The text without what drives a terminal or breaks a line: guests and documents have a say in it."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns apart by three spaces, as kubectl prints them."""
    return "\n".join(Columns(rows).line(row) for row in rows)


class Columns:
    """Widths of columns, kept for rows that come later."""

    def __init__(self, rows: Sequence[Sequence[str]]) -> None:
        self._widths = [max(len(clean(cell)) for cell in column) for column in zip(*rows, strict=True)]

    def line(self, row: Sequence[str]) -> str:
        """One row; a cell that is too wide moves what follows it."""
        return "   ".join(clean(cell).ljust(width) for cell, width in zip(row, self._widths, strict=True)).rstrip()


def object_rows(
    kind: Kind, views: Sequence[ObjectView], *, is_wide: bool, with_namespace: bool, with_kind: bool
) -> list[list[str]]:
    """Heading and one row for each object of a kind."""
    columns = [column for column in kind.columns if is_wide or not column.is_wide]
    has_namespace = with_namespace and kind.scope is Scope.NAMESPACED
    heading = [*(["NAMESPACE"] if has_namespace else []), "NAME", *(column.heading for column in columns)]
    rows = [heading]
    for view in views:
        name = short_name(view.ref) if with_kind else view.ref.name
        cells = [_cell(lookup(view.document, column.path)) for column in columns]
        rows.append([*([view.ref.namespace] if has_namespace else []), name, *cells])
    return rows


def _cell(value: Any) -> str:
    if value is None or value in ("", []):
        return "-"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def to_yaml(value: Any) -> str:
    """YAML as kubectl prints it."""
    return str(yaml.safe_dump(value, sort_keys=False, default_flow_style=False, allow_unicode=True, width=10_000))


def to_json(value: Any) -> str:
    """Indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def as_list(views: Sequence[ObjectView]) -> Any:
    """A `List`, as kubectl prints what was not asked for by one name."""
    return {"apiVersion": "v1", "kind": "List", "items": [view.document for view in views]}


def kind_of(view: ObjectView) -> Kind:
    """An object's kind."""
    return BY_NAME[view.ref.kind]
