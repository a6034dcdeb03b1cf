"""Elements to trees. The common document, without namespaces, comments and text among children, takes a short way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lxml import etree

from xvirt.domainxml.shapes import NO_SHAPE, SHAPES
from xvirt.domainxml.tree_keys import COMMENT, INSTRUCTION, ORDER, TEXT, order_text
from xvirt.domainxml.xmltext import BLANK, XML_NAMESPACE, has_space, holds_text
from xvirt.model.errors import InvalidSpec, Problem

_NOT_PLAIN = (b"xmlns", b"xml:", b"<!--", b"<?")
"""In the text of whatever has namespaces, comments or processing instructions; in others' text now and then, which does no harm."""

Children = list[tuple[str, Any]]
"""Names and nodes in document order; texts, comments and instructions among them."""


def to_tree(element: etree._Element) -> dict[str, Any]:
    """The tree of an element, always a map; its own name is not part of it. Raises InvalidSpec for an unexpanded entity."""
    node = to_node(element)
    return {TEXT: node} if isinstance(node, str) else node


def to_node(element: etree._Element) -> str | dict[str, Any]:
    """The same, as it stands below its name: a string where it is text alone."""
    name = qualified_name(element)
    written: bytes = etree.tostring(element, encoding="utf-8", with_tail=False)
    try:
        if any(mark in written for mark in _NOT_PLAIN):
            raise _NotPlain
        return _plain(element, name)
    except _NotPlain:
        return _Reader(has_space(element)).node(element, name)


def qualified_name(element: etree._Element) -> str:
    """`prefix:name` as the document wrote it, also where nobody declared the prefix."""
    name = str(element.tag).rpartition("}")[2]
    return f"{element.prefix}:{name}" if element.prefix else name


class _NotPlain(Exception):
    """The short way does not lead there."""


def _plain(element: etree._Element, name: str) -> str | dict[str, Any]:
    """The node of an element without namespaces, comments, instructions and text among children; most of all time is spent here."""
    node: dict[str, Any] = {}
    for key, value in element.items():
        node[f"@{key}"] = value  # type: ignore[str-bytes-safe]
    text = element.text
    if not len(element):
        if not text:
            return node
        if not node:
            return text
        node[TEXT] = text
        return node
    if text and text.strip(BLANK):
        raise _NotPlain
    children = []
    for child in element:
        tag = child.tag
        tail = child.tail
        if tag.__class__ is not str or (tail and tail.strip(BLANK)):
            raise _NotPlain
        children.append((tag, _plain(child, tag)))
    return _grouped(node, name, children)


def _grouped(node: dict[str, Any], parent: str, children: Children) -> dict[str, Any]:
    """The node with children of an element called `parent` in it, and their order where it is not the usual one."""
    places, repeated = SHAPES.get(parent, NO_SHAPE)
    last, is_usual = 0, True
    for name, value in children:
        if name in repeated:
            if name in node:
                node[name].append(value)
            else:
                node[name] = [value]
        elif name not in node:
            node[name] = value
        elif node[name].__class__ is list:
            node[name].append(value)
        else:
            node[name] = [node[name], value]
        place = places.get(name, -1)
        if place < last:
            is_usual = False
        last = place
    if not is_usual and len(children) > 1 and (order := order_text(parent, [name for name, _ in children])):
        node[ORDER] = order
    return node


def with_children(node: dict[str, Any], parent: str, children: Children) -> dict[str, Any]:
    """The same, with comments and instructions among them."""
    _grouped(node, parent, children)
    for key in (COMMENT, INSTRUCTION):
        if key in node and not isinstance(node[key], list):
            node[key] = [node[key]]
    return node


class _Reader:
    """The long way, which knows all that XML has."""

    def __init__(self, may_keep_space: bool) -> None:
        self._may_keep_space = may_keep_space

    def node(self, element: etree._Element, name: str) -> str | dict[str, Any]:
        """One element, with all below it."""
        node: dict[str, Any] = {**_declarations(element), **_attributes(element)}
        if len(element) == 0:
            text = element.text or ""
            return text if text and not node else {**node, TEXT: text} if text else node
        children = list(self._children(element))
        return with_children(node, name, children)

    def _children(self, element: etree._Element) -> Iterator[tuple[str, Any]]:
        has_text = holds_text(element, may_keep=self._may_keep_space)
        if has_text and element.text:
            yield TEXT, element.text
        for child in element:
            yield self._child(child)
            if has_text and child.tail:
                yield TEXT, child.tail

    def _child(self, child: etree._Element) -> tuple[str, Any]:
        if isinstance(child.tag, str):
            name = qualified_name(child)
            return name, self.node(child, name)
        return outside(child)


def outside(item: etree._Element) -> tuple[str, str]:
    """A comment or processing instruction as a child. Raises InvalidSpec for an entity reference."""
    if isinstance(item, etree._Comment):
        return COMMENT, item.text or ""
    if isinstance(item, etree._ProcessingInstruction):
        text = str(item.text or "")
        return INSTRUCTION, f"{item.target!s} {text}" if text else str(item.target)
    message = f"line {item.sourceline}: an entity reference, which is never expanded"
    raise InvalidSpec([Problem("", message)])


def _declarations(element: etree._Element) -> dict[str, str]:
    parent = element.getparent()
    inherited = parent.nsmap if parent is not None else {}
    own = {prefix: uri for prefix, uri in element.nsmap.items() if inherited.get(prefix) != uri}
    found = {f"@xmlns:{prefix}" if prefix else "@xmlns": str(uri) for prefix, uri in own.items()}
    if None in inherited and None not in element.nsmap:
        found["@xmlns"] = ""
    return found


def _attributes(element: etree._Element) -> dict[str, str]:
    names = [str(name) for name in element.attrib]
    prefixes = {uri: prefix for prefix, uri in element.nsmap.items() if prefix}
    if len(prefixes) < sum(1 for prefix in element.nsmap if prefix) and any("{" in name for name in names):
        # Two prefixes of one URI: only XPath tells which one was written.
        written = [str(element.xpath(f"name(@*[{place}])")) for place in range(1, len(names) + 1)]
    else:
        written = [_attribute_name(name, prefixes) for name in names]
    return {f"@{key}": str(value) for key, value in zip(written, element.attrib.values(), strict=True)}


def _attribute_name(name: str, prefixes: dict[str, str]) -> str:
    uri, brace, local = name.removeprefix("{").rpartition("}")
    if not brace:
        return name
    return f"{'xml' if uri == XML_NAMESPACE else prefixes[uri]}:{local}"
