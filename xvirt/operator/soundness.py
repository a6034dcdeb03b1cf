"""Statuses as caches keep them: whatever an earlier, laxer kind let in, what stands there has the model's shape. Pure.

Decisions, indexes and subscribers read a status without asking what it is made of. One that is out of shape must trouble nobody else, and a
new operator least of all, which reads all of them before it does anything.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from xvirt.model.fields import attributes, element_type, is_spec_class
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
    checks = _checks(cls)
    found: Object = {}
    for name, entry in value.items():
        check = checks.get(name)
        if check is None:
            found[name] = entry
        elif check.of_entry is not None and isinstance(entry, list):
            found[name] = [each for each in entry if check.of_entry(each)]
        elif check.of_value(entry):
            found[name] = entry
    return found


# Made once of each class: every event of every object is checked.

Check = Callable[[Any], bool]


@dataclasses.dataclass(frozen=True, slots=True)
class _Checks:
    of_value: Check
    of_entry: Check | None


@functools.cache
def _checks(cls: Any) -> dict[str, _Checks]:
    made = {}
    for item in attributes(cls):
        inner = element_type(item.annotation)
        made[item.json_name] = _Checks(_check(item.annotation), None if inner is None else _check(inner))
    return made


@functools.cache
def _check(annotation: Any) -> Check:
    inner = element_type(annotation)
    if inner is not None:
        of_entry = _check(inner)
        return lambda value: isinstance(value, list) and all(map(of_entry, value))
    if is_spec_class(annotation):
        return _check_map(annotation)
    kinds = _SCALARS.get(annotation, (str,))
    return lambda value: type(value) in kinds


def _check_map(cls: Any) -> Check:
    fields = tuple((item.json_name, item.is_required, _check(item.annotation)) for item in attributes(cls))

    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        return all(
            of_value(value[name]) if name in value else not is_required for name, is_required, of_value in fields
        )

    return check
