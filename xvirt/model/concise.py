"""The short form of a document: without what its defaults say, for people to read and keep."""

from __future__ import annotations

from typing import Any

from xvirt import API_VERSION
from xvirt.model.fields import attributes, element_type, is_spec_class
from xvirt.model.meta import Resource
from xvirt.model.values import encode


def concise(value: Any) -> Any:
    """As `encode`, without fields that have their default; a list's entries and a spec within keep only what they change."""
    if isinstance(value, tuple):
        return [concise(entry) for entry in value]
    if not is_spec_class(type(value)):
        return encode(value)
    found = {}
    for item in attributes(type(value)):
        entry = getattr(value, item.name)
        if item.is_required or entry != item.default:
            found[item.json_name] = concise(entry) if _is_deep(item.annotation) else encode(entry)
    return found


def _is_deep(annotation: Any) -> bool:
    return is_spec_class(annotation) or is_spec_class(element_type(annotation))


def concise_document(resource: Resource) -> dict[str, Any]:
    """The shortest document that stands for a resource; without status."""
    return {
        "apiVersion": API_VERSION,
        "kind": resource.kind,
        "metadata": concise(resource.metadata),
        "spec": concise(resource.spec),
    }
