"""Documents made from libvirt's own schemas: one for each place that they know."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

from lxml import etree

from xvirt.domainxml.schema import ANY, PATH, TEXT, Element, Path, Values, path_text, walk

ROOT_ATTRIBUTES = {"domain": {"type": "kvm"}, "pool": {"type": "dir"}}
"""What a document needs so that nothing but the place in question is denied."""


@dataclasses.dataclass(frozen=True)
class Place:
    """A text or an attribute that a schema knows."""

    path: Path
    attribute: str
    values: Values

    def __str__(self) -> str:
        return f"/{path_text(self.path)}" + (f"/@{self.attribute}" if self.attribute else "")

    def document(self, value: str) -> etree._Element:
        """The smallest document that has the value there."""
        root, last = skeleton(self.path)
        if self.attribute:
            last.set(self.attribute, value)
        else:
            last.text = value
        return root


def places(root: Element) -> Iterator[Place]:
    """Every text and attribute, in the order of the schema; those of any name (metadata) left out."""
    for path in walk(root):
        if any(item.name == ANY for item in path):
            continue
        if path[-1].text is not None:
            yield Place(path, "", path[-1].text)
        for item in path[-1].attributes:
            yield Place(path, item.name, item.values)


def path_places(root: Element) -> list[Place]:
    """Those that libvirt types as a path or a device of the host."""
    return [place for place in places(root) if PATH in place.values.types]


def free_places(root: Element) -> list[Place]:
    """Those that take any text or path."""
    return [place for place in places(root) if place.values.types & {PATH, TEXT}]


def skeleton(path: Path, prefix: str | None = "ns") -> tuple[etree._Element, etree._Element]:
    """(root, last element) of a path, each element within the one before; foreign namespaces get the prefix, None: by default."""
    root = last = None
    for item in path:
        tag = f"{{{item.namespace}}}{item.name}" if item.namespace else item.name
        nsmap = {prefix: item.namespace} if item.namespace else None
        if last is None:
            root = last = etree.Element(tag, ROOT_ATTRIBUTES.get(item.name, {}), nsmap=nsmap)  # type: ignore[arg-type]
        else:
            last = etree.SubElement(last, tag, nsmap=nsmap)  # type: ignore[arg-type]
    assert root is not None
    assert last is not None
    return root, last


def is_at_or_above(violation: str, place: str) -> bool:
    """Whether a violation names a place or something that it stands in."""
    bare = re.sub(r"\[[^]]*\]", "", violation)
    return f"{re.sub(r'[{][^}]*[}]', '', place)}/".startswith(f"{bare}/")
