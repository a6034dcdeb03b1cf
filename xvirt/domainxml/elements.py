"""Words for building and reading elements, so that rendering reads like the XML it makes."""

from __future__ import annotations

from lxml import etree


def child(
    parent: etree._Element, name: str, attributes: dict[str, str | None] | None = None, text: str | int | None = None
) -> etree._Element:
    """Append an element; attributes that are None are left out."""
    element = etree.SubElement(parent, name)
    for key, value in (attributes or {}).items():
        if value is not None:
            element.set(key, value)
    if text is not None:
        element.text = str(text)
    return element


def alias_of(element: etree._Element) -> str:
    """The device's alias; empty where it has none."""
    return attribute(element, "alias", "name")


def attribute(element: etree._Element, path: str, name: str) -> str:
    """An attribute of the element at `path` below; empty where either is missing."""
    found = element.find(path)
    return found.get(name, "") if found is not None else ""


def text_of(element: etree._Element, path: str) -> str:
    """Text of the element at `path` below, without white space around it; empty where it is missing."""
    return (element.findtext(path) or "").strip()


def integer(text: str, default: int = 0) -> int:
    """A decimal or 0x number; `default` for anything else, since foreign documents hold what they like."""
    try:
        return int(text, 16 if text.strip().lower().startswith("0x") else 10)
    except ValueError:
        return default


_UNITS = {
    "b": 1,
    "bytes": 1,
    "kb": 10**3,
    "k": 1 << 10,
    "kib": 1 << 10,
    "mb": 10**6,
    "m": 1 << 20,
    "mib": 1 << 20,
    "gb": 10**9,
    "g": 1 << 30,
    "gib": 1 << 30,
    "tb": 10**12,
    "t": 1 << 40,
    "tib": 1 << 40,
    "pb": 10**15,
    "p": 1 << 50,
    "pib": 1 << 50,
    "eb": 10**18,
    "e": 1 << 60,
    "eib": 1 << 60,
}
"""libvirt's scaled integers (https://libvirt.org/formatdomain.html#memory-allocation)."""


def unit_bytes(unit: str) -> int | None:
    """Bytes of libvirt's unit; None for what is no such unit (`us`, `dev`)."""
    return _UNITS.get(unit.lower())


def size_of(element: etree._Element | None) -> int | None:
    """Bytes of an element such as `<memory unit='KiB'>`; None where it is missing or no number."""
    if element is None:
        return None
    count, factor = integer((element.text or "").strip(), -1), unit_bytes(element.get("unit") or "KiB")
    return count * factor if count >= 0 and factor is not None else None


def size_element(parent: etree._Element, name: str, size_bytes: int) -> etree._Element:
    """Append `<name unit='KiB'>`; sizes are whole KiB by the time they come here."""
    return child(parent, name, {"unit": "KiB"}, size_bytes >> 10)
