"""What an API server does with documents, as far as an operator can see: server-side apply, patches, field ownership.

Pure. Owned fields are paths of names; items of keyed lists are named by their key, items of sets by their value, other lists are one value.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

Object = dict[str, Any]
Path = tuple[str, ...]
Owners = dict[str, set[Path]]
"""Manager -> what it owns. Managers of plain writes are named with `!` at the end: their ownership is another one."""

LIST_KEYS: Mapping[str, str] = {
    "conditions": "type",
    "ownerReferences": "uid",
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "disks": "name",
    "nics": "name",
    "interfaces": "name",
}
SETS = {"finalizers"}
_IDENTITY = {
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
    "deletionTimestamp",
}


class PatchFailed(Exception):
    """A JSON patch that does not fit."""


class OwnedByOthers(Exception):
    """An apply without force against other managers' fields."""


def fields_of(document: Mapping[str, Any], parts: Iterable[str]) -> set[Path]:
    """The paths that a document sets below the given top-level parts."""
    found: set[Path] = set()
    for part in parts:
        if part in document:
            value = document[part]
            if part == "metadata":
                value = {name: each for name, each in value.items() if name not in _IDENTITY}
                found |= {(part, *path) for path in _paths(value) if path}
            else:
                found |= {(part, *path) for path in _paths(value)}
    return found


def _paths(value: Any, name: str = "") -> set[Path]:
    if isinstance(value, dict) and value:
        return {(each, *path) for each, below in value.items() for path in _paths(below, each)}
    if isinstance(value, list) and name in SETS:
        return {(f"={item}",) for item in value}
    if isinstance(value, list) and name in LIST_KEYS:
        key = LIST_KEYS[name]
        return {(f"[{item[key]}", *path) for item in value for path in _paths(item)}
    return {()}


def value_at(document: Any, path: Path) -> Any:
    """The value at a path; None where there is none."""
    name = ""
    for step in path:
        if step.startswith("[") and isinstance(document, list):
            document = next((item for item in document if item.get(LIST_KEYS[name]) == step[1:]), None)
        elif step.startswith("=") and isinstance(document, list):
            return step[1:] if step[1:] in document else None
        elif isinstance(document, dict):
            document = document.get(step)
        else:
            return None
        name = step
    return document


def apply_to(
    live: Object, document: Object, parts: Iterable[str], owners: Owners, manager: str, *, is_forced: bool
) -> Object:
    """The object after an apply; `owners` is changed. Raises OwnedByOthers."""
    wanted = fields_of(document, parts)
    for other, owned in owners.items():
        if other == manager:
            continue
        taken = {path for path in wanted & owned if value_at(live, path) != value_at(document, path)}
        if taken and not is_forced:
            raise OwnedByOthers(f"conflict with {other.rstrip('!')!r}: .{'.'.join(sorted(taken)[0])}")
        owned -= taken
    result: Object = _merge(live, {part: document[part] for part in parts if part in document}, "")
    for path in sorted(owners.get(manager, set()) - wanted, key=_from_the_inside):
        if not any(path in owned for other, owned in owners.items() if other != manager):
            result = _without(result, path, "") or {}
    owners[manager] = wanted
    return result


def _merge(live: Any, change: Any, name: str) -> Any:
    if isinstance(live, dict) and isinstance(change, dict):
        result = dict(live)
        for each, value in change.items():
            if name == "metadata" and each in _IDENTITY:
                continue
            if value is None:
                result.pop(each, None)
            else:
                result[each] = _merge(live.get(each), value, each)
        return result
    if isinstance(live, list) and isinstance(change, list) and name in SETS:
        return live + [item for item in change if item not in live]
    if isinstance(live, list) and isinstance(change, list) and name in LIST_KEYS:
        key = LIST_KEYS[name]
        fresh = {item[key]: item for item in change}
        kept = [_merge(item, fresh.pop(item[key]), "") if item[key] in fresh else item for item in live]
        return kept + list(fresh.values())
    return copy.deepcopy(change)


def _from_the_inside(path: Path) -> tuple[int, bool, Path]:
    """Deep paths first, and the key of a list's item last: it is what the item is found by."""
    return -len(path), path[-1] in LIST_KEYS.values(), path


def _without(value: Any, path: Path, name: str) -> Any:
    """The value without a path; None where nothing is left of it."""
    if not path:
        return None
    step, below = path[0], path[1:]
    if isinstance(value, dict):
        inner = _without(value[step], below, step) if below and step in value else None
        kept = {
            each: item if each != step else inner for each, item in value.items() if each != step or inner is not None
        }
        return kept or None
    if isinstance(value, list) and name in SETS:
        return [item for item in value if item != step[1:]] or None
    if isinstance(value, list):
        key = LIST_KEYS[name]
        items = [
            _without(item, below, "") if item[key] == step[1:] and (below != (key,) or len(item) == 1) else item
            for item in value
        ]
        return [item for item in items if item is not None] or None
    return None


def note_write(before: Object, after: Object, parts: Iterable[str], owners: Owners, manager: str) -> None:
    """What a plain write changed is its manager's from now on, and nobody else's."""
    names = tuple(parts)
    old, new = fields_of(before, names), fields_of(after, names)
    changed = {path for path in new if value_at(before, path) != value_at(after, path)}
    for owned in owners.values():
        owned -= changed | (old - new)
    owners.setdefault(f"{manager}!", set()).update(changed)


def merge_patched(document: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patched(result.get(name), value)
    return result


def json_patched(document: Object, operations: list[Object]) -> Object:
    """RFC 6902: test, add, replace, remove. Raises PatchFailed."""
    result = copy.deepcopy(document)
    for operation in operations:
        steps = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        place: Any = result
        try:
            for step in steps[:-1]:
                place = place[int(step)] if isinstance(place, list) else place[step]
            _operate(place, steps[-1], operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise PatchFailed(f"{operation['op']} {operation['path']}: {error!r}") from error
    return result


def _operate(place: Any, step: str, operation: Object) -> None:
    kind, value = operation["op"], operation.get("value")
    if kind == "test":
        found = place[int(step)] if isinstance(place, list) else place.get(step)
        if found != value:
            raise PatchFailed(f"testing value {operation['path']} failed: test failed")
    elif kind == "remove":
        del place[int(step) if isinstance(place, list) else step]
    elif isinstance(place, list):
        if kind == "replace":
            place[int(step)] = value
        else:
            place.insert(len(place) if step == "-" else int(step), value)
    else:
        place[step] = value
