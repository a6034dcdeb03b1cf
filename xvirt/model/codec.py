"""Documents to typed objects and back: one canonical form, so that two spellings of the same thing are equal.

document (JSON values) --validate--> decode (defaults, quantities) --> dataclasses --encode--> the canonical document
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xvirt import API_VERSION
from xvirt.model import limits
from xvirt.model.checks import find_problems
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.fields import attributes
from xvirt.model.jsontext import read_json
from xvirt.model.kinds import BY_NAME
from xvirt.model.meta import DEFAULT_NAMESPACE, ObjectMeta, Resource, Scope
from xvirt.model.validation import check_size, own_metadata, validate
from xvirt.model.values import canonical_json, decode, encode
from xvirt.model.wording import show

__all__ = [
    "canonical_json",
    "decode",
    "document_of",
    "encode",
    "from_json",
    "normalise",
    "parse",
    "to_document",
]


def parse(document: Mapping[str, Any]) -> Resource:
    """Validate, fill in defaults, and type. Raises InvalidSpec with every problem that was found.

    A status is typed where it is one of ours; anything else in its place is passed over.
    """
    problems = validate(document)
    if problems:
        raise InvalidSpec(problems, _subject(document))
    kind = BY_NAME[document["kind"]]
    metadata = own_metadata(document["metadata"])
    metadata["namespace"] = "" if kind.scope is Scope.CLUSTER else metadata.get("namespace") or DEFAULT_NAMESPACE
    return Resource(
        kind=kind.name,
        metadata=decode(ObjectMeta, metadata),
        spec=decode(kind.spec, document.get("spec") or {}),
        status=_decode_status(kind.status, document.get("status")),
    )


def _subject(document: Any) -> str:
    if not isinstance(document, Mapping):
        return ""
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    words = [word for word in (document.get("kind"), name) if isinstance(word, str) and word]
    return " ".join(word if word.isascii() and word.isprintable() and len(word) < 80 else show(word) for word in words)


def _decode_status(cls: type, status: Any) -> Any:
    if not isinstance(status, Mapping) or not status.get("conditions"):
        return None
    known = {item.json_name for item in attributes(cls)}
    own = {key: value for key, value in status.items() if key in known}
    return None if find_problems(cls, own, "status") else decode(cls, own)


def normalise(document: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical document that a valid one stands for. Raises InvalidSpec."""
    return to_document(parse(document))


def document_of(kind: str, metadata: ObjectMeta, spec: Any) -> dict[str, Any]:
    """The document of typed arguments. Raises InvalidSpec where they are not valid."""
    return normalise(to_document(Resource(kind, metadata, spec)))


def to_document(resource: Resource) -> dict[str, Any]:
    """A document with every default written out and absent optional fields left out; without status."""
    metadata = encode(resource.metadata)
    if not metadata.get("namespace"):
        metadata.pop("namespace", None)
    return {
        "apiVersion": API_VERSION,
        "kind": resource.kind,
        "metadata": metadata,
        "spec": encode(resource.spec),
    }


def from_json(data: bytes) -> dict[str, Any]:
    """A document from JSON bytes. Raises InvalidSpec where it is too large, broken, too deep or no map."""
    if len(data) > limits.DOCUMENT_MAX_BYTES:
        message = f"the document has {len(data)} bytes, {limits.DOCUMENT_MAX_BYTES} are allowed"
        raise InvalidSpec([Problem("", message, "split it")])
    try:
        value = read_json(data)
    except ValueError as error:
        raise InvalidSpec([Problem("", f"not JSON: {error}")]) from error
    if not isinstance(value, dict):
        raise InvalidSpec([Problem("", "a document must be a map")])
    problem = check_size(value)
    if problem is not None:
        raise InvalidSpec([problem])
    return value
