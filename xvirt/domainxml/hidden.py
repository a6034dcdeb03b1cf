"""Secrets in libvirt's XML: the one place that knows where they stand, and takes them out of what is shown.

libvirt itself dumps no password and no cookie unless it is asked for secure fields, which xVirt never asks for; it does dump what is
passed to QEMU word by word, what the firmware is told, and queries of URLs. Secrets of libvirt (`<secret uuid=...>`) are only named in a
domain and stay. Pure.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

from lxml import etree

from xvirt.domainxml.compare import pair
from xvirt.domainxml.mark import mark_of
from xvirt.domainxml.tree import parse_xml, to_text

HIDDEN = "(hidden)"

_ATTRIBUTES = {"passwd": ("graphics",), "query": ("source",)}
"""Attribute -> elements in which it is secret."""
_TEXTS = frozenset({"cookie", "certificate", "session", "dhCert"})
_TOLD_FIRMWARE = frozenset({"fwcfg", "oemStrings"})
"""fw_cfg entries and OEM strings carry credentials to systemd (https://systemd.io/CREDENTIALS)."""
_NEVER_SAID = frozenset({("graphics", "passwd"), ("cookie", "")})
"""What libvirt calls secure: no document says it."""

_WITH_SECURE = {"passwd": ("passwdValidTo", "connected")}
"""Attributes that say something of a secret one, and stay with it."""

Place = tuple[etree._Element, str]
"""An element and the name of its secret attribute; empty: its text."""


def find_secrets(root: etree._Element) -> Iterator[Place]:
    """Every place of a document that holds a secret, or may."""
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        name = etree.QName(element)
        names = [str(key) for key in element.attrib]
        if name.namespace:
            yield from _passed_on(element, names)
            continue
        yield from ((element, key) for key in names if name.localname in _ATTRIBUTES.get(key, ()))
        if _has_secret_text(element, name.localname):
            yield element, ""


def _passed_on(element: etree._Element, names: list[str]) -> Iterator[Place]:
    """What an element of a foreign namespace outside `<metadata>` gives to another program."""
    if any(item.tag == "metadata" for item in element.iterancestors()):
        return
    yield from ((element, key) for key in names if key == "value")
    if (element.text or "").strip():
        yield element, ""


def _has_secret_text(element: etree._Element, name: str) -> bool:
    if not (element.text or "").strip():
        return False
    if name != "entry":
        return name in _TEXTS
    parent = element.getparent()
    return parent is not None and bool(_TOLD_FIRMWARE & {parent.get("type", ""), str(parent.tag)})


def without_secrets(root: etree._Element) -> etree._Element:
    """A copy that may be shown: each secret replaced by `(hidden)`, and the mark without the document, which its owner can get."""
    shown = copy.deepcopy(root)
    for element, attribute in list(find_secrets(shown)):
        if attribute:
            element.set(attribute, HIDDEN)
        else:
            element.text = HIDDEN
    mark = mark_of(shown)
    if mark is not None and mark.text:
        mark.text = HIDDEN
    return shown


def shown_text(root: etree._Element) -> str:
    """Indented XML of a document that may be shown."""
    return to_text(without_secrets(root))


def carry_secure(xml: str, current: str) -> str:
    """A definition with what libvirt never tells of the one that it takes the place of, so that nobody's password is lost with a change
    of something else. `current` is that one with its secure fields; a definition that has none comes back as it is, to the letter."""
    old = parse_xml(current)
    fields = [item for item in find_secrets(old) if (item[0].tag, item[1]) in _NEVER_SAID]
    if not fields:
        return xml
    root = parse_xml(xml)
    twins = _twins(root, old)
    for element, attribute in fields:
        holder = element if attribute else element.getparent()
        twin = twins.get(holder) if holder is not None else None
        if twin is not None:
            _copy_secure(element, attribute, twin)
    return to_text(root)


def _twins(root: etree._Element, old: etree._Element) -> dict[etree._Element, etree._Element]:
    found, pending = {old: root}, [(root, old)]
    while pending:
        mine, theirs = pending.pop()
        for item, other in pair([*mine.iterchildren("*")], [*theirs.iterchildren("*")]).items():
            found[other] = item
            pending.append((item, other))
    return found


def _copy_secure(element: etree._Element, attribute: str, twin: etree._Element) -> None:
    if not attribute:
        if twin.find(element.tag) is None:
            twin.append(copy.deepcopy(element))
        return
    for name in (attribute, *_WITH_SECURE.get(attribute, ())):
        value = element.get(name)
        if value is not None and twin.get(name) is None:
            twin.set(name, value)


def secure_places(root: etree._Element) -> list[str]:
    """Places, as paths, of what libvirt never tells: a document that says it would tell it to whoever may read the document."""
    tree = root.getroottree()
    return [
        f"{tree.getelementpath(element)}{f'/@{attribute}' if attribute else ''}"
        for element, attribute in find_secrets(root)
        if (etree.QName(element).localname, attribute) in _NEVER_SAID and not etree.QName(element).namespace
    ]
