"""Python's names in a program, JSON's in a document: `run_strategy` is `runStrategy`, by the model's own table and no other rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xvirt.model.fields import Attribute, attributes, element_type, is_spec_class


def to_json_names(cls: type, value: Any) -> Any:
    """A map that stands for a spec dataclass, with JSON's names. Names that are no field's, and what is no map (an unknown of a preview),
    stay as they are, for the check to tell."""
    if not isinstance(value, Mapping):
        return value
    known = {item.name: item for item in attributes(cls)}
    return {
        known[key].json_name if key in known else key: _convert(known.get(key), entry)
        for key, entry in value.items()
        if entry is not None
    }


def _convert(item: Attribute | None, value: Any) -> Any:
    if item is None:
        return value
    inner: Any = element_type(item.annotation)
    if is_spec_class(inner) and isinstance(value, list | tuple):
        return [to_json_names(inner, entry) for entry in value]
    if is_spec_class(item.annotation):
        return to_json_names(item.annotation, value)
    return value


def python_path(cls: type, path: str) -> str:
    """A problem's path in a program's words: `spec.cloudInit.userData` is `cloud_init.user_data`."""
    head, dot, rest = path.partition(".")
    if head != "spec" or not dot:
        return path
    return ".".join(_python_names(cls, rest.split(".")))


def _python_names(cls: Any, parts: list[str]) -> list[str]:
    if not parts or not is_spec_class(cls):
        return parts
    name, bracket, index = parts[0].partition("[")
    item = next((entry for entry in attributes(cls) if entry.json_name == name), None)
    if item is None:
        return parts
    inner = element_type(item.annotation) if bracket else item.annotation
    return [f"{item.name}{bracket}{index}", *_python_names(inner, parts[1:])]
