"""What somebody changed in a definition, place by place, in a normal form: what libvirt fills in, spells otherwise or lists in another
order is no change (`xvirt.domainxml.normal`, `xvirt.domainxml.compare`), nor is another address or xVirt's own mark."""

from __future__ import annotations

import base64
import copy
import zlib

from lxml import etree

from xvirt.domainxml.compare import lost
from xvirt.domainxml.limits import XML_MAX_BYTES
from xvirt.domainxml.mark import remove_mark
from xvirt.domainxml.normal import strip_fillings
from xvirt.domainxml.tree import parse_xml, to_text
from xvirt.model.errors import InvalidSpec


def changes_by_hand(before: etree._Element, after: etree._Element) -> tuple[str, ...]:
    """One sentence a place, in document order; empty where both mean the same."""
    old, new = _normal(before), _normal(after)
    gone, come = lost(old, new), lost(new, old)
    both = [path for path in gone if path in come]
    told = [f"{path} was {'changed' if path in both or _is_text(path) else 'removed'}" for path in gone]
    return (*told, *(f"{path} was {'changed' if _is_text(path) else 'added'}" for path in come if path not in both))


def _is_text(path: str) -> bool:
    return path.endswith("/text()")


def _normal(root: etree._Element) -> etree._Element:
    bare = copy.deepcopy(root)
    remove_mark(bare)
    strip_fillings(bare)
    return bare


def pack(root: etree._Element) -> str:
    """A definition in few bytes, as text, to be remembered."""
    bare = copy.deepcopy(root)
    remove_mark(bare)
    return base64.b85encode(zlib.compress(to_text(bare).encode())).decode()


def unpack(text: str) -> etree._Element | None:
    """The inverse of `pack`; None for what is none of it."""
    try:
        data = zlib.decompressobj().decompress(base64.b85decode(text), XML_MAX_BYTES)
        return parse_xml(data)
    except (ValueError, zlib.error, InvalidSpec):
        return None
