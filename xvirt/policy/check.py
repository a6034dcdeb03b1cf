"""Walks a domain's final XML and names everything that a profile does not allow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from lxml import etree

from xvirt.domainxml.elements import alias_of, attribute, text_of
from xvirt.model.errors import PolicyRefused
from xvirt.model.identity import MARK_NAMESPACE
from xvirt.policy.dangers import HOST_NAMESPACES, danger_of
from xvirt.policy.predicates import HostPaths, plain
from xvirt.policy.relations import find_misuse
from xvirt.policy.rules import BASELINE, RESTRICTED, Allowed

PROFILES = ("restricted", "baseline", "privileged")
_TABLES: Mapping[str, Mapping[str, Allowed]] = {"restricted": RESTRICTED, "baseline": BASELINE}
_INERT_METADATA = frozenset({MARK_NAMESPACE, "http://libosinfo.org/xmlns/libvirt/domain/1.0"})
"""The node's own mark, and the name of the guest's operating system."""
LISTED_MAX = 20
"""Violations that one message lists."""


@dataclasses.dataclass(frozen=True)
class Violation:
    """One place that a profile denies: its path in the XML, the rule that denies it, and what to do."""

    path: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: {self.rule}; {self.remedy}"


def check(root: etree._Element, profile: str, allowed: HostPaths) -> tuple[Violation, ...]:
    """Everything in a domain that a profile denies, in document order; `privileged` denies nothing.

    Networks are allowed where the node computed them (`allowed`) or where they belong to the domain's own namespace by name.
    Raises ValueError for an unknown profile.
    """
    if profile not in PROFILES:
        raise ValueError(f"profile {profile!r} is not one of {', '.join(PROFILES)}")
    if profile == "privileged":
        return ()
    return tuple(_Judge(root, profile, allowed).judge())


def enforce(root: etree._Element, profile: str, allowed: HostPaths) -> None:
    """Raise PolicyRefused with every place that is denied."""
    violations = check(root, profile, allowed)
    if violations:
        more = len(violations) - LISTED_MAX
        listed = "; ".join(str(item) for item in violations[:LISTED_MAX]) + (f"; and {more} more" if more > 0 else "")
        raise PolicyRefused(f"policy profile {profile} denies {listed}")


class _Judge:
    """One domain before one profile's table."""

    def __init__(self, root: etree._Element, profile: str, allowed: HostPaths) -> None:
        self._root = root
        self._profile = profile
        self._table = _TABLES[profile]
        self._allowed = allowed | _own_networks(root)

    def judge(self) -> Iterator[Violation]:
        name = etree.QName(self._root)
        if name.localname != "domain" or name.namespace:
            yield Violation(f"/{name.localname}", "only a domain is judged", "give a <domain>")
            return
        yield from self._element(self._root, "", "/domain")
        for place, path, message in find_misuse(self._root):
            yield Violation(f"/domain/{place}", message, self._remedy(path))

    def _element(self, element: etree._Element, path: str, place: str) -> Iterator[Violation]:
        allowed = self._table.get(path)
        if allowed is None:
            yield self._deny(place, path, "element")
            return
        yield from self._content(element, allowed, path, place)
        for child in _elements(element):
            name = etree.QName(child)
            below = f"{place}/{name.localname}{_hint(child)}"
            deeper = f"{path}/{name.localname}" if path else name.localname
            if name.namespace:
                yield self._deny_namespace(below, str(name.namespace))
            elif deeper == "metadata":
                yield from self._metadata(child, below)
            elif allowed.is_plain_below and deeper not in self._table:
                yield from self._plain(child, deeper, below)
            else:
                yield from self._element(child, deeper, below)

    def _content(self, element: etree._Element, allowed: Allowed, path: str, place: str) -> Iterator[Violation]:
        for key, value in ((str(key), str(value)) for key, value in element.attrib.items()):
            predicate = allowed.attributes.get(key, plain if allowed.is_plain_below else None)
            if predicate is None:
                yield self._deny(f"{place}/@{key}", path, "attribute")
            elif not predicate(value, self._allowed):
                yield self._deny(f"{place}/@{key}", path, f"value {_quote(value)}")
        text = _text(element)
        if text.strip() and not allowed.text(text.strip(), self._allowed):
            yield self._deny(place, path, f"value {_quote(text.strip())}")

    def _plain(self, element: etree._Element, path: str, place: str) -> Iterator[Violation]:
        """Below an element that holds settings of the guest only: words and numbers, whatever their names."""
        for item in element.iter():
            if not isinstance(item.tag, str):
                continue
            if namespace := etree.QName(item).namespace:
                yield self._deny_namespace(place, str(namespace))
            for value in (*(str(value) for value in item.attrib.values()), _text(item)):
                if not plain(value, self._allowed):
                    yield self._deny(place, path, f"value {_quote(value)}")

    def _metadata(self, element: etree._Element, place: str) -> Iterator[Violation]:
        if self._profile != "restricted":
            return
        for child in _elements(element):
            name = etree.QName(child)
            if name.namespace not in _INERT_METADATA:
                yield self._deny(f"{place}/{name.localname}", "metadata", "element")

    def _deny(self, place: str, path: str, what: str) -> Violation:
        danger = danger_of(path)
        reason = f"{what} is not on the allow-list of {self._profile}" + (f" ({danger})" if danger else "")
        return Violation(place, reason, self._remedy(path))

    def _deny_namespace(self, place: str, namespace: str) -> Violation:
        danger = HOST_NAMESPACES.get(namespace, "means something that this policy does not know")
        rule = f"elements of namespace {namespace} are not on the allow-list of {self._profile} ({danger})"
        return Violation(place, rule, self._remedy(""))

    def _remedy(self, path: str) -> str:
        wider = "baseline" if self._profile == "restricted" and path in BASELINE and path not in RESTRICTED else ""
        return f"remove it, or ask an administrator for profile {wider or 'privileged'}"


def _own_networks(root: etree._Element) -> HostPaths:
    """Networks of the domain's own namespace: both are named `<namespace>_<name>` (`xvirt.model.identity.host_name`)."""
    namespace, separator, _ = text_of(root, "name").partition("_")
    names = {attribute(item, "source", "network") for item in root.iterfind("devices/interface")}
    return frozenset(name for name in names if separator and name.startswith(f"{namespace}_"))


def _elements(element: etree._Element) -> Iterator[etree._Element]:
    return (item for item in element if isinstance(item.tag, str))


def _text(element: etree._Element) -> str:
    """All text directly within the element, whichever comments or children it stands between."""
    return "".join([element.text or "", *(item.tail or "" for item in element)])


def _hint(element: etree._Element) -> str:
    name = alias_of(element) or attribute(element, "target", "dev") or attribute(element, "target", "name")
    return f"[{name}]" if name else ""


def _quote(value: str) -> str:
    return repr(value if len(value) <= 80 else value[:77] + "...")
