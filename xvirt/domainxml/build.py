"""A terse way to write elements: `sub(parent, "disk", type="file")`."""

from __future__ import annotations

from lxml import etree


def make(tag: str, text: str | None = None, **attributes: str | None) -> etree._Element:
    """An element; attributes that are None are left out, a trailing underscore of a name (`type_`) is dropped."""
    element = etree.Element(tag)
    for name, value in attributes.items():
        if value is not None:
            element.set(name.rstrip("_"), value)
    element.text = text
    return element


def sub(parent: etree._Element, tag: str, text: str | None = None, **attributes: str | None) -> etree._Element:
    """`make`, as the last child of `parent`."""
    element = make(tag, text, **attributes)
    parent.append(element)
    return element


def yes_no(value: bool) -> str:
    """libvirt's booleans."""
    return "yes" if value else "no"
