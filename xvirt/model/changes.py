"""What differs between two specs, field by field, with what each change costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from xvirt.model.fields import Attribute, Mutability, attributes, element_type, is_spec_class
from xvirt.model.kinds import BY_NAME
from xvirt.model.values import decode_value, encode


@dataclasses.dataclass(frozen=True)
class FieldDifference:
    """One field; `old` and `new` are JSON values, None where absent. A list entry is named by its key: `spec.disks[root]`."""

    path: str
    old: Any
    new: Any
    mutability: Mutability


def field_changes(
    kind: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None
) -> tuple[FieldDifference, ...]:
    """Differences between two valid specs; an absent field equals its default.

    A list entry that came or went is one difference, of its list's mutability; a field within an entry has its own. Where the
    order of a list counts, another order of the entries that stayed is one difference too: their names.
    """
    return tuple(_compare(BY_NAME[kind].spec, old or {}, new or {}, "spec"))


def _compare(cls: type, old: Mapping[str, Any], new: Mapping[str, Any], path: str) -> Iterator[FieldDifference]:
    for item in attributes(cls):
        where = f"{path}.{item.json_name}"
        is_whole = item.spec.is_whole is not None and item.spec.is_whole(new)
        compare = _compare_wholes if is_whole else _compare_field
        yield from compare(item, _value(item, old), _value(item, new), where)


def _value(item: Attribute, mapping: Mapping[str, Any]) -> Any:
    found = mapping.get(item.json_name)
    if found is not None or item.is_required:
        return found
    return encode(item.default)


def _compare_field(item: Attribute, old: Any, new: Any, where: str) -> Iterator[FieldDifference]:
    if old == new:
        return
    inner = element_type(item.annotation)
    key = item.spec.list_key
    if is_spec_class(inner) and key is not None:
        yield from _compare_lists(
            item, {entry[key]: entry for entry in old or ()}, {e[key]: e for e in new or ()}, where
        )
    elif is_spec_class(item.annotation) and isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _compare(item.annotation, old, new, where)
    else:
        yield from _compare_wholes(item, old, new, where)


def _compare_wholes(item: Attribute, old: Any, new: Any, where: str) -> Iterator[FieldDifference]:
    before, after = _settle(item, old), _settle(item, new)
    if before != after:
        yield FieldDifference(where, before, after, item.spec.mutability)


def _settle(item: Attribute, value: Any) -> Any:
    """The canonical spelling: 1024Mi is 1Gi, and a default within an entry of a list may be left out."""
    return None if value is None else encode(decode_value(item.annotation, value))


def _compare_lists(
    item: Attribute, old: Mapping[str, Any], new: Mapping[str, Any], where: str
) -> Iterator[FieldDifference]:
    kept, now = [name for name in old if name in new], [name for name in new if name in old]
    if item.spec.order is not None and kept != now:
        yield FieldDifference(where, kept, now, item.spec.order)
    inner: Any = element_type(item.annotation)
    for name in dict.fromkeys([*old, *new]):
        path = f"{where}[{name}]"
        if name in old and name in new:
            yield from _compare(inner, old[name], new[name], path)
        else:
            yield FieldDifference(path, old.get(name), new.get(name), item.spec.mutability)
