"""cerberus over a generated schema, with the checks that it lacks: quantities, formats, trees, unique keys.

Only `xvirt.model.validation` calls it.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import cerberus
from cerberus import errors as codes
from cerberus.errors import BaseErrorHandler, ValidationError

from xvirt.model import limits
from xvirt.model.errors import Problem
from xvirt.model.fields import Format, attributes, element_type, is_spec_class
from xvirt.model.names import DESCRIPTIONS, LABEL_KEY, PATTERNS, has_path_escape, is_clean_text
from xvirt.model.quantity import ByteSize
from xvirt.model.schema import schema_of
from xvirt.model.wording import join, nearest, show

_TREE_KEY = re.compile(r"[@#$]?[^\W\d][\w.:-]{0,254}")
_UNCLEAN = "holds control characters or others that XML cannot hold"
_YAML_1_1 = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_TYPES = {"dict": "a map", "list": "a list", "string": "a string", "integer": "an integer", "boolean": "true or false"}


class _Message(str):
    """What a check of ours tells cerberus, which lets a text through and nothing else."""

    __slots__ = ("below", "remedy")
    below: str
    remedy: str


@dataclasses.dataclass
class _Budget:
    """Problems that may still be recorded; negative by how many were not. A validator and its children share one."""

    left: int


class _RawErrors(BaseErrorHandler):  # type: ignore[misc]
    """Hands cerberus's errors on as they are; its own handler would word them."""

    def __call__(self, errors: Any) -> list[ValidationError]:
        return list(errors)


class _Validator(cerberus.Validator):  # type: ignore[misc]
    """cerberus with the checks of this model. The docstring of a check is cerberus's schema of the rule's argument."""

    types_mapping: ClassVar[dict[str, cerberus.TypeDefinition]] = {
        **cerberus.Validator.types_mapping,
        "integer": cerberus.TypeDefinition("integer", (int,), (bool,)),
        "list": cerberus.TypeDefinition("list", (list, tuple), ()),
    }

    def _error(self, *args: Any) -> None:
        """Record an error while the document's budget lasts: cerberus sorts all of them again for each new one, so tens of
        thousands of unknown fields would take minutes."""
        definition = args[1] if len(args) > 1 else None
        if isinstance(definition, codes.ErrorDefinition) and not definition.code & codes.ERROR_GROUP.code:
            budget: _Budget = self._config["budget"]
            budget.left -= 1
            if budget.left < 0:
                return
        super()._error(*args)

    def _tell(self, field: str, message: str, remedy: str = "", below: str = "") -> None:
        told = _Message(message)
        told.below, told.remedy = below, remedy
        self._error(field, told)

    def _validate_quantity(self, bounds: tuple[int | None, int | None], field: str, value: Any) -> None:
        """{'type': 'list'}"""
        if value is None:
            return  # cerberus says so itself
        if isinstance(value, bool) or not isinstance(value, int | str):
            self._tell(field, f"must be a quantity such as 2Gi, not {show(value)}")
            return
        try:
            size = ByteSize(value)
        except ValueError as error:
            self._tell(field, str(error))
            return
        low, high = bounds
        if low is not None and size < low:
            self._tell(field, f"{size} is below the least, {ByteSize(low)}")
        if high is not None and size > high:
            self._tell(field, f"{size} is above the most, {ByteSize(high)}")

    def _validate_choice(self, choices: list[str], field: str, value: Any) -> None:
        """{'type': 'list'}"""
        if isinstance(value, str) and value not in choices:
            self._tell(field, f"{show(value)} is not one of {', '.join(choices)}{nearest(value, choices)}")

    def _validate_text(self, wanted: tuple[Format, int], field: str, value: Any) -> None:
        """{'type': 'list'}"""
        if isinstance(value, str):
            message = _judge_text(value, *wanted)
            if message:
                self._tell(field, message)

    def _validate_unique_by(self, key: str, field: str, value: Any) -> None:
        """{'type': 'string'}"""
        seen: set[str] = set()
        for number, entry in enumerate(value if isinstance(value, list | tuple) else ()):
            name = entry.get(key) if isinstance(entry, Mapping) else None
            if not isinstance(name, str):
                continue
            if name in seen:
                self._tell(field, f"{show(name)} is given twice", f"give each its own {key}", f"[{number}].{key}")
            seen.add(name)

    def _validate_string_map(self, wanted: tuple[Format, int], field: str, value: Any) -> None:
        """{'type': 'list'}"""
        for key, text in value.items() if isinstance(value, Mapping) else ():
            below = join("", key)
            if not isinstance(key, str) or not re.fullmatch(LABEL_KEY, key, re.ASCII):
                self._tell(field, f"{show(key)} is not the key of a label", "use [prefix/]name", below)
            elif not isinstance(text, str):
                self._tell(field, f"must be a string, not {show(text)}", "quote it", below)
            elif message := _judge_text(text, *wanted):
                self._tell(field, message, "", below)

    def _validate_tree(self, _wanted: bool, field: str, value: Any) -> None:
        """{'type': 'boolean'}"""
        if isinstance(value, Mapping):
            for below, message, remedy in _tree_problems(value, ""):
                self._tell(field, message, remedy, below)


