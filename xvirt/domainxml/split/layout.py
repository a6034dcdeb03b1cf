"""Documents as they are compared: without comments and layout."""

from __future__ import annotations

import copy
from collections.abc import Callable

from lxml import etree

from xvirt.domainxml.mark import remove_mark
from xvirt.domainxml.tree import canonical
from xvirt.model.errors import InvalidSpec


def bare_copy(root: etree._Element) -> etree._Element:
    """Without comments, which libvirt forgets, without white space that only lays out, and without an ownership mark."""
    bare = copy.deepcopy(root)
    bare.tail = None
    etree.strip_tags(bare, etree.Comment, etree.ProcessingInstruction)
    remove_mark(bare)
    for item in bare.iter():
        if len(item) and not (item.text or "").strip():
            item.text = None
        if not (item.tail or "").strip():
            item.tail = None
    return bare


def is_given_back(join: Callable[[], etree._Element], wanted: etree._Element) -> bool:
    """Whether what is put together is what was taken apart."""
    try:
        return canonical(join()) == canonical(wanted)
    except InvalidSpec:
        return False
