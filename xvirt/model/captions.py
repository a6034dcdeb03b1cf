"""A field's type, default, bounds and cost of change in words: for `xvirt explain`, the reference pages and the CRDs."""

from __future__ import annotations

import enum
import json
from typing import Any

from xvirt.model.fields import (
    Attribute,
    FieldSpec,
    Format,
    Mutability,
    element_type,
    is_spec_class,
    is_string_map,
    is_tree,
)
from xvirt.model.names import DESCRIPTIONS
from xvirt.model.quantity import ByteSize
from xvirt.model.values import encode

CHANGE_TEXTS = {
    Mutability.LIVE: "live",
    Mutability.RESTART: "at the next start",
    Mutability.FIXED: "never",
}
_SCALARS = {str: "string", int: "integer", bool: "boolean", ByteSize: "quantity"}


def type_name(annotation: Any) -> str:
    """`integer`, `quantity`, `Object`, `[]string` and so on, in kubectl's words."""
    inner = element_type(annotation)
    if inner is not None:
        return f"[]{type_name(inner)}"
    if is_spec_class(annotation):
        return "Object"
    if is_string_map(annotation):
        return "map[string]string"
    if is_tree(annotation):
        return "tree"
    return "enum" if is_enum(annotation) else _SCALARS[annotation]


def is_enum(annotation: Any) -> bool:
    """True for an enumeration."""
    return isinstance(annotation, type) and issubclass(annotation, enum.Enum)


def nested_class(annotation: Any) -> type | None:
    """The spec dataclass that a field holds, itself or as a list's entries."""
    inner = element_type(annotation) or annotation
    return inner if is_spec_class(inner) else None


def choices(item: Attribute) -> list[str]:
    """Allowed values of an enumeration, of a list of it too; none for any other field."""
    inner = element_type(item.annotation) or item.annotation
    return [member.value for member in inner] if is_enum(inner) else []


def default_text(item: Attribute) -> str:
    """The default as JSON; empty where there is none, `required` aside."""
    if item.is_required or item.default is None or is_spec_class(item.annotation):
        return ""
    value = encode(item.default)
    return "" if value in ("", [], {}) else value if isinstance(value, str) else json.dumps(value)


def bounds_text(item: Attribute) -> str:
    """`1..512`, `16Mi..16Ti`, `at most 64 entries`; the grammar of a formatted string; empty where nothing bounds it."""
    spec = item.spec
    inner = element_type(item.annotation) or item.annotation
    parts = []
    if choices(item):
        parts.append(", ".join(choices(item)))
    elif inner in (int, ByteSize):
        parts.append(_range_text(spec.minimum, spec.maximum, inner))
    elif inner is str:
        grammar = DESCRIPTIONS[spec.format] if spec.format is not Format.TEXT else ""
        is_bound_told = "at most" in grammar or (grammar and spec.max_length == FieldSpec.max_length)
        parts += [grammar, "" if is_bound_told else f"at most {spec.max_length} characters"]
    if inner is not item.annotation or is_string_map(item.annotation):
        parts.append(f"at most {spec.max_items} entries")
    return "; ".join(part for part in parts if part)


def _range_text(low: int | None, high: int | None, kind: Any) -> str:
    ends = ["" if end is None else str(kind(end)) for end in (low, high)]
    return "..".join(ends) if any(ends) else ""


def facts_text(item: Attribute) -> str:
    """One line: required or default, bounds, unit and what a change costs."""
    default = default_text(item)
    parts = [
        "Required." if item.is_required else f"Default: {default}." if default else "",
        f"Unit: {item.spec.unit}." if item.spec.unit else "",
        f"Names a {item.spec.references}." if item.spec.references else "",
        f"Change: {CHANGE_TEXTS[item.spec.mutability]}.",
    ]
    return " ".join(part for part in parts if part)
