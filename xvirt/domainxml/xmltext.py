"""XML text to elements and back: a parser that fetches, expands and guesses nothing, indented output, and the canonical form."""

from __future__ import annotations

import copy

from lxml import etree

from xvirt.domainxml import limits
from xvirt.model.errors import InvalidSpec, Problem

XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
BLANK = " \t\r\n"
_SPACE = f"{{{XML_NAMESPACE}}}space"
_SPACE_WRITTEN = " xml:space="
_IS_TOO_DEEP = etree.XPath("boolean(" + "/*" * (limits.XML_MAX_DEPTH + 1) + ")")
_COUNT = etree.XPath("count(//*)")
_HAS_SPACE = etree.XPath("boolean(descendant-or-self::*/@xml:space)")
_SMALLEST_ELEMENT = len("<a/>")


def parse_xml(text: str | bytes, *, is_strict: bool = False) -> etree._Element:
    """The root element of a document or fragment. Entities are never expanded and nothing is fetched.

    Raises InvalidSpec for broken XML (with its line), a DOCTYPE, and beyond the limits of `xvirt.domainxml.limits`; where it is to be
    strict also for names that break the rules of namespaces, which libvirt itself lets pass (an undeclared prefix).
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
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:
        raise _invalid(f"not XML: {error.msg if isinstance(error, SyntaxError) else error}") from error
    if root is None:
        raise _invalid("not XML: the document is empty")
    if is_strict:
        _refuse_names(parser)
    if has_doctype(root):
        raise _invalid("the XML has a DOCTYPE, which is never accepted", "remove it")
    if _IS_TOO_DEEP(root):
        raise _invalid(f"the XML is nested deeper than {limits.XML_MAX_DEPTH} elements")
    if len(data) > limits.XML_MAX_ELEMENTS * _SMALLEST_ELEMENT and int(_COUNT(root)) > limits.XML_MAX_ELEMENTS:  # type: ignore[arg-type]
        raise _invalid(f"the XML has more than {limits.XML_MAX_ELEMENTS} elements")
    return root


def _refuse_names(parser: etree.XMLParser) -> None:
    for entry in parser.error_log:
        if entry.domain_name == "NAMESPACE" and entry.level_name != "WARNING":
            raise _invalid(f"not XML: {entry.message}, line {entry.line}, column {entry.column}")


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


def to_text(element: etree._Element) -> str:
    """Indented XML of an element, without a declaration. Where white space counts (text beside elements, `xml:space`), none is added."""
    text: str = etree.tostring(element, encoding="unicode", pretty_print=True, with_tail=False)
    if _SPACE_WRITTEN in text:
        text = etree.tostring(_kept_space(element), encoding="unicode", pretty_print=True, with_tail=False)
    return text


def document_text(root: etree._Element) -> str:
    """The same of a whole document: with what stands before and after its root element."""
    text: str = etree.tostring(root.getroottree(), encoding="unicode", pretty_print=True)
    if _SPACE_WRITTEN in text:
        text = etree.tostring(_kept_space(root).getroottree(), encoding="unicode", pretty_print=True)
    return text


def _kept_space(element: etree._Element) -> etree._Element:
    """A copy that libxml2 does not indent where `xml:space` says so."""
    copied = copy.deepcopy(element.getroottree()).getroot() if element.getparent() is None else copy.deepcopy(element)
    for item in copied.iter(etree.Element):
        if item.get(_SPACE) == "preserve" and len(item) and item.text is None:
            item.text = ""  # libxml2 adds no layout beside a text node, be it empty
    return copied


def canonical(element: etree._Element) -> bytes:
    """Exclusive C14N (https://www.w3.org/TR/xml-exc-c14n/) without layout: equal trees give equal bytes."""
    bare = copy.deepcopy(element)
    bare.tail = None
    drop_layout(bare)
    return _canonical_bytes(bare)


def canonical_document(root: etree._Element) -> bytes:
    """The same of a whole document: with what stands before and after its root element."""
    bare = copy.deepcopy(root.getroottree())
    drop_layout(bare.getroot())
    return _canonical_bytes(bare)


def _canonical_bytes(bare: etree._Element | etree._ElementTree) -> bytes:
    try:
        text: bytes = etree.tostring(bare, method="c14n", exclusive=True, with_comments=True)
    except etree.C14NError:  # libxml2 refuses namespaces that are relative URIs; version 2 of the standard knows them
        text = etree.tostring(bare, method="c14n2", with_comments=True)
    return text


def drop_layout(element: etree._Element) -> None:
    """Take away white space that is none of the content: between the children of elements that hold no other text."""
    may_keep = has_space(element)
    for item in element.iter(etree.Element):
        if len(item) and not holds_text(item, may_keep=may_keep):
            item.text = None
            for child in item:
                child.tail = None


def holds_text(element: etree._Element, *, may_keep: bool) -> bool:
    """Whether white space among the children of an element counts: it stands beside other text, or `xml:space` says so.

    `may_keep` is `has_space` of the document, asked once for all its elements.
    """
    if not is_blank(element.text) or any(not is_blank(child.tail) for child in element):
        return True
    return may_keep and keeps_space(element)


def has_space(element: etree._Element) -> bool:
    """Whether any `xml:space` stands in the element's document."""
    return bool(_HAS_SPACE(element.getroottree()))


def keeps_space(element: etree._Element) -> bool:
    """Whether the nearest `xml:space` says `preserve`."""
    places = (item.get(_SPACE) for item in (element, *element.iterancestors()))
    return next((place for place in places if place), "") == "preserve"


def is_blank(text: str | None) -> bool:
    """True for no text and for XML's white space."""
    return not text or not text.strip(BLANK)


def _invalid(message: str, remedy: str = "") -> InvalidSpec:
    return InvalidSpec([Problem("", message, remedy)])
