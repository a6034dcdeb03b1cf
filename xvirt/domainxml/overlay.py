"""`spec.domain`: a tree laid over the rendered domain, for everything that the typed fields do not say.

A device is matched by what identifies it (disk: target or user alias, NIC: MAC or alias, controller: type and index, channel: name),
features, timers and cells by name or id, everything else by position among its own name; what matches nothing is new. Attributes
and text are merged; `$patch: delete` takes the element away and `$patch: replace` puts the given one in its place.

Typed fields win: what one of them speaks for (`xvirt.domainxml.owned`) can be repeated, never contradicted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lxml import etree

from xvirt.domainxml.devices import is_pcie
from xvirt.domainxml.elements import alias_of, attribute
from xvirt.domainxml.owned import Owned, owned_places
from xvirt.domainxml.ports import add_ports, count_endpoints, count_ports
from xvirt.domainxml.shapes import NO_SHAPE, SHAPES
from xvirt.domainxml.tree import (
    COMMENT,
    CONTENT,
    INSTRUCTION,
    ORDER,
    TEXT,
    Scope,
    declarations,
    from_tree,
    ordered_children,
)
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.identity import MARK_NAMESPACE

PATCH = "$patch"
_BASE = "spec.domain"
RESERVED_ALIASES = ("ua-disk-", "ua-nic-", "ua-seed", "ua-memory")
_IDENTIFIED = frozenset({"disk", "interface", "controller", "channel"})
_NAMED_BY = {
    "feature": "name",
    "timer": "name",
    "entry": "name",
    "cell": "id",
    "vcpu": "id",
    "iothread": "id",
    "vcpupin": "vcpu",
    "iothreadpin": "iothread",
    "ip": "address",
    "portgroup": "name",
    "host": "mac",
    "txt": "name",
}
"""Repeated elements outside `<devices>` and the attribute that tells them apart."""


def apply_overlay(root: etree._Element, tree: Mapping[str, Any], *, has_ports: bool = True) -> None:
    """Merge a tree into a rendered domain, in place.

    Raises InvalidSpec (reason OverlayConflict) with every path that contradicts a typed field, naming both, and InvalidSpec for
    what is no tree; `root` is then half merged and must be thrown away. With `has_ports` root ports are added for the devices that it
    adds, so that as many stay free as before.
    """
    spare = count_ports(root) - count_endpoints(root)
    lay_over(root, tree, _BASE, owned_places(root))
    if has_ports and is_pcie(attribute(root, "os/type", "machine")):
        add_ports(root, spare - (count_ports(root) - count_endpoints(root)))


def lay_over(root: etree._Element, tree: Mapping[str, Any], field: str, owned: Owned) -> None:
    """Merge the tree of a field into any rendered document, in place; `owned` says which of its places typed fields speak for.

    Raises InvalidSpec as `apply_overlay` does.
    """
    overlay = _Overlay(owned)
    overlay.merge(root, tree, field, {})
    if overlay.problems:
        raise InvalidSpec(overlay.problems, reason="OverlayConflict")


class _Overlay:
    """One merge: the places that typed fields speak for, and the contradictions found so far."""

    def __init__(self, owned: Owned) -> None:
        self._owned = owned
        self.problems: list[Problem] = []

    def merge(self, element: etree._Element, node: Any, path: str, inherited: Scope) -> None:
        """Lay a node over the element that it was matched with."""
        if isinstance(node, str):
            self._set_text(element, node, path)
            return
        if not isinstance(node, Mapping):
            raise InvalidSpec([Problem(path, f"{node!r} is no text", "quote it")])
        _check_words(node, path)
        scope = {**inherited, **declarations(node, path)}
        bare = from_tree("x", {key: value for key, value in node.items() if key.startswith("@")}, scope, path)
        for name, value in bare.attrib.items():
            self._set_attribute(element, str(name), str(value), path)
        if TEXT in node:
            self._set_text(element, _string(node[TEXT], f"{path}.{TEXT}"), path)
        self._merge_children(element, node, path, scope)

    def _merge_children(self, parent: etree._Element, node: Mapping[str, Any], path: str, scope: Scope) -> None:
        originals = list(parent)
        positions: dict[str, int] = {}
        name_of_parent = etree.QName(parent).localname
        for name, entry, place in ordered_children(name_of_parent, node, path):
            if name == COMMENT:
                parent.append(etree.Comment(_string(entry, place)))
            if name in (COMMENT, INSTRUCTION):
                continue
            wanted = _build(name, entry, scope, place)
            found = identified(originals, wanted)
            if found is None and not is_identified(wanted):
                position = positions[name] = positions.get(name, -1) + 1
                same = [item for item in originals if item.tag == wanted.tag]
                found = same[position] if position < len(same) else None
            self._merge_child((parent, found), wanted, entry, place, scope)

    def _merge_child(
        self,
        pair: tuple[etree._Element, etree._Element | None],
        wanted: etree._Element,
        entry: Any,
        path: str,
        scope: Scope,
    ) -> None:
        parent, found = pair
        patch = entry.get(PATCH) if isinstance(entry, Mapping) else None
        if patch not in (None, "delete", "replace"):
            raise InvalidSpec([Problem(f"{path}.{PATCH}", f"{patch!r} is not known", "use delete or replace")])
        if patch == "delete":
            if found is not None and self._may_drop(found, None, path):
                parent.remove(found)
        elif found is None:
            _check_aliases(wanted, path)
            _insert(parent, wanted)
        elif patch == "replace":
            if self._may_drop(found, wanted, path):
                if alias_of(wanted) != alias_of(found):
                    _check_aliases(wanted, path)
                wanted.tail = found.tail
                parent.replace(found, wanted)
        else:
            self.merge(found, entry, path, scope)

    def _may_drop(self, found: etree._Element, wanted: etree._Element | None, path: str) -> bool:
        """Whether nothing that a typed field speaks for would go or change with an element."""
        before = len(self.problems)
        for (element, name), owner in self._owned.items():
            steps = _steps(found, element)
            if steps is None:
                continue
            twin = _follow(wanted, steps)
            value = element.get(name) if name else (element.text or "").strip()
            kept = None if twin is None else twin.get(name) if name else (twin.text or "").strip()
            if kept != value:
                place = ".".join([path, *(step for step, _index in steps), *([f"@{name}"] if name else [])])
                self._contradict(place, kept, value, owner)
        return len(self.problems) == before

    def _set_attribute(self, element: etree._Element, name: str, value: str, path: str) -> None:
        owner, current = self._owned.get((element, name)), element.get(name)
        if owner is not None and current != value:
            self._contradict(f"{path}.@{name}", value, current, owner)
            return
        element.set(name, value)
        if element.tag == "alias" and current != value:
            _check_aliases(element, path)

    def _set_text(self, element: etree._Element, text: str, path: str) -> None:
        owner, current = self._owned.get((element, "")), (element.text or "").strip()
        if owner is not None and current != text.strip():
            self._contradict(path, text, current, owner)
        else:
            element.text = text or None

    def _contradict(self, path: str, value: str | None, current: str | None, owner: str) -> None:
        if value is None:
            message = f"takes away what {owner} gives"
        else:
            message = f"{value!r} contradicts {owner}, which gives {current!r}"
        self.problems.append(Problem(path, message, f"say it in {owner} alone"))


def _check_words(node: Mapping[str, Any], path: str) -> None:
    for key in node:
        if key.startswith(("#", "$")) and key not in (*CONTENT, ORDER, PATCH):
            known = ", ".join((PATCH, ORDER, *CONTENT))
            raise InvalidSpec([Problem(f"{path}.{key}", "is not known", f"use one of {known}, or remove it")])


def _build(name: str, entry: Any, scope: Scope, path: str) -> etree._Element:
    element = from_tree(name, entry, scope, path, ignored=(PATCH,))
    etree.cleanup_namespaces(element)
    if any(isinstance(item.tag, str) and etree.QName(item).namespace == MARK_NAMESPACE for item in element.iter()):
        message = f"namespace {MARK_NAMESPACE} holds the ownership mark, which the node alone writes"
        raise InvalidSpec([Problem(path, message, "remove it")])
    return element


def _check_aliases(wanted: etree._Element, path: str) -> None:
    """What an overlay adds must not pass for something that a typed field made: the policy trusts these aliases."""
    for item in wanted.iter("alias"):
        if item.get("name", "").startswith(RESERVED_ALIASES):
            message = f"alias {item.get('name')} is xVirt's own for what a typed field declares, and no such thing is declared"
            raise InvalidSpec([Problem(path, message, "declare it there, or use another alias that starts with ua-")])


def _insert(parent: etree._Element, new: etree._Element) -> None:
    """Where libvirt writes it, behind others of its name: its schema wants some elements in that order."""
    places, _repeated = SHAPES.get(etree.QName(parent).localname, NO_SHAPE)
    place = places.get(str(new.tag))
    if place is None:
        parent.append(new)
        return
    before = [number for number, item in enumerate(parent) if places.get(str(item.tag), len(places)) <= place]
    parent.insert(before[-1] + 1 if before else 0, new)


def _string(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise InvalidSpec([Problem(path, f"{value!r} is no text", "quote it")])
    return value


def is_identified(wanted: etree._Element) -> bool:
    """True for what is new where its identity matches nothing."""
    key = named_by(wanted)
    return wanted.tag in _IDENTIFIED or bool(key and wanted.get(key) is not None)


def named_by(element: etree._Element) -> str:
    """The attribute that tells the element from others of its name; empty where its position does."""
    return _NAMED_BY.get(str(element.tag), "")


def identified(originals: list[etree._Element], wanted: etree._Element) -> etree._Element | None:
    """The element of the same identity; None where there is none, or nothing identifies it."""
    same = [item for item in originals if item.tag == wanted.tag]
    for identity in _identities(wanted):
        found = next((item for item in same if identity in _identities(item)), None)
        if found is not None:
            return found
    return None


def _identities(element: etree._Element) -> list[tuple[str, ...]]:
    """Everything that the element can be matched by, the strongest first."""
    found: list[tuple[str, ...]] = []
    if alias := alias_of(element):
        found.append(("alias", alias))
    if element.tag == "disk" and (target := attribute(element, "target", "dev")):
        found.append(("target", target))
    if element.tag == "interface" and (mac := attribute(element, "mac", "address")):
        found.append(("mac", mac.lower()))
    if element.tag == "controller" and element.get("index") is not None:
        found.append(("controller", element.get("type", ""), element.get("index", "")))
    if element.tag == "channel" and (name := attribute(element, "target", "name")):
        found.append(("channel", name))
    key = named_by(element)
    if key and element.get(key) is not None:
        found.append((key, element.get(key, "")))
    return found


def _steps(top: etree._Element, element: etree._Element) -> list[tuple[str, int]] | None:
    """How to get from `top` down to `element`: (name, number among its own name); None where it is not below."""
    steps: list[tuple[str, int]] = []
    while element is not top:
        parent = element.getparent()
        if parent is None:
            return None
        steps.insert(0, (str(element.tag), parent.findall(str(element.tag)).index(element)))
        element = parent
    return steps


def _follow(top: etree._Element | None, steps: list[tuple[str, int]]) -> etree._Element | None:
    for name, number in steps:
        same = top.findall(name) if top is not None else []
        top = same[number] if number < len(same) else None
    return top