def _judge_text(value: str, wanted: Format, longest: int) -> str:
    if len(value) > longest:
        return f"has {len(value)} characters, at most {longest} are allowed"
    if not is_clean_text(value):
        return _UNCLEAN
    return "" if _is_well_formed(wanted, value) else f"{show(value)} is not {DESCRIPTIONS[wanted]}"


def _is_well_formed(wanted: Format, value: str) -> bool:
    if wanted in PATTERNS and not re.fullmatch(PATTERNS[wanted], value, re.ASCII):
        return False
    if wanted is Format.HOST_PATH:
        return not has_path_escape(value)
    if wanted in _PARSERS:
        return _can_parse(_PARSERS[wanted], value)
    return True


_PARSERS: dict[Format, Callable[[str], object]] = {
    Format.IP: ipaddress.ip_address,
    Format.INTERFACE_CIDR: ipaddress.ip_interface,
}
"""A pattern cannot count the groups of an IPv6 address."""


def _can_parse(parse: Callable[[str], object], value: str) -> bool:
    try:
        parse(value)
    except ValueError:
        return False
    return True


def _tree_problems(value: Any, path: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if isinstance(key, str) and _TREE_KEY.fullmatch(key):
                yield from _tree_problems(entry, join(path, key))
            else:
                yield join(path, key), "is not the name of an element, an @attribute or #text", ""
    elif isinstance(value, list | tuple):
        for number, entry in enumerate(value):
            yield from _tree_problems(entry, join(path, number))
    elif not isinstance(value, str):
        yield path, f"must be a string, not {show(value)}", "quote it"
    elif not is_clean_text(value):
        yield path, _UNCLEAN, ""


def find_problems(cls: type, value: Mapping[str, Any], prefix: str) -> list[Problem]:
    """Problems of a map that stands for a spec dataclass, with paths below `prefix`; rules across fields are not run.

    Of more than `limits.PROBLEMS_MAX` the first in the document's order are found, and one more says how many there are besides.
    """
    budget = _Budget(limits.PROBLEMS_MAX)
    validator = _Validator(schema_of(cls), error_handler=_RawErrors, budget=budget)
    if validator.validate(dict(value), normalize=False):
        return []
    problems = [problem for error in validator.errors for problem in _flatten(error, prefix, cls)]
    if budget.left < 0:
        problems.append(Problem(prefix, f"and {-budget.left} more problems"))
    return problems


def _flatten(error: ValidationError, prefix: str, cls: type) -> list[Problem]:
    if error.is_group_error:
        return [problem for child in error.child_errors for problem in _flatten(child, prefix, cls)]
    parts = error.document_path
    path = functools.reduce(join, parts, prefix)
    if error.code == codes.UNKNOWN_FIELD.code:
        return [unknown(functools.reduce(join, parts[:-1], prefix), parts[-1], _known_names(cls, parts[:-1]))]
    if error.code == codes.CUSTOM.code:
        told: _Message = error.info[0]
        separator = "" if not told.below or not path or told.below.startswith("[") else "."
        return [Problem(f"{path}{separator}{told.below}", str(told), told.remedy)]
    is_unquoted = error.rule == "type" and error.constraint == "string" and isinstance(error.value, int | float)
    return [Problem(path, _word(error), "quote it" if is_unquoted else "")]


def unknown(parent: str, key: Any, known: list[str]) -> Problem:
    """The problem of a field that does not exist, with the nearest one that does."""
    return Problem(join(parent, key), f"is not a known field{nearest(key, known)}", "remove it")


def _known_names(cls: type, parts: tuple[Any, ...]) -> list[str]:
    current: Any = cls
    for part in parts:
        if isinstance(part, int):
            continue
        found = next((item for item in attributes(current) if item.json_name == part), None)
        current = found and (element_type(found.annotation) or found.annotation)
    return [item.json_name for item in attributes(current)] if is_spec_class(current) else []


def _boolean_hint(wanted: str, value: Any) -> str:
    meant = _YAML_1_1.get(value.lower()) if wanted == "boolean" and isinstance(value, str) else None
    return f"; in YAML 1.2 that is a text, write {meant}" if meant else ""


def _word(error: ValidationError) -> str:
    name, constraint, value = error.rule, error.constraint, error.value
    if name == "type":
        return f"must be {_TYPES[constraint]}, not {show(value)}{_boolean_hint(constraint, value)}"
    if name == "required" or error.code == codes.REQUIRED_FIELD.code:
        return "is required"
    if name == "nullable":
        return "must not be null"
    if name in ("min", "max"):
        return f"{show(value)} is {'below the least' if name == 'min' else 'above the most'}, {constraint}"
    if name in ("minlength", "maxlength"):
        bound = "at least" if name == "minlength" else "at most"
        return f"has {len(value)} entries, {bound} {constraint} are allowed"
    raise AssertionError(f"no words for cerberus rule {name}")
