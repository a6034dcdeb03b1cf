"""Two prefixes of one namespace in one document: lxml takes the one that it finds first, so such a tree is written and read again."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import XMLGenerator, escape

from lxml import etree

from xvirt.domainxml.xmltext import parse_xml


@dataclasses.dataclass(frozen=True)
class Written:
    """How a tree writes an element: its name, the namespaces declared there, its attributes in order."""

    name: str
    declared: Mapping[str | None, str]
    attributes: Sequence[str]


def rewrite(root: etree._Element, written: Mapping[etree._Element, Written]) -> etree._Element:
    """The element with all names as they were written.

    lxml has taken each name and text before, so nothing can break out of its place; the standard library's writer escapes.
    """
    out = io.StringIO()
    _write(root, written, XMLGenerator(out, short_empty_elements=False), out)
    return parse_xml(out.getvalue())


def _write(
    element: etree._Element, written: Mapping[etree._Element, Written], writer: XMLGenerator, out: io.StringIO
) -> None:
    if not isinstance(element.tag, str):
        out.write(etree.tostring(element, encoding="unicode", with_tail=False))
        return
    names = written[element]
    declared = {f"xmlns:{prefix}" if prefix else "xmlns": uri for prefix, uri in names.declared.items()}
    values = (str(value) for value in element.attrib.values())
    writer.startElement(names.name, {**declared, **dict(zip(names.attributes, values, strict=True))})  # type: ignore[arg-type]
    _write_text(element.text, out)
    for child in element:
        _write(child, written, writer, out)
        _write_text(child.tail, out)
    writer.endElement(names.name)


def _write_text(text: str | None, out: io.StringIO) -> None:
    out.write(escape(text or "", {"\r": "&#13;"}))
