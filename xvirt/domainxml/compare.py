"""Whether libvirt kept what it was given: it drops elements that it does not know without a word (DESIGN law 8)."""

from __future__ import annotations

from lxml import etree

from xvirt.domainxml.facts import size_bytes

_SIZES = frozenset({"memory", "currentMemory", "maxMemory", "size", "requested", "block", "tb-cache"})
_CASELESS = frozenset({"uuid", "address"})
_FREE_TEXT = frozenset({"description", "title", "serial"})
_REPLACED = frozenset({"machine"})
"""Attributes that libvirt expands: `q35` becomes `pc-q35-7.2`."""


def lost(intended: etree._Element, dumped: etree._Element) -> list[str]:
    """Paths of what stands in `intended` but not in `dumped`, in document order; what libvirt added does not matter."""
    return _lost(intended, dumped, f"/{_local(intended)}")


def _lost(intended: etree._Element, dumped: etree._Element, path: str) -> list[str]:
    missing = [
        f"{path}/@{name}"
        for name, value in ((str(key), str(entry)) for key, entry in intended.attrib.items())
        if not _equal_attribute(str(name), str(value), dumped.get(name))
    ]
    if not _equal_text(intended, dumped):
        missing.append(f"{path}/text()")
    candidates = [child for child in dumped if isinstance(child.tag, str)]
    for child in intended:
        if not isinstance(child.tag, str):
            continue
        where = f"{path}/{_local(child)}{_hint(child)}"
        found = _pair(child, candidates, where)
        if found is None:
            if not _is_void(child):
                missing.append(where)
            continue
        candidates.remove(found[0])
        missing += found[1]
    return missing


def _pair(
    child: etree._Element, candidates: list[etree._Element], where: str
) -> tuple[etree._Element, list[str]] | None:
    """The dumped element that fits best: the one with the same identity, else the one that has lost least."""
    same = [item for item in candidates if item.tag == child.tag]
    identity = _identity(child)
    if identity is not None:
        same = [item for item in same if _identity(item) == identity] or same
    scored = [(item, _lost(child, item, where)) for item in same]
    return min(scored, key=lambda pair: len(pair[1]), default=None)


def _identity(element: etree._Element) -> tuple[str, ...] | None:
    alias = element.find("alias")
    if alias is not None and alias.get("name", "").startswith("ua-"):
        return ("alias", alias.get("name", ""))
    if element.tag == "controller":
        return ("controller", element.get("type", ""), element.get("index", ""))
    return None


def _local(element: etree._Element) -> str:
    return etree.QName(element).localname


def _hint(element: etree._Element) -> str:
    alias = element.find("alias")
    name = element.get("name") or (alias.get("name") if alias is not None else None)
    return f"[{name}]" if name else ""


def _is_void(element: etree._Element) -> bool:
    """libvirt leaves out what says nothing: a USB controller of model none stays, an empty element may go."""
    return not element.attrib and len(element) == 0 and not (element.text or "").strip() and element.tag != "readonly"


def _equal_attribute(name: str, wanted: str, found: str | None) -> bool:
    if found is None:
        return name in ("unit", "fallback")
    if name in _REPLACED:
        return True
    return (
        wanted == found
        or (wanted.lower() == found.lower() and name in _CASELESS)
        or _number(wanted) == _number(found) is not None
    )


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None


def _equal_text(intended: etree._Element, dumped: etree._Element) -> bool:
    name = _local(intended)
    if name in _SIZES:
        return not intended.text or size_bytes(intended) == size_bytes(dumped)
    wanted, found = intended.text or "", dumped.text or ""
    if name in _FREE_TEXT:
        return wanted.strip() == found.strip()
    if len(intended):
        return True
    wanted, found = wanted.strip(), found.strip()
    return wanted == found or (name in _CASELESS and wanted.lower() == found.lower())
