"""One judgement of a document for everybody: CLI, Pulumi, operator and node give the same paths and the same words.

cerberus walks the generated schema; this module gives it the checks that it lacks (quantities, formats, trees, unique keys) and turns
its errors into `Problem`s. Rules across fields run on the typed object afterwards (`check_rules`).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import cerberus
from cerberus.errors import BasicErrorHandler, ValidationError

from xvirt import API_VERSION
from xvirt.model import limits
from xvirt.model.errors import Problem
from xvirt.model.fields import Format, attributes, is_spec_class, rules_of
from xvirt.model.kinds import BY_NAME, KINDS
from xvirt.model.meta import ObjectMeta
from xvirt.model.names import DESCRIPTIONS, PATTERNS, has_path_escape, is_clean_text
from xvirt.model.quantity import ByteSize
from xvirt.model.schema import schema_of

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

_TOP_LEVEL = ("apiVersion", "kind", "metadata", "spec", "status")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_TREE_KEY = re.compile(r"(@|#|\$)?[A-Za-z_][A-Za-z0-9_.:-]{0,127}")
_PATH_PART = re.compile(r"[A-Za-z0-9_.@#$:/-]{1,80}")


class _Validator(cerberus.Validator):  # type: ignore[misc]
    """cerberus with the checks of this model."""

    types_mapping: ClassVar[dict[str, cerberus.TypeDefinition]] = {
        **cerberus.Validator.types_mapping,
        "integer": cerberus.TypeDefinition("integer", (int,), (bool,)),
    }

    def _validate_quantity(self, bounds: tuple[int | None, int | None], field: str, value: Any) -> None:
        """{'type': 'list'}"""
        if isinstance(value, bool) or not isinstance(value, int | str):
            self._error(field, "must be a quantity such as 2Gi")
            return
        try:
            size = ByteSize(value)
        except ValueError as error:
            self._error(field, str(error))
            return
        low, high = bounds
        if low is not None and size < low:
            self._error(field, f"{size} is below the least, {ByteSize(low)}")
        if high is not None and size > high:
            self._error(field, f"{size} is above the most, {ByteSize(high)}")

    def _validate_choice(self, choices: list[str], field: str, value: Any) -> None:
        """{'type': 'list'}"""
        if isinstance(value, str) and value not in choices:
            self._error(field, f"{_quote(value)} is not one of {', '.join(choices)}{_nearest(value, choices)}")

    def _validate_text_format(self, wanted: Format, field: str, value: Any) -> None:
        """{'nullable': False}"""
        if not isinstance(value, str):
            return
        if not is_clean_text(value):
            self._error(field, "holds control characters or others that XML cannot hold")
        elif not _is_well_formed(wanted, value):
            self._error(field, f"{_quote(value)} is not {DESCRIPTIONS[wanted]}")

    def _validate_unique_by(self, key: str, field: str, value: Any) -> None:
        """{'type': 'string'}"""
        if not isinstance(value, list):
            return
        names = [entry.get(key) for entry in value if isinstance(entry, Mapping)]
        seen: set[Any] = set()
        for name in names:
            if isinstance(name, str) and name in seen:
                self._error(field, f"{key} {_quote(name)} is given twice")
            if isinstance(name, str):
                seen.add(name)

    def _validate_string_map(self, max_length: int, field: str, value: Any) -> None:
        """{'type': 'integer'}"""
        if not isinstance(value, Mapping):
            return
        for key, text in value.items():
            if not isinstance(key, str) or not _LABEL_KEY.fullmatch(key):
                self._error(field, f"{_quote(key)} is not a label key")
            elif not isinstance(text, str):
                self._error(field, f"{key} must be a string; quote it")
            elif len(text) > max_length or not is_clean_text(text):
                self._error(field, f"{key} is longer than {max_length} characters or holds control characters")

    def _validate_tree(self, _wanted: bool, field: str, value: Any) -> None:
        """{'type': 'boolean'}"""
        for path, message in _tree_problems(value, ""):
            self._error(field, f"\x00{path}\x00{message}")


def _is_well_formed(wanted: Format, value: str) -> bool:
    if wanted in PATTERNS and not re.fullmatch(PATTERNS[wanted], value, re.ASCII):
        return False
    return wanted is not Format.HOST_PATH or not has_path_escape(value)


def _tree_problems(value: Any, path: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if not isinstance(key, str) or not _TREE_KEY.fullmatch(key):
                yield path, f"{_quote(key)} is not the name of an element or @attribute"
            else:
                yield from _tree_problems(entry, f"{path}.{key}")
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            yield from _tree_problems(entry, f"{path}[{number}]")
    elif not isinstance(value, str):
        yield path, f"must be a string, not {json.dumps(value, default=str)[:40]}; quote it"
    elif not is_clean_text(value):
        yield path, "holds control characters or others that XML cannot hold"


class _Handler(BasicErrorHandler):  # type: ignore[misc]
    """Keeps cerberus's own errors; `_flatten` words them."""


