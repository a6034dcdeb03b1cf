"""A schema for people and programs: every element and attribute that a libvirt accepts, as Markdown or as JSON values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xvirt.domainxml.schema import Attribute, Element, Values

_CHOICES_SHOWN = 12


def to_markdown(root: Element) -> str:
    """A nested list: one line for each element and attribute, `?` where it may be missing, `*` where an element may be repeated."""
    return "\n".join(_lines(root, "")) + "\n"


def _lines(element: Element, indent: str) -> Iterator[str]:
    marks = ("?" if element.is_optional else "") + ("*" if element.is_repeatable else "")
    namespace = f" of `{element.namespace}`" if element.namespace else ""
    again = ", as above" if element.is_cut else ""
    yield f"{indent}- `<{element.name}>`{marks}{namespace}{_shown(element.text)}{again}"
    for item in element.attributes:
        yield f"{indent}  - `@{item.name}`{'?' if item.is_optional else ''}{_shown(item.values)}"
    for child in element.children:
        yield from _lines(child, indent + "  ")


def _shown(values: Values | None) -> str:
    if values is None:
        return ""
    words = sorted(values.choices)
    listed = ", ".join(f"`{word}`" for word in words[:_CHOICES_SHOWN]) + (
        ", ..." if len(words) > _CHOICES_SHOWN else ""
    )
    kinds = [listed if kind not in values.types else kind for kind in values.kinds]
    return f": {' or '.join(kinds)}" if kinds else ""


def to_values(element: Element) -> dict[str, Any]:
    """The same as nested maps, with every choice."""
    found: dict[str, Any] = {"name": element.name}
    if element.namespace:
        found["namespace"] = element.namespace
    found |= {"optional": element.is_optional, "repeatable": element.is_repeatable}
    if element.is_cut:
        found["again"] = True
    if element.text is not None:
        found["text"] = _values(element.text)
    if element.attributes:
        found["attributes"] = [_attribute(item) for item in element.attributes]
    if element.children:
        found["children"] = [to_values(item) for item in element.children]
    return found


def _attribute(item: Attribute) -> dict[str, Any]:
    namespace = {"namespace": item.namespace} if item.namespace else {}
    return {"name": item.name, **namespace, "optional": item.is_optional, **_values(item.values)}


def _values(values: Values) -> dict[str, Any]:
    return {"kinds": list(values.kinds)} | ({"choices": sorted(values.choices)} if values.choices else {})
