"""Whole documents as trees: a map with one element, named as the root is, and what stands before and after it.

'#comment': [' by hand ']      # only where there is any, and then `$order` only where one stands after the root
domain:
  '@type': kvm
  name: web
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from typing import Any

from lxml import etree

from xvirt.domainxml.tree import TEXT, from_tree, ordered_children, parse_xml, qualified_name
from xvirt.domainxml.tree_building import outside_element
from xvirt.domainxml.tree_reading import Children, outside, to_node, with_children
from xvirt.domainxml.tree_yaml import write_yaml
from xvirt.domainxml.xmltext import document_text
from xvirt.model.documents import load_tree
from xvirt.model.errors import InvalidSpec, Problem


class Form(enum.Enum):
    """How a document is written."""

    XML = "xml"
    YAML = "yaml"
    JSON = "json"


def document_tree(root: etree._Element) -> dict[str, Any]:
    """The tree of the document that `root` is the root element of."""
    children: Children = [outside(item) for item in reversed(list(root.itersiblings(preceding=True)))]
    children.append((qualified_name(root), to_node(root)))
    children += [outside(item) for item in root.itersiblings()]
    return with_children({}, "", children)


def document_element(tree: Any) -> etree._Element:
    """The root element of the document that a tree stands for. Raises InvalidSpec with the path of what is wrong."""
    if not isinstance(tree, Mapping):
        raise InvalidSpec([Problem("", "is no document", "write a map with one entry: the root element's name")])
    names = [str(key) for key in tree if not str(key).startswith(("#", "$"))]
    if len(names) != 1 or names[0].startswith("@") or TEXT in tree or not isinstance(tree[names[0]], str | Mapping):
        shown = ", ".join(str(key) for key in list(tree)[:5])
        message = f"a document holds one element, its root; here stands {shown or 'nothing'}"
        remedy = "a manifest is applied, not converted" if "apiVersion" in tree else "keep one"
        raise InvalidSpec([Problem("", message, remedy)])
    before: list[etree._Element] = []
    root: etree._Element | None = None
    for name, node, path in ordered_children("", tree, ""):
        if name == names[0]:
            root = from_tree(name, node)
            for item in before:
                root.addprevious(item)
        elif root is None:
            before.append(outside_element(name, node, path.lstrip(".")))
        else:
            last = root if root.getnext() is None else list(root.itersiblings())[-1]
            last.addnext(outside_element(name, node, path.lstrip(".")))
    if root is None:
        raise InvalidSpec([Problem("", "holds no element")])
    return root


def read_document(data: bytes, form: Form) -> etree._Element:
    """The root element of a document in any form. Raises InvalidSpec with what is wrong and where."""
    if form is Form.XML:
        return parse_xml(data, is_strict=True)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text: {error.reason} at byte {error.start}"
        raise InvalidSpec([Problem("", message)]) from error
    return document_element(load_tree(text))


def write_document(root: etree._Element, form: Form) -> str:
    """The document in a form; what reading it gives is the same document."""
    if form is Form.XML:
        return document_text(root)
    tree = document_tree(root)
    return write_yaml(tree) if form is Form.YAML else json.dumps(tree, indent=2, ensure_ascii=False) + "\n"
