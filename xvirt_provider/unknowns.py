"""What can be said of inputs of which a preview does not know all: the rest is judged, and compared, as it is.

An unknown value is told by a predicate, so that this module knows nothing of Pulumi's class for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from xvirt.model.errors import Problem
from xvirt.model.fields import Attribute, Mutability, attributes, element_type, is_spec_class
from xvirt.model.kinds import BY_NAME
from xvirt.model.meta import ObjectMeta
from xvirt.model.validation import check_rules, own_metadata, validate_value
from xvirt.model.values import decode
from xvirt.model.wording import join

IsUnknown = Callable[[Any], bool]
IDENTITY = ("name", "namespace")
"""Of metadata: what never changes."""


def all_known(_value: Any) -> bool:
    """Nothing is unknown."""
    return False


@dataclasses.dataclass(frozen=True)
class Pending:
    """A field that is not known yet, and what a change of it would cost."""

    path: str
    mutability: Mutability


def has_unknown(value: Any, is_unknown: IsUnknown) -> bool:
    """Whether anything within is unknown."""
    return next(_unknown_paths(value, "", is_unknown), None) is not None


def check_known(document: Mapping[str, Any], is_unknown: IsUnknown) -> tuple[Problem, ...]:
    """Problems of what is known of a document, with the paths that `validate` gives. Rules across fields are run wherever all that they
    look at is known."""
    cls = BY_NAME[document["kind"]].spec
    found: list[Problem] = []
    for part, section in ((ObjectMeta, "metadata"), (cls, "spec")):
        value = document[section]
        if is_unknown(value):
            continue
        given = own_metadata(value) if section == "metadata" else value
        unknown = tuple(_unknown_paths(given, section, is_unknown))
        problems = validate_value(part, _without(given, is_unknown), section)
        found += [item for item in problems if not _is_about(item.path, unknown)]
    if not found and not is_unknown(document["spec"]):
        found += _broken_rules(cls, document["spec"], "spec", is_unknown)
    return tuple(sorted(set(found)))


def _unknown_paths(value: Any, path: str, is_unknown: IsUnknown) -> Iterator[str]:
    if is_unknown(value):
        yield path
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _unknown_paths(entry, join(path, key), is_unknown)
    elif isinstance(value, list | tuple):
        for number, entry in enumerate(value):
            yield from _unknown_paths(entry, join(path, number), is_unknown)


def _without(value: Any, is_unknown: IsUnknown) -> Any:
    """A list keeps the places of its entries, so that paths stay true."""
    if isinstance(value, Mapping):
        return {key: _without(entry, is_unknown) for key, entry in value.items() if not is_unknown(entry)}
    if isinstance(value, list | tuple):
        return [None if is_unknown(entry) else _without(entry, is_unknown) for entry in value]
    return value


def _is_about(path: str, unknown: tuple[str, ...]) -> bool:
    """Whether a problem may be nothing but the lack of an unknown value: of it, within it, or of the list that it stands in."""
    return any(path == item or _is_below(path, item) or item.startswith(f"{path}[") for item in unknown)


def _is_below(path: str, above: str) -> bool:
    return path.startswith((f"{above}.", f"{above}["))


def _broken_rules(cls: Any, value: Any, path: str, is_unknown: IsUnknown) -> Iterator[Problem]:
    if not has_unknown(value, is_unknown):
        yield from check_rules(decode(cls, value), path)
        return
    for item in attributes(cls) if isinstance(value, Mapping) else ():
        entry = value.get(item.json_name)
        inner: Any = element_type(item.annotation)
        where = join(path, item.json_name)
        if entry is None or is_unknown(entry):
            continue
        if is_spec_class(item.annotation):
            yield from _broken_rules(item.annotation, entry, where, is_unknown)
        elif is_spec_class(inner):
            for number, one in enumerate(entry):
                yield from _broken_rules(inner, one, join(where, number), is_unknown)


def settle_inputs(
    olds: Mapping[str, Any], news: Mapping[str, Any], is_unknown: IsUnknown
) -> tuple[dict[str, Any], tuple[Pending, ...]]:
    """Metadata and spec of the new inputs as `settle` makes them, and all that was unknown among the new inputs."""
    before = olds["spec"] if olds["kind"] == news["kind"] else {}
    spec, pending = settle(news["kind"], before, news["spec"], is_unknown)
    metadata: dict[str, Any] = {}
    others: list[Pending] = []
    for key, value in news["metadata"].items():
        is_pending = has_unknown(value, is_unknown)
        if is_pending:
            mutability = Mutability.FIXED if key in IDENTITY else Mutability.LIVE
            others.append(Pending(f"metadata.{key}", mutability))
        metadata[key] = olds["metadata"].get(key) if is_pending else value
    rest = (key for key, value in news.items() if key not in ("metadata", "spec") and has_unknown(value, is_unknown))
    others += [Pending(key, Mutability.LIVE) for key in rest]
    known = {key: value for key, value in metadata.items() if value is not None}
    return {"metadata": known, "spec": spec}, (*others, *pending)


def settle(kind: str, old: Mapping[str, Any], new: Any, is_unknown: IsUnknown) -> tuple[Any, tuple[Pending, ...]]:
    """The new spec with the old one's values where it is unknown, so that the two can be compared, and what was unknown."""
    pending: list[Pending] = []
    if is_unknown(new):
        return old, (Pending("spec", Mutability.LIVE),)
    return _settle(BY_NAME[kind].spec, old, new, "spec", _Walk(is_unknown, pending)), tuple(pending)


@dataclasses.dataclass(frozen=True)
class _Walk:
    is_unknown: IsUnknown
    pending: list[Pending]


def _settle(cls: Any, old: Mapping[str, Any], new: Mapping[str, Any], path: str, walk: _Walk) -> dict[str, Any]:
    known = {item.json_name: item for item in attributes(cls)}
    found: dict[str, Any] = {}
    for key, value in new.items():
        settled = _settle_field(known.get(key), old.get(key), value, join(path, key), walk)
        if settled is not None:
            found[key] = settled
    return found


def _settle_field(item: Attribute | None, old: Any, new: Any, path: str, walk: _Walk) -> Any:
    if item is None or not has_unknown(new, walk.is_unknown):
        return new
    inner: Any = element_type(item.annotation)
    if isinstance(new, Mapping) and is_spec_class(item.annotation):
        return _settle(item.annotation, old if isinstance(old, Mapping) else {}, new, path, walk)
    if isinstance(new, list | tuple) and is_spec_class(inner) and _has_keys(item, new, walk):
        return _settle_list(item, old or (), new, path, walk)
    walk.pending.append(Pending(path, item.spec.mutability))
    return old


def _has_keys(item: Attribute, entries: Any, walk: _Walk) -> bool:
    key = item.spec.list_key
    return key is not None and all(isinstance(one, Mapping) and isinstance(one.get(key), str) for one in entries)


def _settle_list(item: Attribute, old: Any, new: Any, path: str, walk: _Walk) -> list[Any]:
    key = str(item.spec.list_key)
    before = {one[key]: one for one in old}
    inner: Any = element_type(item.annotation)
    return [_settle(inner, before.get(one[key]) or {}, one, f"{path}[{one[key]}]", walk) for one in new]
