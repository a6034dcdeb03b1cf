"""XML as a tree of maps, lists and strings that survives YAML, JSON and an API server that sorts keys.

One element is a *node*: a string where it has text only (`name: web`), else a map of
  `@name`      an attribute; `@xmlns` and `@xmlns:p` declare namespaces at this element
  `#text`      its text, beside attributes
  `child`      one child element's node, or the list of nodes of several of that name (`p:child` with a prefix)
  `$order`     names of children in order, only where it is not the order of sorted names. Each name takes one occurrence, the last
               mention of a name takes all that are left: `controller disk controller`
  `$children`  instead of children and `#text`, for mixed content: a list of text and of one-entry maps `{name: node}`,
               `{'#comment': text}`, `{'#pi': 'target data'}`
Strings only: a value is never typed, so `0744`, `yes` and `52:54:00:00:00:00` stay what they are; reading refuses anything else.
No XML name starts with `@`, `#` or `$`, so nothing clashes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from lxml import etree

from xvirt.domainxml import limits
from xvirt.model.errors import InvalidSpec, Problem

XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
ORDER, CHILDREN, TEXT, COMMENT, INSTRUCTION = "$order", "$children", "#text", "#comment", "#pi"
_BLANK = " \t\r\n"

Node = str | Mapping[str, Any]


# XML text


def parse_xml(text: str | bytes) -> etree._Element:
    """The root element of a document or fragment. Entities are never expanded and nothing is fetched.

    Raises InvalidSpec for broken XML (with its line), a DOCTYPE, and beyond the limits of `xvirt.domainxml.limits`.
    """
    data = _encode(text)
    if len(data) > limits.XML_MAX_BYTES:
        raise _invalid(f"the XML has {len(data)} bytes, {limits.XML_MAX_BYTES} are allowed")
    parser = etree.XMLParser(
        encoding="utf-8" if isinstance(text, str) else None,
        resolve_entities=False,
        no_network=True,
        huge_tree=False,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        strip_cdata=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise _invalid(f"not XML: {error}") from error
    if root is None:
        raise _invalid("not XML: the document is empty")
    if has_doctype(root):
        raise _invalid("the XML has a DOCTYPE, which is never accepted", "remove it")
    _check_size(root)
    return root


def has_doctype(root: etree._Element) -> bool:
    """True where the element's document declares a document type."""
    return bool(getattr(root.getroottree().docinfo, "doctype", ""))


def _encode(text: str | bytes) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise _invalid(f"not XML: {error.reason} at character {error.start}") from error


def _check_size(root: etree._Element) -> None:
    depth = count = 0
    for event, _element in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        count += event == "start"
        if depth > limits.XML_MAX_DEPTH:
            raise _invalid(f"the XML is nested deeper than {limits.XML_MAX_DEPTH} elements")
        if count > limits.XML_MAX_ELEMENTS:
            raise _invalid(f"the XML has more than {limits.XML_MAX_ELEMENTS} elements")


def to_text(element: etree._Element) -> str:
    """Indented XML of an element, without a declaration."""
    text: str = etree.tostring(element, encoding="unicode", pretty_print=True, with_tail=False)
    return text


def canonical(element: etree._Element) -> bytes:
    """Exclusive C14N (https://www.w3.org/TR/xml-exc-c14n/) without indentation: equal trees give equal bytes."""
    bare = copy.deepcopy(element)
    bare.tail = None
    for item in bare.iter():
        if isinstance(item.tag, str) and len(item) and _is_blank(item.text):
            item.text = None
        if item is not bare and _is_blank(item.tail):
            item.tail = None
    text: bytes = etree.tostring(bare, method="c14n", exclusive=True, with_comments=True)
    return text


def _is_blank(text: str | None) -> bool:
    return not (text or "").strip(_BLANK)


def _is_indentation(text: str | None) -> bool:
    """White space that only lays out the source; blanks on one line may be somebody's value."""
    return _is_blank(text) and (not text or "\n" in text)


# element -> tree


def to_tree(element: etree._Element) -> dict[str, Any]:
    """The tree of an element, always a map; its own name is not part of it. Raises InvalidSpec for an unexpanded entity."""
    node = _node(element)
    if isinstance(node, str):
        return {TEXT: node} if node else {}
    return node


def qualified_name(element: etree._Element) -> str:
    """`prefix:name` as the document wrote it."""
    name = etree.QName(element).localname
    return f"{element.prefix}:{name}" if element.prefix else name


