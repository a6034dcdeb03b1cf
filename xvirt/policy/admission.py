"""ValidatingAdmissionPolicies made from the rules: what an API server refuses before anybody stores it.

One policy per profile and kind, bound to namespaces by their label `xvirt.io/policy-profile`; a namespace without one, or with a value
that is no profile, is `restricted`. The node plugin judges every document again, by the XML that comes out (`xvirt.policy.check`).

A refusal's reason is `Forbidden`, never `Invalid`: GitOps tools take an invalid object for one that must be deleted and made anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from xvirt import API_GROUP, API_VERSION
from xvirt.policy.cel import METADATA, Judge, Section, metadata_is_inert, nodes_at
from xvirt.policy.check import INERT_METADATA, TABLES, widens
from xvirt.policy.dangers import danger_of

PROFILE_LABEL = f"{API_GROUP}/policy-profile"
_VERSION = API_VERSION.partition("/")[2]
_TREE = "variables.tree"
_DEVICES = "variables.devices"
Document = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class TypedRule:
    """A typed field that reaches for the host: the expression that is true where it does not, its path, and why it is kept."""

    expression: str
    path: str
    danger: str


@dataclasses.dataclass(frozen=True)
class JudgedKind:
    """A kind whose documents are judged: its resource, the root of its XML, the field of its tree, and its typed fields."""

    resource: str
    root: str
    tree: str
    typed: tuple[TypedRule, ...]


def _no_entry(items: str, field: str) -> str:
    return f"!has(object.spec.{items}) || object.spec.{items}.all(i, !has(i.{field}))"


JUDGED = (
    JudgedKind(
        "virtualmachines",
        "domain",
        "domain",
        (
            TypedRule(
                "!has(object.spec.disks) || object.spec.disks.all(i, !has(i.source) || !has(i.source.path))",
                "spec.disks[].source.path",
                "reads and writes a file or device of the host",
            ),
            TypedRule(_no_entry("nics", "libvirtNetwork"), "spec.nics[].libvirtNetwork", "joins a network of the host"),
            TypedRule(_no_entry("nics", "bridge"), "spec.nics[].bridge", "joins a bridge of the host"),
        ),
    ),
    JudgedKind(
        "virtualnetworks",
        "network",
        "network",
        (
            TypedRule(
                "!has(object.spec.mode) || object.spec.mode != 'Bridge'",
                "spec.mode: Bridge",
                "takes a bridge of the host",
            ),
            TypedRule(
                "!has(object.spec.routes) || object.spec.routes.size() == 0",
                "spec.routes",
                danger_of("route", "network"),
            ),
        ),
    ),
)


def admission_policies() -> Iterator[Document]:
    """Every policy, each followed by its binding."""
    for kind in JUDGED:
        for profile in TABLES:
            policy = _policy(kind, profile)
            yield policy
            yield _binding(policy["metadata"]["name"], kind, profile)


def _policy(kind: JudgedKind, profile: str) -> Document:
    variables = [{"name": "tree", "expression": f"has(object.spec.{kind.tree}) ? object.spec.{kind.tree} : {{}}"}]
    opened = {}
    if kind.root == "domain":
        variables.append({"name": "devices", "expression": nodes_at(_TREE, "devices")})
        opened = {"devices": _DEVICES}
    judge = Judge(TABLES[profile][kind.root], _TREE, opened)
    strangers = list(judge.strangers())
    variables += [{"name": _strangers(item), "expression": item.expression} for item in strangers]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": f"{profile}.{kind.resource}.{API_GROUP}"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [_resource_rule(kind)]},
            "matchConditions": [
                {"name": "spec-changes", "expression": "request.operation == 'CREATE' || object.spec != oldObject.spec"}
            ],
            "variables": variables,
            "validations": [
                *(_typed(kind, rule, profile) for rule in kind.typed),
                *(_unknown(kind, item, profile) for item in strangers),
                *(_section(kind, item, profile) for item in judge.sections()),
                *_metadata(kind, profile),
            ],
        },
    }


def _resource_rule(kind: JudgedKind) -> Document:
    return {
        "apiGroups": [API_GROUP],
        "apiVersions": [_VERSION],
        "operations": ["CREATE", "UPDATE"],
        "resources": [kind.resource],
    }


def _strangers(item: Section) -> str:
    return f"unknown_{item.path or 'top'}"


def _typed(kind: JudgedKind, rule: TypedRule, profile: str) -> Document:
    return _validation(rule.expression, f"{rule.path}: {rule.danger}; {_remedy('profile privileged')}", profile)


def _unknown(kind: JudgedKind, item: Section, profile: str) -> Document:
    """Named like the node's own refusal, as far as names go."""
    start = f"policy profile {profile} denies "
    rest = f": not on the allow-list of {profile}; {_remedy('a profile that allows it')}"
    named = f"variables.{_strangers(item)}.split(', ').map(p, '/{kind.root}' + p).join(', ')"
    return {
        "expression": f"variables.{_strangers(item)} == ''",
        "messageExpression": f"'{start}' + {named} + '{rest}'",
        "message": f"{start}an element{rest}",
        "reason": "Forbidden",
    }


def _section(kind: JudgedKind, item: Section, profile: str) -> Document:
    place = f"/{kind.root}/{item.path}".rstrip("/")
    danger = danger_of(item.path, kind.root) if item.path else ""
    reason = f"something in it is not on the allow-list of {profile}, or is no text (quote it)" + (
        f"; what is kept out {danger}" if danger else ""
    )
    wider = (
        "profile baseline or privileged"
        if profile == "restricted" and kind.root == "domain" and _widens_below(item.path)
        else "profile privileged"
    )
    return _validation(item.expression, f"{place}: {reason}; {_remedy(wider)}", profile)


def _widens_below(path: str) -> bool:
    return any(widens(item) for item in TABLES["baseline"]["domain"] if item == path or item.startswith(f"{path}/"))


def _metadata(kind: JudgedKind, profile: str) -> Iterator[Document]:
    if profile == "restricted":
        expression = metadata_is_inert(nodes_at(_TREE, METADATA), INERT_METADATA)
        text = f"/{kind.root}/{METADATA}: {danger_of(METADATA, kind.root)}; {_remedy('profile baseline')}"
        yield _validation(expression, text, profile)


def _validation(expression: str, text: str, profile: str) -> Document:
    return {"expression": expression, "message": f"policy profile {profile} denies {text}", "reason": "Forbidden"}


def _remedy(profile: str) -> str:
    return f"remove it, or ask an administrator for {profile} (label {PROFILE_LABEL} of the namespace)"


def _binding(policy: str, kind: JudgedKind, profile: str) -> Document:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": policy},
        "spec": {
            "policyName": policy,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchExpressions": [_selector(profile)]}},
        },
    }


def _selector(profile: str) -> Mapping[str, Any]:
    """The strictest profile is everybody's who has no other: by a value that is none, too."""
    if profile == "restricted":
        return {"key": PROFILE_LABEL, "operator": "NotIn", "values": ["baseline", "privileged"]}
    return {"key": PROFILE_LABEL, "operator": "In", "values": [profile]}
