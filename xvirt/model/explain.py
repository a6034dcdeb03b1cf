"""`xvirt explain vm.spec.cpu`: what a field means, in the layout of `kubectl explain`."""

from __future__ import annotations

import enum
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from xvirt import API_VERSION
from xvirt.model.captions import bounds_text, facts_text, nested_class, type_name
from xvirt.model.errors import NotFound
from xvirt.model.fields import Attribute, FieldSpec, Mutability, attributes
from xvirt.model.kinds import KINDS, Kind, find_kind
from xvirt.model.meta import ObjectMeta
from xvirt.model.wording import nearest, show

_WIDTH = 96
_INDENT = "    "


class Depth(enum.Enum):
    """How far below the field the answer goes: its own fields with their texts, or the names of all."""

    FIELDS = "fields"
    ALL = "all"


def explain(words: Sequence[str], depth: Depth = Depth.FIELDS) -> str:
    """The text for a path such as `["vm.spec.cpu"]` or `["vm", "spec", "cpu"]`; list indices are passed over.

    Raises NotFound with the nearest known name.
    """
    names = [re.sub(r"\[.*?\]$", "", name) for word in words for name in word.split(".") if name]
    kind = _find_kind(names[0] if names else "")
    trail, cls = _walk(kind, names[1:])
    head = f"KIND:       {kind.name}\nVERSION:    {API_VERSION}\n"
    field = _field_text(trail[-1]) if trail else f"DESCRIPTION:\n{_wrap(kind.doc, 1)}\n"
    below = _fields_text(cls, depth) if cls else ""
    return "\n".join(part for part in (head, field, below) if part)


def _find_kind(word: str) -> Kind:
    kind = find_kind(word)
    if kind is None:
        known = [name for item in KINDS for name in (item.name, item.plural, *item.short_names)]
        names = ", ".join(item.singular for item in KINDS)
        raise NotFound(f"kind {show(word)} is not known{nearest(word, known)}; kinds are {names}")
    return kind


def _top_fields(kind: Kind) -> tuple[Attribute, ...]:
    return tuple(
        Attribute(name, name, FieldSpec(doc=doc, mutability=Mutability.LIVE), cls, False, cls)
        for name, doc, cls in (
            ("metadata", "Names and identity.", ObjectMeta),
            ("spec", "What is wished.", kind.spec),
            ("status", "What is; written by the node.", kind.status),
        )
    )


def _walk(kind: Kind, names: list[str]) -> tuple[list[Attribute], Any]:
    trail: list[Attribute] = []
    fields = _top_fields(kind)
    cls: Any = kind
    for name in names:
        found = next((item for item in fields if item.json_name == name), None)
        if found is None:
            path = ".".join([kind.singular, *(item.json_name for item in trail)])
            known = ", ".join(item.json_name for item in fields) or "it has none"
            message = f"field {show(name)} does not exist in {path}"
            raise NotFound(f"{message}{nearest(name, [item.json_name for item in fields])}; fields: {known}")
        trail.append(found)
        cls = nested_class(found.annotation)
        fields = attributes(cls)
    return trail, cls


def _field_text(item: Attribute) -> str:
    lines = [f"FIELD: {item.json_name} <{type_name(item.annotation)}>", "", "DESCRIPTION:", _wrap(item.spec.doc, 1)]
    if isinstance(item.default, type):  # metadata, spec, status
        return "\n".join(lines) + "\n"
    return "\n".join([*lines, *_detail(item, 1)]) + "\n"


def _detail(item: Attribute, level: int) -> list[str]:
    bounds = bounds_text(item)
    return [*([_wrap(f"Values: {bounds}.", level)] if bounds else []), _wrap(facts_text(item), level)]


def _fields_text(cls: Any, depth: Depth) -> str:
    if depth is Depth.ALL:
        return "FIELDS:\n" + "\n".join(_names(_members(cls), 1)) + "\n"
    lines = ["FIELDS:"]
    for item in _members(cls):
        lines.append(_title(item, 1))
        lines.append(_wrap(item.spec.doc, 2))
        if not isinstance(item.default, type):
            lines += _detail(item, 2)
        lines.append("")
    return "\n".join(lines)


def _members(cls: Any) -> tuple[Attribute, ...]:
    return _top_fields(cls) if isinstance(cls, Kind) else attributes(cls)


def _names(items: Sequence[Attribute], level: int) -> Iterator[str]:
    for item in items:
        yield _title(item, level)
        yield from _names(attributes(nested_class(item.annotation)), level + 1)


def _title(item: Attribute, level: int) -> str:
    required = " -required-" if item.is_required else ""
    return f"{'  ' * level}{item.json_name}\t<{type_name(item.annotation)}>{required}"


def _wrap(text: str, level: int) -> str:
    indent = _INDENT * level
    return textwrap.fill(" ".join(text.split()), _WIDTH, initial_indent=indent, subsequent_indent=indent)
