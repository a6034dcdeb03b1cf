"""Trees to elements. Every refusal names the path of what is wrong, which is put together only then."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NoReturn

from lxml import etree

from xvirt.domainxml import limits
from xvirt.domainxml.shapes import NO_SHAPE, SHAPES
from xvirt.domainxml.tree_keys import (
    COMMENT,
    CONTENT,
    INSTRUCTION,
    ORDER,
    REST,
    TEXT,
    UNKNOWN_PLACE,
    Node,
    is_child_key,
    is_declaration,
    usual_order,
)
from xvirt.domainxml.tree_prefixes import Written, rewrite
from xvirt.domainxml.xmltext import BLANK, XML_NAMESPACE
from xvirt.model.errors import InvalidSpec, Problem

Scope = Mapping[str | None, str]
"""Namespace prefix -> URI; None is the default namespace."""

Child = tuple[str, Any, str]
"""Name, node, and the step of the path that leads there."""


class _Wrong(Exception):
    """What is wrong, and the steps from the element that is being built down to it."""

    def __init__(self, message: str, remedy: str = "", step: str = "") -> None:
        super().__init__(message)
        self.message, self.remedy = message, remedy
        self.steps = [step] if step else []


def from_tree(
    name: str, tree: Node, scope: Scope | None = None, path: str = "", *, ignored: Collection[str] = ()
) -> etree._Element:
    """The element that a tree stands for; the inverse of `to_tree`. `scope` holds namespaces declared above it.

    Raises InvalidSpec with the path of what is no string, no XML name, has an undeclared prefix or cannot be held by XML 1.0, of
    a word with `$` or `#` that is not known (but for `ignored` ones), and beyond the limits of `xvirt.domainxml.limits`.
    """
    if not scope:
        try:
            return _build_plain(name, tree, [limits.XML_MAX_ELEMENTS])
        except (_NotPlain, _Wrong, ValueError, LookupError, TypeError, AttributeError):
            pass  # the long way knows more, and says what is wrong and where
    builder = _Builder(frozenset(ignored))
    try:
        element = builder.build(None, name, tree, scope or {}, 1)
    except _Wrong as wrong:
        raise InvalidSpec([_located(path or name, wrong)]) from wrong
    return rewrite(element, builder.written) if builder.has_lost_prefix else element


def _located(path: str, wrong: _Wrong) -> Problem:
    steps = ".".join([path, *reversed(wrong.steps)])
    return Problem(steps if len(steps) <= 500 else steps[:500] + "...", wrong.message, wrong.remedy)


def ordered_children(parent: str, node: Mapping[str, Any], path: str) -> Iterator[Child]:
    """(name, node, path) of each child, comment and instruction of an element called `parent` in document order; a list entry's
    path ends in its index."""
    try:
        for name, child, step in _children(parent, node):
            if name != TEXT:
                yield name, child, f"{path}.{step}"
    except _Wrong as wrong:
        raise InvalidSpec([_located(path, wrong)]) from wrong


def declarations(node: Mapping[str, Any], path: str) -> dict[str | None, str]:
    """Namespaces that a node declares."""
    try:
        return _declarations(node)
    except _Wrong as wrong:
        raise InvalidSpec([_located(path, wrong)]) from wrong


class _NotPlain(Exception):
    """The short way does not lead there."""


def _build_plain(name: str, tree: Any, left: list[int]) -> etree._Element:
    if not _is_plain(name):
        raise _NotPlain
    top = etree.Element(name)
    if tree.__class__ is str:
        top.text = tree or None
        return top
    _fill_plain(top, name, tree, left, limits.XML_MAX_DEPTH)
    return top


def _fill_plain(element: etree._Element, name: str, node: Any, left: list[int], depth: int) -> None:
    """Attributes, text and children of a node without namespaces, comments and instructions. It judges nothing."""
    names = []
    for key, value in node.items():
        kind = key[0]
        if kind == "@":
            if not _is_plain(key):
                raise _NotPlain
            element.set(key[1:], value)
        elif kind == "#":
            if key != TEXT or value.__class__ is not str:
                raise _NotPlain
            element.text = value or None
        elif kind == "$":
            if key != ORDER:
                raise _NotPlain
        elif not _is_plain(key):
            raise _NotPlain
        else:
            names.append(key)
    if not names and ORDER not in node:
        return
    if depth <= 1:
        raise _NotPlain
    for key, value in _plain_children(name, node, names):
        left[0] -= 1
        if left[0] <= 0:
            raise _NotPlain
        child = etree.SubElement(element, key)
        if value.__class__ is str:
            child.text = value or None
        else:
            _fill_plain(child, key, value, left, depth - 1)


def _plain_children(parent: str, node: Mapping[str, Any], names: list[str]) -> list[tuple[str, Any]]:
    if ORDER in node:
        if TEXT in node:
            raise _NotPlain
        return [(name, value) for name, value, _ in _children(parent, node)]
    if len(names) > 1:
        places = SHAPES.get(parent, NO_SHAPE)[0]
        names.sort(key=lambda key: (places.get(key, UNKNOWN_PLACE), key))
    found: list[tuple[str, Any]] = []
    for key in names:
        value = node[key]
        if value.__class__ is list:
            found += [(key, item) for item in value]
        else:
            found.append((key, value))
    return found


class _Builder:
    """One tree's way into elements."""

    def __init__(self, ignored: frozenset[str]) -> None:
        self._ignored = ignored
        self._left = limits.XML_MAX_ELEMENTS
        self.has_lost_prefix = False
        """Whether lxml took another prefix of the same namespace than the tree has."""
        self.written: dict[etree._Element, Written] = {}
        """How the tree has each element."""

    def build(
        self, parent: etree._Element | None, name: str, node: Any, inherited: Scope, depth: int
    ) -> etree._Element:
        """One element with all below it, as the last child of `parent`."""
        self._left -= 1
        if depth > limits.XML_MAX_DEPTH:
            raise _Wrong(f"nested deeper than {limits.XML_MAX_DEPTH} elements")
        if self._left < 0:
            raise _Wrong(f"more than {limits.XML_MAX_ELEMENTS} elements")
        if isinstance(node, str):
            element = self._make(parent, name, {}, inherited, {})
            _set_text(element, node)
            return element
        if not isinstance(node, Mapping):
            _refuse_value(node)
        attributes, has_content = self._judge(node)
        declared = _declarations(node) if not _is_plain(name) or any(map(is_declaration, node)) else {}
        element = self._make(parent, name, attributes, {**inherited, **declared} if declared else inherited, declared)
        scope = {**inherited, **declared} if declared else inherited
        if has_content or ORDER in node:
            for child, value, step in _children(name, node):
                self._append(element, child, value, step, scope, depth)
        else:
            if TEXT in node:
                _set_text(element, node[TEXT], TEXT)
            self._fill(element, name, node, scope, depth)
        return element

    def _judge(self, node: Mapping[str, Any]) -> tuple[dict[str, str], bool]:
        """The node's attributes but for declarations, and whether more than elements stand among its children."""
        attributes: dict[str, str] = {}
        has_content = False
        for key, value in node.items():
            if not isinstance(key, str):
                raise _Wrong(f"key {key!r} is no text", "quote it")
            kind = key[:1]
            if kind == "@":
                if not isinstance(value, str):
                    _refuse_value(value, key)
                if not is_declaration(key):
                    attributes[key[1:]] = value
            elif kind == "#":
                if key not in CONTENT:
                    raise _Wrong(f"{key} is not known", f"use one of {', '.join(CONTENT)}", key)
                has_content = has_content or key != TEXT or not isinstance(value, str)
            elif kind == "$" and key != ORDER and key not in self._ignored:
                raise _Wrong(f"{key} is not known", f"remove it, or use {ORDER}", key)
        return attributes, has_content

    def _fill(self, element: etree._Element, name: str, node: Mapping[str, Any], scope: Scope, depth: int) -> None:
        names = [key for key in node if is_child_key(key)]
        for key in usual_order(name, names) if len(names) > 1 else names:
            value = node[key]
            if not isinstance(value, list | tuple):
                self._append(element, key, value, key, scope, depth)
                continue
            for index, item in enumerate(value):
                self._append(element, key, item, f"{key}[{index}]", scope, depth)

    def _append(self, element: etree._Element, name: str, value: Any, step: str, scope: Scope, depth: int) -> None:
        try:
            if name == TEXT:
                _append_text(element, value)
            elif name in (COMMENT, INSTRUCTION):
                element.append(_outside(name, value))
            else:
                self.build(element, name, value, scope, depth + 1)
        except _Wrong as wrong:
            wrong.steps.append(step)
            raise

    def _make(
        self, parent: etree._Element | None, name: str, attributes: dict[str, str], scope: Scope, declared: Scope
    ) -> etree._Element:
        known = scope if parent is None else declared
        nsmap = {
            prefix: uri for prefix, uri in known.items() if uri or (parent is not None and parent.nsmap.get(prefix))
        }
        try:
            tag = _clark(name, scope)
            arguments: Any = {"nsmap": nsmap or None}
            element = etree.Element(tag, **arguments) if parent is None else etree.SubElement(parent, tag, **arguments)
        except ValueError as error:
            raise _Wrong(str(error)) from error
        self.has_lost_prefix |= (element.prefix or "") != name.rpartition(":")[0]
        for key, value in attributes.items():
            self._set_attribute(element, key, value, scope)
        self.written[element] = Written(name, known, list(attributes))
        return element

    def _set_attribute(self, element: etree._Element, name: str, value: str, scope: Scope) -> None:
        try:
            clark = _clark(name, {**scope, None: ""})
            if clark in element.attrib:
                raise _Wrong("the same attribute stands there with another prefix", "remove one of them")
            element.set(clark, value)
        except ValueError as error:
            raise _Wrong(str(error), step=f"@{name}") from error
        except _Wrong as wrong:
            wrong.steps.append(f"@{name}")
            raise
        prefix = name.rpartition(":")[0]
        self.has_lost_prefix |= bool(prefix) and list(scope.values()).count(scope.get(prefix, "")) > 1