def validate(document: Any) -> tuple[Problem, ...]:
    """Everything wrong with a document, sorted by path; empty where it is valid but for rules across fields."""
    problem = _check_size(document)
    if problem is not None:
        return (problem,)
    if not isinstance(document, Mapping):
        return (Problem("", "a document must be a map with apiVersion, kind, metadata and spec"),)
    problems = [*_check_head(document), *_check_metadata(document.get("metadata"))]
    kind = BY_NAME.get(document["kind"]) if isinstance(document.get("kind"), str) else None
    if kind is not None:
        problems += _check_spec(kind.spec, document.get("spec", {}))
    return tuple(sorted(set(problems)))


def _check_size(document: Any) -> Problem | None:
    nodes, stack = 0, [(document, 1)]
    text_bytes = 0
    while stack:
        value, depth = stack.pop()
        nodes += 1
        if depth > limits.DOCUMENT_MAX_DEPTH:
            return Problem("", f"nested deeper than {limits.DOCUMENT_MAX_DEPTH} levels")
        if nodes > limits.DOCUMENT_MAX_NODES:
            return Problem("", f"has more than {limits.DOCUMENT_MAX_NODES} values")
        if isinstance(value, Mapping):
            stack += [(entry, depth + 1) for entry in value.values()]
            text_bytes += sum(len(key) for key in value if isinstance(key, str))
        elif isinstance(value, list):
            stack += [(entry, depth + 1) for entry in value]
        elif isinstance(value, str):
            text_bytes += len(value)
        if text_bytes > limits.DOCUMENT_MAX_BYTES:
            return Problem("", f"has more than {limits.DOCUMENT_MAX_BYTES} bytes", "split it")
    return None


def _check_head(document: Mapping[str, Any]) -> list[Problem]:
    problems = [_unknown("", key, _TOP_LEVEL) for key in document if key not in _TOP_LEVEL]
    if document.get("apiVersion") != API_VERSION:
        problems.append(
            Problem("apiVersion", f"{_quote(document.get('apiVersion'))} is not served", f"use {API_VERSION}")
        )
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in BY_NAME:
        names = [item.name for item in KINDS]
        remedy = f"use one of {', '.join(names)}"
        problems.append(Problem("kind", f"{_quote(kind)} is not known{_nearest(kind, names)}", remedy))
    return problems


def _check_metadata(metadata: Any) -> list[Problem]:
    if not isinstance(metadata, Mapping):
        return [Problem("metadata", "must be a map with a name")]
    own = {key: value for key, value in metadata.items() if key not in SERVER_METADATA}
    return _run(ObjectMeta, own, "metadata")


def _check_spec(cls: type, spec: Any) -> list[Problem]:
    if spec is None:
        spec = {}
    if not isinstance(spec, Mapping):
        return [Problem("spec", "must be a map")]
    return _run(cls, spec, "spec")


def validate_value(cls: type, value: Mapping[str, Any], prefix: str = "") -> list[Problem]:
    """Problems of a map that stands for a spec dataclass, with paths below `prefix`; rules across fields are not run."""
    found = _run(cls, value, prefix)
    return sorted({Problem(item.path.lstrip("."), item.message, item.remedy) for item in found})


def _run(cls: type, value: Mapping[str, Any], prefix: str) -> list[Problem]:
    validator = _Validator(schema_of(cls), error_handler=_Handler)
    if validator.validate(dict(value), normalize=False):
        return []
    return [problem for error in validator._errors for problem in _flatten(error, prefix, cls)]


