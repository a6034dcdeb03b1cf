"""Whether libvirt kept what it was given: it drops what it does not know without a word (DESIGN law 8)."""

from __future__ import annotations

from lxml import etree

from xvirt.domainxml.elements import alias_of, attribute, integer, size_of, unit_bytes
from xvirt.domainxml.placement import identify

_CASELESS = frozenset({"uuid", "address", "genid", "mac", "wwn", "wwpn", "wwnn"})
_MACHINE_ALIASES = {"q35": "pc-q35-", "pc": "pc-i440fx-"}
_SPELLINGS = {"on": "yes", "off": "no"}
_FREE_TEXT = frozenset({"title", "description"})
"""Text in which libvirt keeps every blank."""


def lost(intended: etree._Element, dumped: etree._Element) -> list[str]:
    """XPath-like paths of what stands in `intended` and not in `dumped`, in document order; what libvirt added is passed over.

    Values are compared as libvirt reads them: `2 MiB` is `2048 KiB`, `0x0a` is `10`, MACs and UUIDs in either case, `q35` is any
    `pc-q35-*`. Elements are paired by what identifies them (alias, target, MAC, index), else by what they hold.
    """
    missing: list[str] = []
    _compare(intended, dumped, f"/{_name(intended)}", missing)
    return missing


def _name(element: etree._Element) -> str:
    return etree.QName(element).localname


def _compare(intended: etree._Element, dumped: etree._Element, path: str, missing: list[str]) -> None:
    has_unit = unit_bytes(intended.get("unit", "-")) is not None
    for key, value in ((str(key), str(value)) for key, value in intended.attrib.items()):
        if has_unit and (key == "unit" or _is_same_size(intended, dumped, key)):
            continue
        if not is_same_value(intended, key, value, dumped.get(key)):
            missing.append(f"{path}/@{key}")
    if not (has_unit and size_of(intended) == size_of(dumped)) and not is_same_text(intended, dumped):
        missing.append(f"{path}/text()")
    _compare_children(intended, dumped, path, missing)


def _is_same_size(intended: etree._Element, dumped: etree._Element, key: str) -> bool:
    """An attribute beside `@unit` (`<cell memory='1' unit='GiB'>`)."""
    sizes = [
        integer(element.get(key, ""), -1) * (unit_bytes(element.get("unit", "KiB")) or 0)
        for element in (intended, dumped)
    ]
    return sizes[0] == sizes[1] >= 0


def is_same_text(intended: etree._Element, dumped: etree._Element) -> bool:
    """Whether libvirt reads the same in both texts."""
    if any(isinstance(item.tag, str) for item in intended):
        return True
    wanted, found = intended.text or "", dumped.text or ""
    if wanted == found:
        return True
    wanted, found = wanted.strip(), found.strip()
    if _name(intended) in _FREE_TEXT or etree.QName(intended).namespace:
        return False
    return _plain(wanted) == _plain(found) or (_name(intended) in _CASELESS and wanted.lower() == found.lower())


def _compare_children(intended: etree._Element, dumped: etree._Element, path: str, missing: list[str]) -> None:
    wanted = [item for item in intended if isinstance(item.tag, str)]
    pairs = pair(wanted, [item for item in dumped if isinstance(item.tag, str)])
    for item in wanted:
        place = f"{path}/{_name(item)}{_hint(item, wanted)}"
        twin = pairs.get(item)
        if twin is None:
            missing.append(place)
        else:
            _compare(item, twin, place, missing)


def pair(wanted: list[etree._Element], left: list[etree._Element]) -> dict[etree._Element, etree._Element]:
    """Who became whom: first by identity, then those that lost nothing, then whoever lost least."""
    pairs: dict[etree._Element, etree._Element] = {}
    names = [item.tag for item in wanted]
    for choose in (_identical, _unharmed, _closest):
        for item in wanted:
            is_settled = item in pairs or (choose is _unharmed and names.count(item.tag) == 1)
            twin = None if is_settled else choose(item, left)
            if twin is not None:
                pairs[item] = twin
                left.remove(twin)
    return pairs


def _identical(item: etree._Element, candidates: list[etree._Element]) -> etree._Element | None:
    """The candidate with the same identity."""
    identity = _identity(item)
    if identity is None:
        return None
    same = (other for other in candidates if other.tag == item.tag)
    return next((other for other in same if _identity(other) == identity), None)


def _identity(element: etree._Element) -> tuple[str, ...] | None:
    parent = element.getparent()
    if parent is not None and parent.tag == "devices":
        return identify(element)
    for key in ("id", "name", "vcpu", "iothread", "index", "mac", "address"):
        if element.get(key) is not None:
            return str(element.tag), key, _plain(element.get(key, "")).lower()
    return None


def _unharmed(item: etree._Element, candidates: list[etree._Element]) -> etree._Element | None:
    """A candidate that holds all of it; only looked for where several want one, since it costs a comparison of its own."""
    return next((other for other in _same(item, candidates) if not lost(item, other)), None)


def _closest(item: etree._Element, candidates: list[etree._Element]) -> etree._Element | None:
    """The candidate that lacks least."""
    same = _same(item, candidates)
    return min(same, key=lambda other: len(lost(item, other))) if len(same) > 1 else next(iter(same), None)


def _same(item: etree._Element, candidates: list[etree._Element]) -> list[etree._Element]:
    """Those of the same name whose identity does not say that they are another."""
    return [other for other in candidates if other.tag == item.tag and _may_pair(item, other)]


def _may_pair(item: etree._Element, other: etree._Element) -> bool:
    identity = _identity(item)
    other_identity = _identity(other)
    return identity is None or other_identity is None or identity[:2] != other_identity[:2]


def _hint(element: etree._Element, siblings: list[etree._Element]) -> str:
    """What tells the element from its siblings of the same name."""
    alias = alias_of(element) or attribute(element, "target", "dev") or element.get("name", "")
    if alias:
        return f"[{alias}]"
    same = [item for item in siblings if item.tag == element.tag]
    return f"[{same.index(element) + 1}]" if len(same) > 1 else ""


def is_same_value(element: etree._Element, key: str, wanted: str, found: str | None) -> bool:
    """Whether libvirt reads the same in both values of an attribute."""
    if found is None:
        return False
    if wanted == found or _plain(wanted) == _plain(found):
        return True
    if key in _CASELESS or _name(element) in _CASELESS:
        return wanted.lower() == found.lower()
    if key == "machine":
        prefix = _MACHINE_ALIASES.get(wanted)
        return prefix is not None and found.startswith(prefix)
    return False


def _plain(text: str) -> str:
    """Numbers without leading zeros or base, booleans in one spelling."""
    stripped = text.strip()
    number = integer(stripped, -1)
    return str(number) if number >= 0 else _SPELLINGS.get(stripped, stripped)
