"""The API server's objects as those that a node answers, and what a declaration changes of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xvirt.cli.manifests import Manifest
from xvirt.cli.place import Verdict
from xvirt.model.changes import field_changes
from xvirt.model.codec import normalise
from xvirt.model.errors import InvalidSpec
from xvirt.model.exchange import Event, EventType, FieldChange, Impact, ObjectRef, ObjectView, Token
from xvirt.model.fields import Mutability
from xvirt.model.kinds import BY_NAME, SECRET_KIND

Object = dict[str, Any]

_IMPACTS = {Mutability.LIVE: Impact.LIVE, Mutability.RESTART: Impact.RESTART, Mutability.FIXED: Impact.REFUSED}
_OF_THE_SERVER = (
    "managedFields",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
    "selfLink",
)
_DECLARED = ("spec", "data", "type", "immutable")
"""Beside labels and annotations: what a declaration may change of an object."""


def read_view(item: Object) -> ObjectView:
    """An object."""
    metadata = item["metadata"]
    ref = ObjectRef(
        kind=item["kind"],
        namespace=metadata.get("namespace") or "",
        name=metadata["name"],
        uid=metadata.get("uid") or "",
    )
    token = Token(generation=int(metadata.get("generation") or 0))
    return ObjectView(ref=ref, document=item, token=token, is_deleting="deletionTimestamp" in metadata)


def make_declaration(manifest: Manifest) -> Object:
    """What is sent for a document: as it was written, without what an API server adds of itself. Defaults stay out, so that nobody owns a
    field that nobody wrote."""
    document = {key: value for key, value in manifest.written.items() if key != "status"}
    metadata = {key: value for key, value in document["metadata"].items() if key not in _OF_THE_SERVER}
    if not manifest.ref.namespace:
        metadata.pop("namespace", None)
    return {**document, "metadata": metadata}


def judge(before: Object | None, after: Object) -> Verdict:
    """What a declaration has done, or would do. Who owns a field is no difference, nor is what others write meanwhile."""
    if before is None:
        return Verdict.CREATED
    return Verdict.UNCHANGED if _declared_part(before) == _declared_part(after) else Verdict.CONFIGURED


def _declared_part(item: Object) -> Object:
    metadata = item["metadata"]
    part = {key: item.get(key) for key in _DECLARED}
    return {**part, **{key: metadata.get(key) or {} for key in ("labels", "annotations")}}


def find_changes(before: Object | None, after: Object) -> tuple[FieldChange, ...]:
    """Field by field, with what each costs a running machine. Values of Secrets are not told."""
    if before is None:
        return ()
    changes = []
    for section in ("labels", "annotations"):
        changes += _map_changes(
            f"metadata.{section}", before["metadata"].get(section) or {}, after["metadata"].get(section) or {}
        )
    if after["kind"] == SECRET_KIND:
        is_same = before.get("data") == after.get("data")
        return (*changes, *(() if is_same else (_change("data", "(hidden)", "(hidden)", Impact.NONE),)))
    return (*changes, *_spec_changes(before, after))


def _spec_changes(before: Object, after: Object) -> list[FieldChange]:
    try:
        found = field_changes(after["kind"], _spec_of(before), _spec_of(after))
    except InvalidSpec:  # of a newer release's fields this one knows nothing
        return [_change("spec", before.get("spec"), after.get("spec"), Impact.NONE)]
    return [_change(item.path, item.old, item.new, _IMPACTS[item.mutability]) for item in found]


def _spec_of(item: Object) -> Mapping[str, Any]:
    spec: Mapping[str, Any] = normalise({key: item[key] for key in ("apiVersion", "kind", "metadata", "spec")})["spec"]
    return spec


def _map_changes(path: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[FieldChange]:
    return [
        _change(f"{path}[{key}]", old.get(key), new.get(key), Impact.NONE)
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def _change(path: str, old: Any, new: Any, impact: Impact) -> FieldChange:
    return FieldChange(path=path, old=old, new=new, impact=impact)


def read_event(item: Object) -> Event | None:
    """An Event (events.k8s.io/v1); None where it is about none of xVirt's objects."""
    about = item.get("regarding") or {}
    if about.get("kind") not in BY_NAME or not str(about.get("apiVersion", "")).startswith("xvirt.io/"):
        return None
    series = item.get("series") or {}
    first = item.get("deprecatedFirstTimestamp") or item.get("eventTime") or item["metadata"].get("creationTimestamp")
    last = series.get("lastObservedTime") or item.get("deprecatedLastTimestamp") or first
    return Event(
        ref=ObjectRef(
            kind=about["kind"],
            namespace=about.get("namespace") or "",
            name=about.get("name") or "",
            uid=about.get("uid") or "",
        ),
        type=EventType.WARNING if item.get("type") == EventType.WARNING.value else EventType.NORMAL,
        reason=str(item.get("reason") or ""),
        message=str(item.get("note") or ""),
        count=int(series.get("count") or item.get("deprecatedCount") or 1),
        first_seen=_seconds(first),
        last_seen=_seconds(last),
    )


def _seconds(moment: Any) -> str:
    """`2026-01-31T12:00:00.000000Z` in whole seconds, as a node tells time."""
    text = str(moment or "")
    head, dot, _ = text.partition(".")
    return f"{head}Z" if dot else text