def _flatten(error: ValidationError, prefix: str, cls: type) -> list[Problem]:
    if error.is_group_error:
        return [problem for child in error.child_errors for problem in _flatten(child, prefix, cls)]
    path = prefix + _json_path(error.document_path)
    if error.code == cerberus.errors.UNKNOWN_FIELD.code:
        parent, _, _ = path.rpartition(".")
        return [_unknown(parent, error.document_path[-1], _known_names(cls, error.document_path[:-1]))]
    if error.code == cerberus.errors.CUSTOM.code:
        text = str(error.info[0])
        if text.startswith("\x00"):
            _, inner, text = text.split("\x00", 2)
            path += inner
        message, _, remedy = text.partition("; ")
        return [Problem(path, message, remedy)]
    return [Problem(path, _word(error))]


def _json_path(parts: tuple[Any, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{_safe(part)}" for part in parts)


def _safe(part: Any) -> str:
    text = str(part)
    return text if _PATH_PART.fullmatch(text) else json.dumps(text[:80])


def _known_names(cls: type, parts: tuple[Any, ...]) -> list[str]:
    current: Any = cls
    for part in parts:
        if isinstance(part, int):
            continue
        found = next((item for item in attributes(current) if item.json_name == part), None)
        if found is None:
            return []
        inner = (
            found.annotation if is_spec_class(found.annotation) else getattr(found.annotation, "__args__", (None,))[0]
        )
        if not is_spec_class(inner):
            return []
        current = inner
    return [item.json_name for item in attributes(current)]


def _unknown(parent: str, key: Any, known: Iterable[str]) -> Problem:
    path = f"{parent}.{_safe(key)}" if parent else _safe(key)
    return Problem(path, f"is not a known field{_nearest(key, list(known))}", "remove it")


def _nearest(word: Any, known: list[str]) -> str:
    lowered = {name.lower(): name for name in known}
    close = difflib.get_close_matches(str(word)[:80].lower(), list(lowered), n=1, cutoff=0.6)
    return f" (did you mean {lowered[close[0]]}?)" if close else ""


def _quote(value: Any) -> str:
    return json.dumps(value if isinstance(value, str) else str(value))[:80]


_TYPES = {"dict": "a map", "list": "a list", "string": "a string", "integer": "an integer", "boolean": "true or false"}


def _word(error: ValidationError) -> str:
    name = error.rule
    constraint = error.constraint
    if name == "type":
        return f"must be {_TYPES.get(constraint, constraint)}, not {_quote(error.value)}"
    if name == "required" or name is None:
        return "is required"
    if name == "nullable":
        return "must not be null"
    if name in ("min", "max"):
        return f"{error.value} is {'below the least' if name == 'min' else 'above the most'}, {constraint}"
    if name in ("minlength", "maxlength"):
        unit = "characters" if isinstance(error.value, str) else "entries"
        return f"has {len(error.value)} {unit}, {'at least' if name == 'minlength' else 'at most'} {constraint} are allowed"
    return f"breaks the rule {name} {constraint}"


def check_rules(value: Any, path: str) -> tuple[Problem, ...]:
    """Violations of the rules across fields, in a typed spec and everything within it."""
    problems: list[Problem] = []
    for rule in rules_of(type(value)):
        if not _holds(rule.check, value):
            message, _, remedy = rule.message.partition("; ")
            problems.append(Problem(f"{path}.{rule.path}" if rule.path else path, message, remedy))
    for item in attributes(type(value)):
        entry = getattr(value, item.name)
        where = f"{path}.{item.json_name}"
        if is_spec_class(type(entry)):
            problems += check_rules(entry, where)
        elif isinstance(entry, tuple):
            for number, inner in enumerate(entry):
                if is_spec_class(type(inner)):
                    problems += check_rules(inner, f"{where}[{number}]")
    return tuple(sorted(problems))


def _holds(check: Any, value: Any) -> bool:
    try:
        return bool(check(value))
    except (ValueError, TypeError):  # a rule on addresses met something that only looks like one
        return False
