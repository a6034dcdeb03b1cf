"""What a node is given for a machine, and the digest by which its view is known again. Pure."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from xvirt import API_VERSION
from xvirt.model.fields import attributes, element_type, is_spec_class
from xvirt.model.kinds import BY_NAME
from xvirt.model.profiles import PROFILES
from xvirt.operator.names import APPLIED_ANNOTATION

DEFAULT_PROFILE = PROFILES[0]
"""Of a namespace without the label: the strictest."""
_DIGEST_LENGTH = 32


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Declared:
    """One object of the cluster that a node is to hold.

    `node_uid`: what the node calls it by. `secrets`: name to resourceVersion of those that it refers to, empty where there is none yet.
    """

    kind: str
    namespace: str
    name: str
    node_uid: str
    generation: int
    labels: Mapping[str, str]
    spec: Mapping[str, Any]
    profile: str = DEFAULT_PROFILE
    secrets: Mapping[str, str] = dataclasses.field(default_factory=dict)


def digest_of(declared: Declared) -> str:
    """Of everything that a node is given: it stands in the document that the node holds and shows."""
    parts = [
        declared.generation,
        declared.node_uid,
        dict(declared.labels),
        declared.spec,
        declared.profile,
        dict(declared.secrets),
    ]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_DIGEST_LENGTH]


def document_of(declared: Declared) -> dict[str, Any]:
    """The document that is sent. The user's annotations stay in the cluster: nodes have no use for them."""
    metadata: dict[str, Any] = {
        "name": declared.name,
        "uid": declared.node_uid,
        "generation": declared.generation,
        "annotations": {APPLIED_ANNOTATION: digest_of(declared)},
    }
    if declared.namespace:
        metadata["namespace"] = declared.namespace
    if declared.labels:
        metadata["labels"] = dict(declared.labels)
    return {"apiVersion": API_VERSION, "kind": declared.kind, "metadata": metadata, "spec": dict(declared.spec)}


# Secrets: found in the raw document, because typing a whole one for each look costs a hundred times as much

_Path = tuple[str, ...]
_EACH = "[]"


def secret_names(kind: str, spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the Secrets that a spec refers to. What is not shaped as it should be refers to none."""
    found = (name for path in _SECRET_PATHS[kind] for name in _values(spec, path))
    return tuple(dict.fromkeys(name for name in found if isinstance(name, str) and name))


def _find_paths(cls: type) -> Iterator[_Path]:
    for attribute in attributes(cls):
        inner = element_type(attribute.annotation)
        if attribute.spec.references == "Secret":
            yield (attribute.json_name,)
        elif is_spec_class(attribute.annotation):
            yield from ((attribute.json_name, *path) for path in _find_paths(attribute.annotation))
        elif inner is not None and is_spec_class(inner):
            yield from ((attribute.json_name, _EACH, *path) for path in _find_paths(inner))


def _values(value: Any, path: _Path) -> Iterator[Any]:
    if not path:
        yield value
    elif path[0] == _EACH:
        for item in value if isinstance(value, list) else ():
            yield from _values(item, path[1:])
    elif isinstance(value, Mapping) and path[0] in value:
        yield from _values(value[path[0]], path[1:])


_SECRET_PATHS: dict[str, tuple[_Path, ...]] = {name: tuple(_find_paths(kind.spec)) for name, kind in BY_NAME.items()}
