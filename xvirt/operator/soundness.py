"""Statuses as caches keep them: whatever an earlier, laxer kind let in, what stands there has the model's shape. Pure.

Decisions, indexes and subscribers read a status without asking what it is made of. One that is out of shape must trouble nobody else, and a
new operator least of all, which reads all of them before it does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from xvirt.model.fields import Attribute, attributes, element_type, is_spec_class
from xvirt.model.kinds import BY_NAME
from xvirt.model.quantity import ByteSize

Object = dict[str, Any]
_SCALARS: dict[Any, tuple[type, ...]] = {int: (int,), bool: (bool,), ByteSize: (int, str)}
"""Everything else is text; whether an enumeration has a word is not asked: a later release may know more of them."""


def sound_status(kind: str, status: Any) -> Object:
    """Without the fields, and the entries of lists, that are out of shape. What the model does not know stays as it is."""
    return _sound(BY_NAME[kind].status, status) if isinstance(status, Mapping) else {}


def shape_of(kind: str) -> Callable[[Object], Object]:
    """A cache's `shape`, for a kind that is kept whole."""

    def shape(item: Object) -> Object:
        return {**item, "status": sound_status(kind, item["status"])} if "status" in item else item

    return shape


def _sound(cls: Any, value: Mapping[str, Any]) -> Object:
    known = {item.json_name: item for item in attributes(cls)}
    found: Object = {}
    for name, entry in value.items():
        item = known.get(name)
        if item is None:
            found[name] = entry
        elif element_type(item.annotation) is not None and isinstance(entry, list):
            found[name] = [each for each in entry if _is_sound(element_type(item.annotation), each)]
        elif _is_sound(item.annotation, entry):
            found[name] = entry
    return found


def _is_sound(annotation: Any, value: Any) -> bool:
    inner = element_type(annotation)
    if inner is not None:
        return isinstance(value, list) and all(_is_sound(inner, each) for each in value)
    if is_spec_class(annotation):
        return isinstance(value, Mapping) and all(_is_field_sound(item, value) for item in attributes(annotation))
    kinds = _SCALARS.get(annotation, (str,))
    return isinstance(value, kinds) and (annotation is bool or not isinstance(value, bool))


def _is_field_sound(item: Attribute, value: Mapping[str, Any]) -> bool:
    if item.json_name not in value:
        return not item.is_required
    return _is_sound(item.annotation, value[item.json_name])