def outside_element(name: str, value: Any, path: str) -> etree._Element:
    """A comment or processing instruction. Raises InvalidSpec."""
    try:
        return _outside(name, value)
    except _Wrong as wrong:
        raise InvalidSpec([_located(path, wrong)]) from wrong


def _outside(name: str, value: Any) -> etree._Element:
    """A comment or processing instruction. Raises what building raises."""
    text = _string(value)
    try:
        if name == COMMENT:
            return etree.Comment(text)
        target, _, data = text.partition(" ")
        return etree.ProcessingInstruction(target, data.lstrip(BLANK))
    except ValueError as error:
        raise _Wrong(str(error)) from error


def _children(parent: str, node: Mapping[str, Any]) -> Iterator[Child]:
    groups: dict[str, list[Child]] = {}
    for key in usual_order(parent, (key for key in node if is_child_key(key) or key in CONTENT)):
        value = node[key]
        is_list = isinstance(value, list | tuple)
        groups[key] = [(key, item, f"{key}[{i}]") for i, item in enumerate(value)] if is_list else [(key, value, key)]
    for word in _string(node.get(ORDER, ""), ORDER).split():
        name = word.removesuffix(REST)
        if name not in groups:
            raise _Wrong(f"names {name}, which is not there", "remove it", ORDER)
        if not groups[name]:
            raise _Wrong(f"names {name} more often than it is there", "remove it", ORDER)
        taken = len(groups[name]) if word.endswith(REST) else 1
        yield from groups[name][:taken]
        groups[name] = groups[name][taken:]
    for rest in groups.values():
        yield from rest


