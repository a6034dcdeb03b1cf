"""Walks a domain and names everything that a profile does not allow."""

from __future__ import annotations

import dataclasses

from lxml import etree

from xvirt.model.errors import PolicyRefused
from xvirt.policy.rules import (
    BASELINE,
    BASELINE_SUBTREES,
    RESTRICTED,
    RESTRICTED_SUBTREES,
    RESTRICTED_TEXT,
    Predicate,
)

PROFILES = ("restricted", "baseline", "privileged")
VIOLATIONS_MAX = 20


@dataclasses.dataclass(frozen=True)
class Violation:
    """One place that is denied: path in the XML, the rule, what to do."""

    path: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: {self.rule}; {self.remedy}"


@dataclasses.dataclass(frozen=True)
class _Profile:
    name: str
    elements: dict[str, dict[str, Predicate]]
    subtrees: frozenset[str]


_JUDGED = {
    "restricted": _Profile("restricted", RESTRICTED, RESTRICTED_SUBTREES),
    "baseline": _Profile("baseline", RESTRICTED | BASELINE, RESTRICTED_SUBTREES | BASELINE_SUBTREES),
}


def check(root: etree._Element, profile: str, own: frozenset[str]) -> tuple[Violation, ...]:
    """What a profile denies in a domain. `own` holds the paths and network names that the node computed itself.

    Raises ValueError for an unknown profile.
    """
    if profile == "privileged":
        return ()
    if profile not in _JUDGED:
        raise ValueError(f"profile {profile!r} is not one of {', '.join(PROFILES)}")
    found: list[Violation] = []
    _walk(root, "", _JUDGED[profile], own, found)
    return tuple(found[:VIOLATIONS_MAX])


def enforce(root: etree._Element, profile: str, own: frozenset[str]) -> None:
    """Raise PolicyRefused with every place that is denied."""
    violations = check(root, profile, own)
    if violations:
        listed = "; ".join(str(item) for item in violations)
        raise PolicyRefused(f"policy profile {profile} denies {listed}")


def _walk(element: etree._Element, above: str, profile: _Profile, own: frozenset[str], found: list[Violation]) -> None:
    if not isinstance(element.tag, str):
        return
    name = etree.QName(element)
    path = f"{above}/{name.localname}" if above else name.localname
    if path == "domain/metadata":
        return
    if name.namespace:
        found.append(_deny(path, f"elements of namespace {name.namespace} reach past libvirt to the host", profile))
        return
    if path in profile.subtrees:
        _check_names(element, path, profile, found)
        return
    attributes = profile.elements.get(path)
    if attributes is None:
        found.append(_deny(path, "is not on the list of what it may use", profile))
        return
    for key, value in ((str(key), str(value)) for key, value in element.attrib.items()):
        predicate = attributes.get(str(key))
        if predicate is None or not predicate(str(value), own):
            found.append(_deny(f"{path}/@{key}", f"may not be {str(value)!r}", profile))
    text = RESTRICTED_TEXT.get(path)
    if text is not None and not text((element.text or "").strip(), own):
        found.append(_deny(path, f"may not be {(element.text or '').strip()!r}", profile))
    for child in element:
        _walk(child, path, profile, own, found)


def _check_names(element: etree._Element, path: str, profile: _Profile, found: list[Violation]) -> None:
    """Within a harmless subtree only foreign namespaces and host paths are looked for."""
    for item in element.iter():
        if not isinstance(item.tag, str):
            continue
        if etree.QName(item).namespace:
            found.append(_deny(path, "holds elements of a foreign namespace", profile))
        values = [str(value) for value in item.attrib.values()] + [(item.text or "").strip()]
        if any(value.startswith("/") for value in values):
            found.append(_deny(path, "holds a path of the host", profile))


def _deny(path: str, rule: str, profile: _Profile) -> Violation:
    return Violation(path, rule, f"remove it, or ask an administrator for a profile above {profile.name}")
