"""What a tree laid over one element must say so that it becomes another; the inverse of `xvirt.domainxml.overlay`."""

from __future__ import annotations

import copy
from typing import Any

from lxml import etree

from xvirt.domainxml.elements import alias_of, attribute
from xvirt.domainxml.overlay import PATCH, identified, is_identified, named_by
from xvirt.domainxml.shapes import NO_SHAPE, SHAPES
from xvirt.domainxml.tree import ORDER, TEXT, qualified_name, to_tree


class _Unsayable(Exception):
    """The element has an attribute that an overlay cannot take away."""


def difference(base: etree._Element, wanted: etree._Element) -> dict[str, Any]:
    """The tree that makes `wanted` of `base`, but for the order of elements; empty where nothing is to be said.

    Elements are matched as an overlay matches them. What is in the way goes by `$patch`. `wanted` holds no comments.
    """
    try:
        return _node(base, wanted)
    except _Unsayable:
        return {PATCH: "replace", **_tree(wanted)}


def _node(base: etree._Element, wanted: etree._Element) -> dict[str, Any]:
    if set(base.attrib) - set(wanted.attrib) or any(str(name).startswith("{") for name in wanted.attrib):
        raise _Unsayable
    node: dict[str, Any] = {
        "@" + str(name): str(value) for name, value in wanted.attrib.items() if base.get(str(name)) != value
    }
    if len(wanted) == 0 and (wanted.text or "").strip() != (base.text or "").strip():
        if not (wanted.text or "").strip():
            raise _Unsayable
        node[TEXT] = wanted.text or ""
    return node | _children(base, wanted)


def _children(base: etree._Element, wanted: etree._Element) -> dict[str, Any]:
    originals = list(base)
    left = list(originals)
    groups: dict[str, list[tuple[Any, bool]]] = {}
    """By name: (entry, whether it says anything)."""
    for item in wanted:
        group = groups.setdefault(qualified_name(item), [])
        found = identified(originals, item)
        if found is None and not is_identified(item):
            same = [other for other in originals if other.tag == item.tag]
            found = same[len(group)] if len(group) < len(same) else None
        if found is None:
            group.append((_plain(_tree(item)), True))
            continue
        left.remove(found)
        said = difference(found, item)
        group.append(({**_identity(item), **_merged(_identity(item), said)}, bool(said)))
    for item in left:
        groups.setdefault(qualified_name(item), []).append(({**_identity(item), PATCH: "delete"}, True))
    _places, repeated = SHAPES.get(etree.QName(wanted).localname, NO_SHAPE)
    said_at_all = {name: group for name, group in groups.items() if any(said for _, said in group)}
    entries = {name: _entries(wanted, name, group) for name, group in said_at_all.items()}
    return {name: found if name in repeated or len(found) > 1 else found[0] for name, found in entries.items()}


def _entries(wanted: etree._Element, name: str, group: list[tuple[Any, bool]]) -> list[Any]:
    """Silent entries are left out where they do not hold a position for a later one."""
    first = next((item for item in wanted if qualified_name(item) == name), None)
    if first is not None and is_identified(first):
        return [entry for entry, said in group if said]
    last = max(number for number, (_, said) in enumerate(group) if said)
    return [entry for entry, _ in group[: last + 1]]


def _identity(element: etree._Element) -> dict[str, Any]:
    """The part of a tree by which an overlay finds the element."""
    alias = alias_of(element)
    if element.tag in ("disk", "interface") and alias.startswith("ua-"):
        return {"alias": {"@name": alias}}
    if element.tag == "disk":
        return {"target": {"@dev": attribute(element, "target", "dev")}}
    if element.tag == "interface":
        return {"mac": {"@address": attribute(element, "mac", "address")}}
    if element.tag == "controller":
        return {"@type": element.get("type", ""), "@index": element.get("index", "")}
    if element.tag == "channel":
        return {"target": {"@name": attribute(element, "target", "name")}} if is_identified(element) else {}
    key = named_by(element)
    return {f"@{key}": element.get(key, "")} if key and element.get(key) is not None else {}


def _merged(identity: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    merged = dict(said)
    for name, part in identity.items():
        inner = said.get(name)
        if isinstance(part, dict) and isinstance(inner, dict):
            merged[name] = {**part, **inner}
    return merged


def _tree(element: etree._Element) -> dict[str, Any]:
    """Without the order of differently named elements, which libvirt does not look at; `<metadata>` is others' and stays as it is."""
    tree = to_tree(copy.deepcopy(element))
    plain: dict[str, Any] = tree if element.tag == "metadata" else _unordered(tree)
    return plain


def _unordered(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _unordered(value) for key, value in node.items() if key != ORDER}
    return [_unordered(item) for item in node] if isinstance(node, list) else node


def _plain(tree: dict[str, Any]) -> Any:
    """Text alone, where there is nothing else."""
    return tree[TEXT] if set(tree) == {TEXT} else tree
