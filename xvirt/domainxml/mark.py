"""The ownership mark: what makes a domain ours (DESIGN law 3), and from which a lost store is rebuilt.

One element in `<metadata>`, in a namespace of its own; attributes tell whose it is, its text is the document as canonical JSON
(without secrets, which a document only names). What lacks it is foreign.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

from lxml import etree

from xvirt.domainxml.elements import integer
from xvirt.domainxml.xmltext import canonical
from xvirt.model.codec import canonical_json, from_json
from xvirt.model.errors import InvalidSpec
from xvirt.model.identity import MARK_NAMESPACE

_TAG = f"{{{MARK_NAMESPACE}}}object"
_METADATA_FOLLOWS = ("name", "uuid", "genid", "title", "description")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OwnershipMark:
    """Whose a domain is. `document` is None where it cannot be read; `power` is the node's own note of an asked-for power state;
    `profile` is the policy profile that the document was let in by."""

    uid: str
    authority: str
    kind: str
    namespace: str
    name: str
    generation: int
    epoch: int
    spec_hash: str
    document: Mapping[str, Any] | None = None
    power: str = ""
    profile: str = ""


def write_mark(root: etree._Element, mark: OwnershipMark) -> None:
    """Put the mark into a domain's or network's `<metadata>`, in place of an older one; other metadata stays."""
    remove_mark(root)
    metadata = root.find("metadata")
    if metadata is None:
        metadata = etree.Element("metadata")
        root.insert(_metadata_index(root), metadata)
    metadata.append(mark_element(mark))


def mark_element(mark: OwnershipMark) -> etree._Element:
    """The mark alone, as it stands in `<metadata>`."""
    element = etree.Element(_TAG, nsmap={"xvirt": MARK_NAMESPACE})
    attributes = {
        "uid": mark.uid,
        "authority": mark.authority,
        "kind": mark.kind,
        "namespace": mark.namespace,
        "name": mark.name,
        "generation": str(mark.generation),
        "epoch": str(mark.epoch),
        "specHash": mark.spec_hash,
        "power": mark.power,
        "profile": mark.profile,
    }
    for name, value in attributes.items():
        element.set(name, value)
    if mark.document is not None:
        element.text = _document_text(mark.document)
    return element


def _metadata_index(root: etree._Element) -> int:
    heads = [index for index, item in enumerate(root) if item.tag in _METADATA_FOLLOWS]
    return max(heads) + 1 if heads else 0


def _document_text(document: Mapping[str, Any]) -> str:
    """JSON's own escapes stand for the characters that XML 1.0 cannot hold; they only occur within JSON strings."""
    text = canonical_json(document).decode()
    return _NOT_XML.sub(lambda match: json.dumps(match.group()).strip('"'), text)


def read_mark(root: etree._Element) -> OwnershipMark | None:
    """The mark of a domain or network; None where it is foreign. Never fails: what is unreadable is empty or None."""
    element = mark_of(root)
    if element is None:
        return None
    return OwnershipMark(
        uid=element.get("uid", ""),
        authority=element.get("authority", ""),
        kind=element.get("kind", ""),
        namespace=element.get("namespace", ""),
        name=element.get("name", ""),
        generation=integer(element.get("generation", "")),
        epoch=integer(element.get("epoch", "")),
        spec_hash=element.get("specHash", ""),
        document=_read_document(element.text),
        power=element.get("power", ""),
        profile=element.get("profile", ""),
    )


def _read_document(text: str | None) -> dict[str, Any] | None:
    try:
        return from_json((text or "").encode())
    except InvalidSpec:
        return None


def remove_mark(root: etree._Element) -> None:
    """Take the mark off, and `<metadata>` where nothing else is in it: libvirt leaves it empty behind what is taken out."""
    element = mark_of(root)
    while element is not None:
        metadata = element.getparent()
        assert metadata is not None, "it was found below <metadata>"
        metadata.remove(element)
        element = mark_of(root)
    for metadata in root.findall("metadata"):
        if len(metadata) == 0 and not (metadata.text or "").strip():
            root.remove(metadata)


def mark_of(root: etree._Element) -> etree._Element | None:
    """The mark's element; None where it is foreign."""
    return root.find(f"metadata/{_TAG}")


def is_same_but_mark(root: etree._Element, other: etree._Element) -> bool:
    """Whether two definitions differ in nothing but the mark. Comments are passed over, as libvirt passes them over."""
    return _bare(root) == _bare(other)


def _bare(root: etree._Element) -> bytes:
    copied = copy.deepcopy(root)
    remove_mark(copied)
    etree.strip_tags(copied, etree.Comment)
    return canonical(copied)