def _node(element: etree._Element) -> str | dict[str, Any]:
    attributes = {**_declarations(element), **_attributes(element)}
    if len(element) == 0:
        text = "" if _is_indentation(element.text) else element.text or ""
        if not attributes:
            return text
        return {**attributes, TEXT: text} if text else attributes
    if _is_mixed(element):
        return {**attributes, CHILDREN: list(_mixed(element))}
    return {**attributes, **_grouped(element)}


def _declarations(element: etree._Element) -> dict[str, str]:
    parent = element.getparent()
    inherited = parent.nsmap if parent is not None else {}
    own = {prefix: uri for prefix, uri in element.nsmap.items() if inherited.get(prefix) != uri}
    found = {f"@xmlns:{prefix}" if prefix else "@xmlns": str(uri) for prefix, uri in own.items()}
    if None in inherited and None not in element.nsmap:
        found["@xmlns"] = ""
    return found


def _attributes(element: etree._Element) -> dict[str, str]:
    return {"@" + _attribute_name(element, str(name)): str(value) for name, value in element.attrib.items()}


def _attribute_name(element: etree._Element, name: str) -> str:
    qname = etree.QName(name)
    if qname.namespace is None:
        return name
    if qname.namespace == XML_NAMESPACE:
        return f"xml:{qname.localname}"
    prefix = next(key for key, uri in element.nsmap.items() if uri == qname.namespace and key)
    return f"{prefix}:{qname.localname}"


def _is_mixed(element: etree._Element) -> bool:
    if not _is_blank(element.text):
        return True
    return any(not isinstance(child.tag, str) or not _is_blank(child.tail) for child in element)


def _mixed(element: etree._Element) -> Iterator[str | dict[str, Any]]:
    if not _is_indentation(element.text):
        yield element.text or ""
    for child in element:
        if isinstance(child.tag, str):
            yield {qualified_name(child): _node(child)}
        elif child.tag is etree.Comment:
            yield {COMMENT: child.text or ""}
        elif child.tag is etree.ProcessingInstruction:
            yield {INSTRUCTION: f"{child.target} {child.text or ''}".rstrip(" ")}
        else:
            raise _invalid(f"line {child.sourceline}: an entity reference, which is never expanded")
        if not _is_indentation(child.tail):
            yield child.tail or ""


def _grouped(element: etree._Element) -> dict[str, Any]:
    names = [qualified_name(child) for child in element]
    groups: dict[str, list[Any]] = {}
    for name, child in zip(names, element, strict=True):
        groups.setdefault(name, []).append(_node(child))
    tree: dict[str, Any] = {name: nodes if len(nodes) > 1 else nodes[0] for name, nodes in groups.items()}
    if names != sorted(names):
        tree[ORDER] = _order_text(names)
    return tree


def _order_text(names: list[str]) -> str:
    """The shortest `$order`: the last run of a name is mentioned once."""
    last_run = {name: _last_run_start(names, name) for name in names}
    kept = [name for place, name in enumerate(names) if place <= last_run[name]]
    return " ".join(kept)


def _last_run_start(names: list[str], name: str) -> int:
    place = len(names) - 1 - names[::-1].index(name)
    while place > 0 and names[place - 1] == name:
        place -= 1
    return place


# tree -> element


Scope = Mapping[str | None, str]
"""Namespace prefix -> URI; None is the default namespace."""


def from_tree(name: str, tree: Node, scope: Scope | None = None, path: str = "") -> etree._Element:
    """The element that a tree stands for; the inverse of `to_tree`. `scope` holds namespaces declared above it.

    Raises InvalidSpec with the path of what is no string, no XML name, has an undeclared prefix or cannot be held by XML 1.0.
    """
    return _build(None, name, tree, path or name, scope or {})


def _build(parent: etree._Element | None, name: str, node: Any, path: str, inherited: Scope) -> etree._Element:
    if path.count(".") > limits.XML_MAX_DEPTH:
        raise _invalid(f"nested deeper than {limits.XML_MAX_DEPTH} elements", path=path[:200])
    if isinstance(node, str):
        node = {TEXT: node}
    if not isinstance(node, Mapping):
        raise _invalid(f"{node!r} is no text", "quote it", path=path)
    declared = declarations(node, path)
    scope = {**inherited, **declared}
    try:
        known = scope if parent is None else declared
        nsmap = {prefix: uri for prefix, uri in known.items() if uri or inherited.get(prefix)}
        element = _make(parent, _clark(name, scope, path), nsmap)
        for key, value in node.items():
            if key.startswith("@") and not _is_declaration(key):
                place = f"{path}.{key}"
                element.set(_clark(key[1:], {**scope, None: ""}, place), _text(value, place))
        _fill(element, node, path, scope)
    except ValueError as error:
        raise _invalid(str(error), path=path) from error
    return element


