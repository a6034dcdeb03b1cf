"""The policies for an API server: bound so that each namespace has one profile, and with every typed field that the node would refuse.
What they refuse is shown on a real API server, in tests/cluster/test_policies.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from nodeplugin.judged import judged_xml
from nodeplugin.plan.observation import NodeSettings
from nodeplugin.records import StoredObject
from tests.unit.model.specimens import fields, full
from xvirt import API_VERSION
from xvirt.model.captions import choices, nested_class
from xvirt.model.codec import parse
from xvirt.model.errors import InvalidSpec
from xvirt.model.fields import Attribute, attributes, element_type, is_tree
from xvirt.model.kinds import BY_NAME, Kind
from xvirt.policy import check
from xvirt.policy.admission import JUDGED, PROFILE_LABEL, admission_policies
from xvirt.policy.cel import Judge
from xvirt.policy.check import TABLES

Map = dict[str, Any]
SETTINGS = NodeSettings(
    node_name="node-a", domain_type="qemu", architecture="x86_64", seed_directory="/seeds", log_directory="/logs"
)
POLICIES = list(admission_policies())
KINDS = [BY_NAME["VirtualMachine"], BY_NAME["VirtualNetwork"]]


def applies(binding: Map, labels: Mapping[str, str]) -> bool:
    """A namespace selector's verdict (https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#resources-that-support-set-based-requirements)."""
    (rule,) = binding["spec"]["matchResources"]["namespaceSelector"]["matchExpressions"]
    is_in = labels.get(rule["key"]) in rule["values"]
    return is_in if rule["operator"] == "In" else not is_in


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (None, {"restricted"}),
        ("restricted", {"restricted"}),
        ("no profile", {"restricted"}),
        ("Privileged", {"restricted"}),
        ("baseline", {"baseline"}),
        ("privileged", set()),
    ],
)
def test_a_namespace_has_the_profile_of_its_label_and_else_the_strictest(label: str | None, expected: set[str]) -> None:
    labels = {} if label is None else {PROFILE_LABEL: label}
    bindings = [item for item in POLICIES if item["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert {item["metadata"]["name"].partition(".")[0] for item in bindings if applies(item, labels)} == expected
    assert len(bindings) == len(TABLES) * len(JUDGED)


def test_every_policy_has_its_binding_which_denies() -> None:
    for policy, binding in zip(POLICIES[::2], POLICIES[1::2], strict=True):
        assert binding["spec"]["policyName"] == policy["metadata"]["name"]
        assert binding["spec"]["validationActions"] == ["Deny"]
        assert policy["spec"]["failurePolicy"] == "Fail"


def test_no_refusal_reads_like_an_immutable_field() -> None:
    """Flux deletes and creates what an API server calls Invalid, where `force` is set."""
    for policy in POLICIES[::2]:
        assert {item["reason"] for item in policy["spec"]["validations"]} == {"Forbidden"}


def test_every_refusal_names_place_profile_and_remedy_on_one_line() -> None:
    for policy in POLICIES[::2]:
        for item in policy["spec"]["validations"]:
            assert item["message"].startswith("policy profile ")
            assert "\n" not in item["message"]
            assert f"ask an administrator for a profile that allows it (label {PROFILE_LABEL}" in item["message"] or (
                "ask an administrator for profile " in item["message"] and PROFILE_LABEL in item["message"]
            )


@pytest.mark.parametrize("profile", TABLES)
@pytest.mark.parametrize("root", ["domain", "network"])
def test_every_place_of_a_table_is_in_an_expression(profile: str, root: str) -> None:
    opened = {"devices": "devices"} if root == "domain" else {}
    sections = {item.path: item.expression for item in Judge(TABLES[profile][root], "tree", opened).sections()}
    for path, allowed in TABLES[profile][root].items():
        parts = path.split("/")
        section = sections[next(name for name in ("/".join(parts[:2]), parts[0]) if name in sections)]
        assert all(f"'{part}'" in section or part in path.split("/")[:2] for part in parts)
        told = [name for name, predicate in allowed.attributes.items() if predicate.cel != "false"]
        assert all(f"'@{name}'" in section for name in told), path


# Typed fields


def documents(kind: Kind) -> list[tuple[str, Map]]:
    """(field, document) for every field of a spec and every choice of it, with nothing beside it but what is required."""
    found = []
    for path, item in fields(kind.spec, ()):
        if is_tree(item.annotation) or nested_class(item.annotation) is not None:
            continue
        for value in choices(item) or [""]:
            name = ".".join(f"{part}" for part in path if isinstance(part, str))
            spec = spec_with(kind.spec, [part for part in path if isinstance(part, str)], value)
            found.append((name + (f": {value}" if value else ""), document_of(kind, spec)))
    return found


def document_of(kind: Kind, spec: Map) -> Map:
    metadata = {"name": "web", "namespace": "default"}
    return {"apiVersion": API_VERSION, "kind": kind.name, "metadata": metadata, "spec": spec}


def spec_with(cls: type, path: list[str], choice: str) -> Map:
    """The least map of a class that has the field at a path."""
    sample = full(cls)
    least = {item.json_name: sample[item.json_name] for item in attributes(cls) if item.is_required}
    item = next(item for item in attributes(cls) if item.json_name == path[0])
    return least | {path[0]: _value(item, sample, path[1:], choice)}


def _value(item: Attribute, sample: Map, rest: list[str], choice: str) -> Any:
    inner = nested_class(item.annotation)
    if rest and inner is not None:
        value = spec_with(inner, rest, choice)
        return [value] if element_type(item.annotation) else value
    if not choice:
        return sample[item.json_name]
    return [choice] if element_type(item.annotation) else choice


SUBNETS = {"subnets": [{"address": "192.0.2.1/24"}]}
COMPANIONS: Mapping[str, Map] = {
    "cpu": {"cpu": {"model": "host-model"}},
    "firmware": {"firmware": {"type": "Uefi"}},
    "disks": {"disks": [{"source": {"size": "1Gi"}}]},
    "disks.source.path": {"disks": [{"source": {"size": None}}]},
    "disks.source.disk": {"disks": [{"source": {"size": None}}]},
    "disks.source.copy": {"disks": [{"source": {"image": "debian"}}]},
    "disks.io: native": {"disks": [{"cache": "none"}]},
    "disks.ioThread": {"ioThreads": 1},
    "disks.ioLimits.iopsSize": {"disks": [{"ioLimits": {"totalIops": {"perSecond": 100}}}]},
    "disks.ioLimits.group": {"disks": [{"ioLimits": {"totalIops": {"perSecond": 100}}}]},
    "nics": {"nics": [{"network": "lan"}]},
    "nics.libvirtNetwork": {"nics": [{"network": None}]},
    "nics.bridge": {"nics": [{"network": None}]},
    "nics.adopted": {"nics": [{"mac": "02:00:5e:10:00:01"}]},
    "cloudInit.userData.key": {"cloudInit": {"userData": {"secret": "web"}}},
    "cloudInit.networkData.key": {"cloudInit": {"networkData": {"secret": "web"}}},
    "readinessProbe": {"readinessProbe": {"tcpSocket": {"port": 22}}},
    "readinessProbe.httpGet": {"readinessProbe": {"tcpSocket": None}},
    "readinessProbe.exec": {"readinessProbe": {"tcpSocket": None}},
    "livenessProbe": {"livenessProbe": {"tcpSocket": {"port": 22}}},
    "livenessProbe.httpGet": {"livenessProbe": {"tcpSocket": None}},
    "livenessProbe.exec": {"livenessProbe": {"tcpSocket": None}},
    "": SUBNETS,
    "bridge": {"mode": "Bridge", "subnets": None},
    "vlan": {"mode": "Bridge", "bridge": "br0", "subnets": None},
    "mode: Bridge": {"bridge": "br0", "subnets": None},
    "subnets": {"subnets": None},
}
"""What a field needs beside it so that the document keeps the rules across fields, by the longest beginning of its name."""
UNREACHED = ("disks.device: Cdrom", "disks.ioLimits.", "disks.adopted")
"""Of some of these no valid document is made; they name nothing of the host."""


def laid_under(value: Any, companion: Any) -> Any:
    """The value with what it has not of its companion; None in a companion: nothing is wanted there."""
    if isinstance(value, list) and isinstance(companion, list):
        return [laid_under(entry, companion[0]) for entry in value]
    if not isinstance(value, dict) or not isinstance(companion, dict):
        return value
    wanted = {key: entry for key, entry in companion.items() if entry is not None}
    return {**wanted, **{key: laid_under(entry, wanted.get(key)) for key, entry in value.items()}}


def with_companions(name: str, kind: Kind, spec: Map) -> Map:
    known = [key for key in COMPANIONS if name.startswith(key) and (key or kind.name == "VirtualNetwork")]
    companion: Any = {}
    for key in sorted(known, key=len):
        companion = merged(companion, COMPANIONS[key])
    return laid_under(spec, companion)  # type: ignore[no-any-return]


def merged(one: Any, other: Any) -> Any:
    if isinstance(one, list) and isinstance(other, list):
        return [merged(one[0], other[0])]
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{key: merged(one[key], entry) if key in one else entry for key, entry in other.items()}}
    return other


def verdicts(kind: Kind) -> Mapping[str, bool | None]:
    """Field -> whether the node refuses it; None for one that no valid document was found for."""
    found: dict[str, bool | None] = {}
    for name, document in documents(kind):
        document["spec"] = with_companions(name, kind, document["spec"])
        try:
            resource = parse(document)
        except InvalidSpec:
            found[name] = None
            continue
        judged = judged_xml(stored(document), resource, SETTINGS)
        assert judged is not None
        found[name] = bool(check(judged.root, "restricted", judged.allowed))
    return found


def stored(document: Map) -> StoredObject:
    return StoredObject(
        uid="6ba7b810-9dad-41d1-80b4-00c04fd430c8",
        authority="local",
        kind=document["kind"],
        namespace="default",
        name="web",
        document=document,
        generation=1,
        epoch=0,
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_row_73_every_typed_field_that_reaches_for_the_host_is_told_to_the_api_server(kind: Kind) -> None:
    (judged,) = [item for item in JUDGED if item.resource == kind.plural]
    told = {rule.path.removeprefix("spec.").replace("[]", "") for rule in judged.typed}
    told |= {"bridge", "vlan"} if "mode: Bridge" in told else set()  # which that mode alone has
    found = verdicts(kind)
    refused = {name for name, verdict in found.items() if verdict}
    assert {name for name in refused if not any(name.startswith(path) for path in told)} == set()
    assert {path for path in told if not any(name.startswith(path) for name in refused)} == set()
    assert all(name.startswith(UNREACHED) for name, verdict in found.items() if verdict is None)
