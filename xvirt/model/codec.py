"""Documents to typed objects and back: one canonical form, so that two spellings of the same thing are equal.

document (JSON values) --validate--> normalise (defaults, canonical quantities) --decode--> dataclasses --encode--> document
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from xvirt import API_VERSION
from xvirt.model import limits
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.fields import Attribute, attributes, element_type, is_spec_class, is_string_map, is_tree
from xvirt.model.kinds import BY_NAME
from xvirt.model.meta import DEFAULT_NAMESPACE, ObjectMeta, Resource, Scope
from xvirt.model.quantity import ByteSize
from xvirt.model.validation import SERVER_METADATA, check_rules, validate

T = TypeVar("T")


def parse(document: Mapping[str, Any]) -> Resource:
    """Validate, fill in defaults, and type. Raises InvalidSpec with every problem that was found."""
    problems = validate(document)
    if problems:
        raise InvalidSpec(problems, _subject(document))
    resource = _decode_resource(document)
    broken = check_rules(resource.spec, "spec")
    if broken:
        raise InvalidSpec(broken, resource.key)
    return resource


def _subject(document: Any) -> str:
    if not isinstance(document, Mapping):
        return ""
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    kind = document.get("kind")
    words = [word[:80] for word in (kind, name) if isinstance(word, str) and word.isprintable()]
    return " ".join(words)


def _decode_resource(document: Mapping[str, Any]) -> Resource:
    kind = BY_NAME[document["kind"]]
    metadata = {key: value for key, value in document["metadata"].items() if key not in SERVER_METADATA}
    metadata["namespace"] = "" if kind.scope is Scope.CLUSTER else metadata.get("namespace") or DEFAULT_NAMESPACE
    status = document.get("status")
    return Resource(
        kind=kind.name,
        metadata=decode(ObjectMeta, metadata),
        spec=decode(kind.spec, document.get("spec") or {}),
        status=decode(kind.status, status) if isinstance(status, Mapping) and status.get("conditions") else None,
    )


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


def encode(value: Any) -> Any:
    """JSON values of a spec or status dataclass, or of anything within one."""
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
        item.name: _decode(item, mapping[item.json_name])
        for item in attributes(cls)
        if mapping.get(item.json_name) is not None
    }
    return cls(**values)


def _decode(attribute: Attribute, value: Any) -> Any:
    return _decode_as(attribute.annotation, value)


def _decode_as(annotation: Any, value: Any) -> Any:
    inner = element_type(annotation)
    if inner is not None:
        return tuple(_decode_as(inner, entry) for entry in value)
    if is_spec_class(annotation):
        return decode(annotation, value)
    if is_string_map(annotation) or is_tree(annotation):
        return value
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum | ByteSize):
        return annotation(value)
    return value


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no spaces, UTF-8: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def from_json(data: bytes) -> dict[str, Any]:
    """A document from JSON bytes. Raises InvalidSpec where it is too large, broken, too deep or no map."""
    if len(data) > limits.DOCUMENT_MAX_BYTES:
        problem = Problem(
            "", f"the document has {len(data)} bytes, {limits.DOCUMENT_MAX_BYTES} are allowed", "split it"
        )
        raise InvalidSpec([problem])
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidSpec([Problem("", f"not JSON: {error}")]) from error
    if not isinstance(value, dict):
        raise InvalidSpec([Problem("", "a document must be a map")])
    return value
