"""Words about a field, the same for `xvirt explain`, the reference pages and the CRDs."""

from __future__ import annotations

import enum
from typing import Any

from xvirt.model.codec import encode
from xvirt.model.fields import Attribute, Mutability, element_type, is_spec_class, is_string_map, is_tree
from xvirt.model.quantity import ByteSize

MUTABILITY_WORDS = {
    Mutability.LIVE: "changes live",
    Mutability.RESTART: "changes at the next start",
    Mutability.FIXED: "never changes once set",
}


def type_word(annotation: Any) -> str:
    """`<string>`, `<[]Disk>`, ... as `kubectl explain` has it."""
    inner = element_type(annotation)
    if inner is not None:
        return f"[]{type_word(inner)}"
    if is_spec_class(annotation):
        return str(annotation.__name__)
    if is_string_map(annotation):
        return "map[string]string"
    if is_tree(annotation):
        return "tree"
    if annotation is ByteSize:
        return "quantity"
    return {bool: "boolean", int: "integer"}.get(annotation, "string")


def facts_of(item: Attribute) -> list[str]:
    """Unit, bounds, choices, default, mutability: short phrases."""
    spec = item.spec
    facts = [f"unit: {spec.unit}"] if spec.unit else []
    annotation = element_type(item.annotation) or item.annotation
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        facts.append("one of " + ", ".join(member.value for member in annotation))
    if spec.minimum is not None and spec.maximum is not None:
        low, high = spec.minimum, spec.maximum
        is_size = annotation is ByteSize
        facts.append(f"{ByteSize(low) if is_size else low} to {ByteSize(high) if is_size else high}")
    if item.is_required:
        facts.append("required")
    elif item.default is not None and item.default != () and not is_spec_class(type(item.default)):
        facts.append(f"default: {_plain(encode(item.default))}")
    facts.append(MUTABILITY_WORDS[spec.mutability])
    return facts


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
