"""XML as a tree of maps, lists and strings that survives YAML, JSON and an API server that sorts keys.

One element is a *node*: a string where it has text only (`name: web`), else a map, `{}` where it has nothing:
  `@name`      an attribute; `@xmlns` and `@xmlns:p` declare namespaces at this element
  `#text`      its text beside attributes; a list where children stand between parts of it
  `child`      a child element's node, or a list of nodes (`p:child` with a prefix). What libvirt allows more than once
               (`xvirt.domainxml.shapes`) is always a list, anything else only where there are several; both are read everywhere
  `#comment`   the list of its comments
  `#pi`        the list of its processing instructions, each `target data`
  `$order`     what stands in front of the usual order: text, comments, instructions, then elements as libvirt writes them, then
               others by name. `controller` takes the next of that name, `controller*` all that are left; the rest follows
Strings only: a value is never typed, so `0744`, `yes` and `52:54:00:00:00:00` stay what they are; reading refuses anything else.
No XML name starts with `@`, `#` or `$`, so nothing clashes.

White space between the children of an element that holds no other text is layout and not kept, unless `xml:space` says so.
"""

from __future__ import annotations

from xvirt.domainxml.tree_building import Scope, declarations, from_tree, ordered_children
from xvirt.domainxml.tree_keys import COMMENT, CONTENT, INSTRUCTION, ORDER, TEXT, Node, is_child_key
from xvirt.domainxml.tree_reading import qualified_name, to_tree
from xvirt.domainxml.xmltext import XML_NAMESPACE, canonical, has_doctype, parse_xml, to_text

__all__ = [
    "COMMENT",
    "CONTENT",
    "INSTRUCTION",
    "ORDER",
    "TEXT",
    "XML_NAMESPACE",
    "Node",
    "Scope",
    "canonical",
    "declarations",
    "from_tree",
    "has_doctype",
    "is_child_key",
    "ordered_children",
    "parse_xml",
    "qualified_name",
    "to_text",
    "to_tree",
]
