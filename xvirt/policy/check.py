"""Walks a document's final XML and names everything that a profile does not allow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from lxml import etree

from xvirt.domainxml.elements import alias_of, attribute, text_of
from xvirt.model.errors import PolicyRefused
from xvirt.model.identity import MARK_NAMESPACE
from xvirt.model.profiles import PROFILES
from xvirt.policy.allowed import Allowed, Table
from xvirt.policy.dangers import HOST_NAMESPACES, danger_of
from xvirt.policy.other_rules import EMBEDDED, OTHERS
from xvirt.policy.predicates import HostPaths
from xvirt.policy.relations import find_misuse
from xvirt.policy.rules import BASELINE, RESTRICTED

TABLES: Mapping[str, Mapping[str, Table]] = {
    "restricted": {"domain": RESTRICTED, **OTHERS},
    "baseline": {"domain": BASELINE, **OTHERS},
}
"""Profile -> name of a document's root element -> its rules; `privileged` has none."""
GRANT = "`profiles` of the client or of the namespace in the node's config"
"""Where an administrator grants a profile."""
INERT_METADATA = frozenset({MARK_NAMESPACE, "http://libosinfo.org/xmlns/libvirt/domain/1.0"})
"""The node's own mark, and the name of the guest's operating system."""
LISTED_MAX = 20
"""Violations that one message lists."""


@dataclasses.dataclass(frozen=True)
class Violation:
    """One place that a profile denies: its path in the XML, the rule that denies it, what to do, and the profile that allows it."""

    path: str
    rule: str
    remedy: str
    allowed_by: str

    def __str__(self) -> str:
        return f"{self.path}: {self.rule}; {self.remedy}"


def check(root: etree._Element, profile: str, allowed: HostPaths) -> tuple[Violation, ...]:
    """Everything in a document that a profile denies, in document order; `privileged` denies nothing.

    Paths, networks and bridges are allowed where the node computed them (`allowed`); a domain's networks also where they belong to its
    own namespace by name. Raises ValueError for an unknown profile.
    """
    if profile not in PROFILES:
        raise ValueError(f"profile {profile!r} is not one of {', '.join(PROFILES)}")
    if profile == "privileged":
        return ()
    name = etree.QName(root)
    if name.namespace or name.localname not in TABLES[profile]:
        known = ", ".join(TABLES[profile])
        rule = f"a <{name.localname}> is no document that is judged"
        return (Violation(f"/{name.localname}", rule, f"give one of {known}", ""),)
    return tuple(_Judge(root, name.localname, profile, allowed, f"/{name.localname}").judge())


def enforce(root: etree._Element, profile: str, allowed: HostPaths) -> None:
    """Raise PolicyRefused with every place that is denied."""
    violations = check(root, profile, allowed)
    if violations:
        more = len(violations) - LISTED_MAX
        listed = "; ".join(str(item) for item in violations[:LISTED_MAX]) + (f"; and {more} more" if more > 0 else "")
        raise PolicyRefused(f"policy profile {profile} denies {listed}")


class _Judge:
    """One document, or one within another, before one profile's table; `place` is where it stands."""

    def __init__(self, root: etree._Element, kind: str, profile: str, allowed: HostPaths, place: str) -> None:
        self._root = root
        self._place = place
        self._profile = profile
        self._kind = kind
        self._table = TABLES[profile][kind]
        self._allowed = allowed | _own_networks(root) if self._kind == "domain" else allowed

    def judge(self) -> Iterator[Violation]:
        yield from self._element(self._root, "", self._place)
        if self._kind == "domain":
            for place, path, message in find_misuse(self._root):
                yield self._violation(f"{self._place}/{place}", message, path)

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
            elif deeper in EMBEDDED.get(self._kind, ()):
                yield from _Judge(child, "domain", self._profile, self._allowed, below).judge()
            elif deeper == "metadata":
                yield from self._metadata(child, below)
            else:
                yield from self._element(child, deeper, below)

    def _content(self, element: etree._Element, allowed: Allowed, path: str, place: str) -> Iterator[Violation]:
        for key, value in ((str(key), str(value)) for key, value in element.attrib.items()):
            predicate = allowed.attributes.get(key)
            if predicate is None:
                yield self._deny(f"{place}/@{key}", path, "attribute")
            elif not predicate(value, self._allowed):
                yield self._deny(f"{place}/@{key}", path, f"value {_quote(value)}")
        text = _text(element)
        if text.strip() and not allowed.text(text.strip(), self._allowed):
            yield self._deny(place, path, f"value {_quote(text.strip())}")

    def _metadata(self, element: etree._Element, place: str) -> Iterator[Violation]:
        if self._profile != "restricted":
            return
        for child in _elements(element):
            name = etree.QName(child)
            if name.namespace not in INERT_METADATA:
                yield self._deny(f"{place}/{name.localname}", "metadata", "element")

    def _deny(self, place: str, path: str, what: str) -> Violation:
        danger = danger_of(path, self._kind)
        reason = f"{what} is not on the allow-list of {self._profile}" + (f" ({danger})" if danger else "")
        return self._violation(place, reason, path)

    def _deny_namespace(self, place: str, namespace: str) -> Violation:
        danger = HOST_NAMESPACES.get(namespace, "means something that this policy does not know")
        return self._violation(
            place, f"elements of namespace {namespace} are not on the allow-list of {self._profile} ({danger})", "?"
        )

    def _violation(self, place: str, rule: str, path: str) -> Violation:
        wider = self._kind == "domain" and widens(path)
        allowed_by = "baseline" if self._profile == "restricted" and wider else "privileged"
        remedy = f"remove it, or ask an administrator for profile {allowed_by} ({GRANT})"
        return Violation(place, rule, remedy, allowed_by)


def widens(path: str) -> bool:
    """Whether `baseline` allows more at a path than `restricted`."""
    return path == "metadata" or (path in BASELINE and BASELINE[path] != RESTRICTED.get(path))


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
