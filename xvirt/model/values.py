"""Dataclasses of the model to JSON values and back. It trusts its input: `xvirt.model.validation` has judged it before."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from xvirt.model.fields import attributes, element_type, is_spec_class
from xvirt.model.quantity import ByteSize

T = TypeVar("T")


def encode(value: Any) -> Any:
    """JSON values of a spec or status dataclass, or of anything within one; what is None is left out."""
    if is_spec_class(type(value)):
        pairs = ((item.json_name, getattr(value, item.name)) for item in attributes(type(value)))
        return {name: encode(entry) for name, entry in pairs if entry is not None}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, ByteSize):
        return str(value)
    if isinstance(value, tuple | list):
        return [encode(entry) for entry in value]
    if isinstance(value, Mapping):
        return {key: encode(entry) for key, entry in value.items()}
    return value


def decode(cls: type[T], mapping: Mapping[str, Any]) -> T:
    """Type JSON values that are valid for the dataclass; unknown keys (of a newer release's status) are passed over."""
    values = {
        item.name: decode_value(item.annotation, mapping[item.json_name])
        for item in attributes(cls)
        if mapping.get(item.json_name) is not None
    }
    return cls(**values)


def decode_value(annotation: Any, value: Any) -> Any:
    """Type one value of a field by the field's annotation."""
    inner = element_type(annotation)
    if inner is not None:
        return tuple(decode_value(inner, entry) for entry in value)
    if is_spec_class(annotation):
        return decode(annotation, value)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum | ByteSize):
        return annotation(value)
    return value


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
