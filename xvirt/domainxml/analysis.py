"""What a document uses: typed fields and overlay of a domain with what a change of each costs, and what a libvirt does not know."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from lxml import etree

from xvirt.domainxml.schema import ANY, Element, Values
from xvirt.domainxml.split import Split
from xvirt.domainxml.tree_keys import ORDER
from xvirt.model.codec import encode
from xvirt.model.fields import Attribute, Mutability, attributes, element_type, is_spec_class, is_tree
from xvirt.model.values import encode as encode_value

OVERLAY = "spec.domain"


@dataclasses.dataclass(frozen=True)
class Use:
    """A value at its path in a VirtualMachine, and what it takes for a change of it to reach the running machine."""

    path: str
    value: str
    change: Mutability


@dataclasses.dataclass(frozen=True)
class Unknown:
    """A place in the XML that a schema does not have: its path, the line where the XML has one, and what is not known."""

    path: str
    line: int
    message: str


def typed_uses(split: Split) -> tuple[Use, ...]:
    """The typed fields that say something: those that must be there or differ from their default."""
    return tuple(_uses(type(split.spec), encode(split.spec), "spec"))


def _uses(cls: type, values: Mapping[str, Any], path: str) -> Iterator[Use]:
    for item in attributes(cls):
        value = values.get(item.json_name)
        if value is None or is_tree(item.annotation) or (not item.is_required and value == encode_value(item.default)):
            continue
        yield from _field_uses(item, value, f"{path}.{item.json_name}")


def _field_uses(item: Attribute, value: Any, path: str) -> Iterator[Use]:
    inner = element_type(item.annotation)
    if isinstance(value, list) and isinstance(inner, type) and is_spec_class(inner):
        for index, entry in enumerate(value):
            key = entry.get(item.spec.list_key) if item.spec.list_key else index
            yield from _uses(inner, entry, f"{path}[{key}]")
    elif isinstance(value, Mapping) and is_spec_class(item.annotation):
        yield from _uses(item.annotation, value, path)
    else:
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield Use(path, shown, item.spec.mutability)


def overlay_uses(split: Split) -> tuple[Use, ...]:
    """Everything in the overlay, value by value."""
    change = next(item.spec.mutability for item in attributes(type(split.spec)) if item.json_name == "domain")
    return tuple(Use(path, value, change) for path, value in _leaves(split.overlay, OVERLAY))


def _leaves(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, Mapping):
        if not node:
            yield path, ""
        for key, value in node.items():
            if key != ORDER and not key.startswith("@xmlns"):
                yield from _leaves(value, f"{path}.{key}")
    else:
        for index, item in enumerate(node):
            yield from _leaves(item, f"{path}[{index}]")


def find_unknown(root: etree._Element, schema: Element) -> tuple[Unknown, ...]:
    """Elements, attributes and values that a libvirt with this schema does not know; it drops or refuses them."""
    name = etree.QName(root)
    if (name.localname, name.namespace or "") != (schema.name, schema.namespace):
        return (Unknown(f"/{name.localname}", _line(root), f"is no document of the kind {schema.name}"),)
    return tuple(_unknown(root, (schema,), f"/{name.localname}"))


def _unknown(element: etree._Element, schemas: tuple[Element, ...], path: str) -> Iterator[Unknown]:
    """`schemas` are those of the element and of all that it stands in; one that is cut repeats another of its name."""
    schema = schemas[-1]
    if schema.is_cut:
        schema = next((item for item in reversed(schemas[:-1]) if item.name == schema.name and not item.is_cut), schema)
    if schema.name == ANY:
        return
    line = _line(element)
    for key, value in element.items():
        place = f"{path}/@{etree.QName(key).localname}"
        known = next((a for a in schema.attributes if a.name in (etree.QName(key).localname, ANY)), None)
        if known is None:
            yield Unknown(place, line, "attribute is not known")
        else:
            yield from _unknown_value(str(value), known.values, place, line)
    if not len(element) and (element.text or "").strip():
        if schema.text is None:
            yield Unknown(path, line, "holds text, which is not known there")
        else:
            yield from _unknown_value((element.text or "").strip(), schema.text, path, line)
    for child in element.iterchildren(etree.Element):
        name = etree.QName(child)
        found = schema.child(name.localname, name.namespace or "") or next(
            (item for item in schema.children if item.name == ANY), None
        )
        place = f"{path}/{name.localname}{_number(child)}"
        if found is None:
            where = f" of namespace {name.namespace}" if name.namespace else ""
            yield Unknown(place, _line(child), f"element{where} is not known")
        else:
            yield from _unknown(child, (*schemas, found), place)


def _line(element: etree._Element) -> int:
    return int(str(element.sourceline or 0))


def _number(child: etree._Element) -> str:
    parent = child.getparent()
    same = [] if parent is None else list(parent.iterchildren(child.tag))
    return f"[{same.index(child) + 1}]" if len(same) > 1 else ""


def _unknown_value(value: str, values: Values, path: str, line: int) -> Iterator[Unknown]:
    if values.choices and not values.types and value not in values.choices:
        known = sorted(values.choices)
        shown = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
        yield Unknown(path, line, f"value {value!r} is not known; {shown} are")
