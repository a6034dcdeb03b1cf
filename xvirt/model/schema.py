"""The cerberus schema of a kind, generated from its dataclasses."""

from __future__ import annotations

import enum
import functools
from typing import Any

from xvirt.model.fields import (
    Attribute,
    FieldSpec,
    attributes,
    element_type,
    is_spec_class,
    is_string_map,
    is_tree,
)
from xvirt.model.quantity import ByteSize

Schema = dict[str, Any]


@functools.cache
def schema_of(cls: type) -> Schema:
    """Schema of a spec dataclass: JSON name -> cerberus rules, those of `xvirt.model.checks` among them."""
    return {item.json_name: _rules(item) for item in attributes(cls)}


def _rules(item: Attribute) -> Schema:
    rules = _rules_of(item.annotation, item.spec)
    rules["required"] = item.is_required
    rules["nullable"] = not item.is_required
    return rules


def _rules_of(annotation: Any, spec: FieldSpec) -> Schema:
    inner = element_type(annotation)
    if inner is not None:
        rules: Schema = {"type": "list", "minlength": spec.min_items, "maxlength": spec.max_items}
        rules["schema"] = _rules_of(inner, spec)
        if spec.list_key is not None:
            rules["unique_by"] = spec.list_key
        return rules
    if is_spec_class(annotation):
        return {"type": "dict", "schema": schema_of(annotation)}
    if is_string_map(annotation):
        return {"type": "dict", "maxlength": spec.max_items, "string_map": (spec.format, spec.max_length)}
    if is_tree(annotation):
        return {"type": "dict", "tree": True}
    return _scalar(annotation, spec)


def _scalar(annotation: Any, spec: FieldSpec) -> Schema:
    if annotation is bool:
        return {"type": "boolean"}
    if annotation is ByteSize:
        return {"quantity": (spec.minimum, spec.maximum)}
    if annotation is int:
        rules: Schema = {"type": "integer"}
        return rules | {
            key: bound for key, bound in (("min", spec.minimum), ("max", spec.maximum)) if bound is not None
        }
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return {"type": "string", "choice": [member.value for member in annotation]}
    if annotation is str:
        return {"type": "string", "text": (spec.format, spec.max_length)}
    raise TypeError(f"no schema for {annotation}")