@functools.lru_cache(maxsize=4096)
def _is_plain(name: str) -> bool:
    return ":" not in name and "{" not in name and name != "@xmlns"


def _declarations(node: Mapping[str, Any]) -> dict[str | None, str]:
    found: dict[str | None, str] = {}
    for key, value in node.items():
        if not is_declaration(key):
            continue
        uri = _string(value, key)
        if key == "@xmlns":
            found[None] = uri
            continue
        prefix = key.removeprefix("@xmlns:")
        if not prefix or not uri or prefix in ("xml", "xmlns"):
            raise _Wrong("declares no namespace", "give a prefix and a URI", key)
        found[prefix] = uri
    return found


def _clark(name: str, scope: Scope) -> str:
    """lxml's `{uri}name` of a qualified name."""
    prefix, colon, local = name.rpartition(":")
    if "{" in name or (colon and not prefix):
        raise _Wrong(f"{name[:80]!r} is no XML name")
    if prefix == "xml":
        return f"{{{XML_NAMESPACE}}}{local}"
    uri = scope.get(prefix or None, "")
    if prefix and not uri:
        raise _Wrong(f"prefix {prefix} is not declared", f"add '@xmlns:{prefix}' to it")
    return f"{{{uri}}}{local}" if uri else local


def _set_text(element: etree._Element, value: Any, step: str = "") -> None:
    text = _string(value, step)
    try:
        element.text = text or None
    except ValueError as error:
        raise _Wrong(str(error), step=step) from error


def _append_text(element: etree._Element, value: Any) -> None:
    text = _string(value)
    try:
        if len(element):
            element[-1].tail = (element[-1].tail or "") + text
        else:
            element.text = (element.text or "") + text
    except ValueError as error:
        raise _Wrong(str(error)) from error


def _string(value: Any, step: str = "") -> str:
    if not isinstance(value, str):
        _refuse_value(value, step)
    return value


def _refuse_value(value: Any, step: str = "") -> NoReturn:
    if value is None:
        raise _Wrong("null is no text", "write '' or {} for an element without content", step)
    shown = repr(value)
    raise _Wrong(f"{shown if len(shown) <= 80 else shown[:80] + '...'} is no text", "quote it", step)
