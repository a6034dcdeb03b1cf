"""JSON's names of a document in a program's words: `runStrategy` is `run_strategy`, by the model's own table and no other rule."""

from __future__ import annotations

from typing import Any

from xvirt.model.fields import attributes, element_type, is_spec_class


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
