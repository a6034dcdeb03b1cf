"""One judgement of a document for everybody: CLI, Pulumi, operator and node give the same paths and the same words.

Order: size and depth, apiVersion and kind, metadata and spec field by field (cerberus, `xvirt.model.checks`), and only where all
that holds the rules across fields, on the typed spec.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xvirt import API_VERSION
from xvirt.model import limits
from xvirt.model.checks import find_problems, unknown
from xvirt.model.errors import Problem
from xvirt.model.fields import attributes, is_spec_class, rules_of
from xvirt.model.kinds import BY_NAME, KINDS
from xvirt.model.meta import ObjectMeta
from xvirt.model.values import decode
from xvirt.model.wording import join, nearest, show

SERVER_METADATA = frozenset(
    {
        "resourceVersion",
        "managedFields",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "ownerReferences",
        "finalizers",
        "selfLink",
        "generateName",
    }
)
"""What an API server adds; passed over."""

_TOO_LARGE = Problem("", f"has more than {limits.DOCUMENT_MAX_BYTES} bytes as JSON", "split it")
_TOP_LEVEL = ["apiVersion", "kind", "metadata", "spec", "status"]


def validate(document: Any) -> tuple[Problem, ...]:
    """Everything wrong with a document, sorted by path; empty where it is valid. `status` is passed over."""
    problem = check_size(document)
    if problem is not None:
        return (problem,)
    if not isinstance(document, Mapping):
        return (Problem("", "a document must be a map with apiVersion, kind, metadata and spec"),)
    strange = tuple(sorted(_find_strange_keys(document)))
    if strange:
        return strange
    problems = [*_check_head(document), *_check_metadata(document.get("metadata"))]
    kind = BY_NAME.get(document["kind"]) if isinstance(document.get("kind"), str) else None
    if kind is not None:
        problems += _check_spec(kind.spec, document.get("spec"))
    return tuple(sorted(set(problems)))


def validate_value(cls: type, value: Mapping[str, Any], prefix: str = "") -> list[Problem]:
    """Problems of a map that stands for a spec dataclass, with paths below `prefix`; rules across fields are not run."""
    return sorted(set(find_problems(cls, value, prefix)))


def check_size(document: Any) -> Problem | None:
    """The problem of a document that is too large, too deep or of too many values; None where it is not.

    It stops counting at the bound, so that a document of shared parts (YAML aliases) costs no more than any other.
    """
    nodes = characters = 0
    stack = [(document, 1)]
    while stack:
        value, depth = stack.pop()
        nodes += 1
        if depth > limits.DOCUMENT_MAX_DEPTH:
            return Problem("", f"nested deeper than {limits.DOCUMENT_MAX_DEPTH} levels")
        if nodes > limits.DOCUMENT_MAX_NODES:
            return Problem("", f"has more than {limits.DOCUMENT_MAX_NODES} values")
        if isinstance(value, Mapping):
            stack += [(entry, depth + 1) for entry in value.values()]
            characters += sum(len(key) for key in value if isinstance(key, str))
        elif isinstance(value, list | tuple):
            stack += [(entry, depth + 1) for entry in value]
        elif isinstance(value, str):
            characters += len(value)
        if characters > limits.DOCUMENT_MAX_BYTES:
            return _TOO_LARGE
    return _TOO_LARGE if _count_json_bytes(document) > limits.DOCUMENT_MAX_BYTES else None


def _count_json_bytes(document: Any) -> int:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), skipkeys=True, default=str)
    return len(text.encode(errors="surrogatepass"))


def _find_strange_keys(document: Mapping[Any, Any]) -> set[Problem]:
    """Keys that are no text, which programs can write and files cannot; cerberus fails to sort them beside text."""
    found: set[Problem] = set()
    stack: list[tuple[Any, str]] = [(document, "")]
    while stack and len(found) < limits.PROBLEMS_MAX:
        value, path = stack.pop()
        if isinstance(value, list | tuple):
            stack += [(entry, join(path, number)) for number, entry in enumerate(value)]
        elif isinstance(value, Mapping):
            stack += [(entry, join(path, str(key))) for key, entry in value.items()]
            found |= {
                Problem(path, f"holds the key {show(key)}, which is no text", "quote it")
                for key in value
                if not isinstance(key, str)
            }
    return found


def _check_head(document: Mapping[str, Any]) -> list[Problem]:
    strange = [key for key in document if key not in _TOP_LEVEL]
    problems = [unknown("", key, _TOP_LEVEL) for key in strange[: limits.PROBLEMS_MAX]]
    version = document.get("apiVersion")
    if version is None:
        problems.append(Problem("apiVersion", "is required", f"use {API_VERSION}"))
    elif version != API_VERSION:
        problems.append(Problem("apiVersion", f"{show(version)} is not served", f"use {API_VERSION}"))
    kind = document.get("kind")
    names = [item.name for item in KINDS]
    remedy = f"use one of {', '.join(names)}"
    if kind is None:
        problems.append(Problem("kind", "is required", remedy))
    elif not isinstance(kind, str) or kind not in BY_NAME:
        problems.append(Problem("kind", f"{show(kind)} is not known{nearest(kind, names)}", remedy))
    return problems


def _check_metadata(metadata: Any) -> list[Problem]:
    if not isinstance(metadata, Mapping):
        return [Problem("metadata", "must be a map with a name")]
    return find_problems(ObjectMeta, own_metadata(metadata), "metadata")


def own_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata without what an API server adds. An empty namespace or uid is none, as in Kubernetes."""
    own = {key: value for key, value in metadata.items() if key not in SERVER_METADATA}
    for key in ("namespace", "uid"):
        if own.get(key) == "":
            del own[key]
    return own


def _check_spec(cls: type, spec: Any) -> list[Problem]:
    if spec is None:
        spec = {}
    if not isinstance(spec, Mapping):
        return [Problem("spec", f"must be a map, not {show(spec)}")]
    return find_problems(cls, spec, "spec") or list(check_rules(decode(cls, spec), "spec"))


def check_rules(value: Any, path: str) -> tuple[Problem, ...]:
    """Violations of the rules across fields, in a typed spec and everything within it."""
    return tuple(sorted(_broken_rules(value, path)))


def _broken_rules(value: Any, path: str) -> list[Problem]:
    problems = []
    for rule in rules_of(type(value)):
        if not _holds(rule.check, value):
            message, _, remedy = rule.message.partition("; ")
            problems.append(Problem(_below(path, rule.path), message, remedy))
    for item in attributes(type(value)):
        entry = getattr(value, item.name)
        where = join(path, item.json_name)
        if is_spec_class(type(entry)):
            problems += _broken_rules(entry, where)
        elif isinstance(entry, tuple):
            for number, inner in enumerate(entry):
                problems += _broken_rules(inner, join(where, number))
    return problems


def _below(path: str, inner: str) -> str:
    return f"{path}.{inner}" if path and inner else path or inner


def _holds(check: Any, value: Any) -> bool:
    try:
        return bool(check(value))
    except (ValueError, TypeError):  # a rule on addresses met something that only looks like one
        return False