def _make(parent: etree._Element | None, tag: str, nsmap: Scope) -> etree._Element:
    if parent is None:
        return etree.Element(tag, nsmap=nsmap or None)  # type: ignore[arg-type]
    return etree.SubElement(parent, tag, nsmap=nsmap or None)  # type: ignore[arg-type]


def _fill(element: etree._Element, node: Mapping[str, Any], path: str, scope: Scope) -> None:
    if CHILDREN in node:
        _fill_mixed(element, node[CHILDREN], f"{path}.{CHILDREN}", scope)
        return
    if TEXT in node:
        element.text = _text(node[TEXT], f"{path}.{TEXT}") or None
    for name, child, place in ordered_children(node, path):
        _build(element, name, child, place, scope)


def _fill_mixed(element: etree._Element, items: Any, path: str, scope: Scope) -> None:
    if not isinstance(items, list):
        raise _invalid("must be a list of text and one-entry maps", path=path)
    for index, item in enumerate(items):
        place = f"{path}[{index}]"
        if isinstance(item, str):
            _append_text(element, item)
            continue
        if not isinstance(item, Mapping) or len(item) != 1:
            raise _invalid("must be text or a map with one entry", path=place)
        ((name, node),) = item.items()
        if name == COMMENT:
            element.append(etree.Comment(_text(node, place)))
        elif name == INSTRUCTION:
            target, _, data = _text(node, place).partition(" ")
            element.append(etree.ProcessingInstruction(target, data))
        else:
            _build(element, name, node, place, scope)


def _append_text(element: etree._Element, text: str) -> None:
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text


def ordered_children(node: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any, str]]:
    """(name, node, path) of each child element in document order; a list entry's path ends in its index."""
    groups: dict[str, list[tuple[Any, str]]] = {}
    for key in sorted(key for key in node if is_child_key(key)):
        value, place = node[key], f"{path}.{key}"
        is_list = isinstance(value, list | tuple)
        groups[key] = [(item, f"{place}[{i}]") for i, item in enumerate(value)] if is_list else [(value, place)]
    mentions = _text(node.get(ORDER, ""), f"{path}.{ORDER}").split()
    unknown = [name for name in mentions if name not in groups]
    if unknown:
        raise _invalid(f"names {unknown[0]}, which is not there", path=f"{path}.{ORDER}")
    for index, name in enumerate(mentions):
        is_last = name not in mentions[index + 1 :]
        taken, groups[name] = (groups[name], []) if is_last else (groups[name][:1], groups[name][1:])
        yield from ((name, child, place) for child, place in taken)
    for name, rest in groups.items():
        yield from ((name, child, place) for child, place in rest)


def is_child_key(key: str) -> bool:
    """True for a key that names child elements."""
    return not key.startswith(("@", "#", "$"))


def declarations(node: Mapping[str, Any], path: str) -> dict[str | None, str]:
    """Namespaces that a node declares."""
    return {_prefix(key): _text(value, f"{path}.{key}") for key, value in node.items() if _is_declaration(key)}


def _is_declaration(key: str) -> bool:
    return key == "@xmlns" or key.startswith("@xmlns:")


def _prefix(key: str) -> str | None:
    return key.partition(":")[2] or None


def _clark(name: str, scope: Mapping[str | None, str], path: str) -> str:
    """lxml's `{uri}name` of a qualified name."""
    prefix, _, local = name.rpartition(":")
    if prefix == "xml":
        return f"{{{XML_NAMESPACE}}}{local}"
    uri = scope.get(prefix or None, "")
    if prefix and not uri:
        raise _invalid(f"prefix {prefix} is not declared", f"add '@xmlns:{prefix}' to it", path=path)
    return f"{{{uri}}}{local}" if uri else local


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise _invalid(f"{value!r} is no text", "quote it", path=path)
    return value


def _invalid(message: str, remedy: str = "", *, path: str = "") -> InvalidSpec:
    return InvalidSpec([Problem(path, message, remedy)])
