"""What the API server refuses by itself: each danger of the policy's tests, on both paths, and nothing that the node would accept."""

from __future__ import annotations

from typing import Any

import pytest

from nodeplugin.judged import judged_xml
from nodeplugin.plan.observation import NodeSettings
from nodeplugin.records import StoredObject
from tests.cluster.deployment import PROFILES, is_refused, machine, network, refusal
from tests.unit.policy.test_policy import CHARACTER_DEVICES, CHARACTER_SOURCES, DEVICES, GENERAL
from tools.cluster.controlplane import ControlPlane
from xvirt.domainxml.tree import parse_xml, to_tree
from xvirt.model.codec import parse
from xvirt.model.errors import InvalidSpec, PolicyRefused
from xvirt.policy import enforce
from xvirt.policy.check import TABLES
from xvirt.policy.predicates import Predicate

SETTINGS = NodeSettings(
    node_name="node-a", domain_type="qemu", architecture="x86_64", seed_directory="/seeds", log_directory="/logs"
)
SEEN_BY_THE_NODE_ALONE = {"more memory", "memory beyond its size", "shared disk"}
"""Sums over a whole domain; and an alias that is a typed disk's, which is no matter of policy."""
DENYING = PROFILES[:2]


def tree(general: str = "", devices: str = "") -> Any:
    root = parse_xml(f"<domain type='kvm'>{general}<devices>{devices}</devices></domain>")
    return {key: value for key, value in to_tree(root).items() if key != "@type"}


def examples() -> dict[str, Any]:
    """Every danger of the policy's own tests, as an overlay."""
    found = {name: tree(text) for name, text in GENERAL.items()}
    found |= {name: tree(devices=text) for name, text in DEVICES.items()}
    for device in CHARACTER_DEVICES:
        for kind, source in CHARACTER_SOURCES.items():
            found[f"{device} of type {kind}"] = tree(devices=f"<{device} type='{kind}'>{source}</{device}>")
    return found


EXAMPLES = examples()


def is_refused_by_the_node(document: dict[str, Any], profile: str) -> bool:
    """As `Apply` does, for whatever reason of its content."""
    try:
        resource = parse(document)
        judged = judged_xml(stored(document, profile), resource, SETTINGS)
        assert judged is not None
        enforce(judged.root, profile, judged.allowed)
    except (PolicyRefused, InvalidSpec):
        return True
    return False


def stored(document: dict[str, Any], profile: str) -> StoredObject:
    metadata = document["metadata"]
    return StoredObject(
        uid="6ba7b810-9dad-41d1-80b4-00c04fd430c8",
        authority="local",
        kind=document["kind"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        document=document,
        generation=1,
        epoch=0,
        profile=profile,
    )


@pytest.mark.parametrize("profile", DENYING)
def test_row_73_every_danger_is_refused_on_both_paths(installed: ControlPlane, profile: str) -> None:
    by_node = {name for name, item in EXAMPLES.items() if is_refused_by_the_node(machine(profile, item), profile)}
    by_server = {name for name, item in EXAMPLES.items() if is_refused(installed.api, machine(profile, item))}
    assert by_server - by_node == set()
    assert by_node - by_server <= SEEN_BY_THE_NODE_ALONE
    assert len(by_server) > 150


def test_row_73_a_privileged_namespace_may_declare_all_of_it(installed: ControlPlane) -> None:
    assert [name for name, item in EXAMPLES.items() if is_refused(installed.api, machine("privileged", item))] == []


TYPED = {
    "a file of the host": {"disks": [{"name": "root", "source": {"path": "/etc/shadow"}}]},
    "a device of the host": {"disks": [{"name": "root", "source": {"path": "/dev/sda"}}]},
    "a bridge of the host": {"nics": [{"name": "lan", "bridge": "br0"}]},
    "another's network": {"nics": [{"name": "lan", "libvirtNetwork": "default"}]},
}


@pytest.mark.parametrize("profile", DENYING)
@pytest.mark.parametrize("spec", TYPED.values(), ids=TYPED)
def test_row_73_a_typed_reference_to_the_host_is_refused_by_its_field(
    installed: ControlPlane, spec: dict[str, Any], profile: str
) -> None:
    found = refusal(installed.api, machine(profile, **spec))
    assert found is not None
    assert found.reason == "Forbidden"
    assert f"policy profile {profile} denies spec." in str(found)
    assert "ask an administrator for profile privileged (label xvirt.io/policy-profile of the namespace)" in str(found)
    assert is_refused_by_the_node(machine(profile, **spec), profile)
    assert refusal(installed.api, machine("privileged", **spec)) is None


NETWORKS: dict[str, dict[str, Any]] = {
    "a bridge of the host": {"mode": "Bridge", "bridge": "br0"},
    "a route of the host": {
        "subnets": [{"address": "192.0.2.1/24"}],
        "routes": [{"destination": "198.51.100.0/24", "gateway": "192.0.2.7"}],
    },
    "options of dnsmasq": {
        "network": {
            "dns:options": {
                "@xmlns:dns": "http://libvirt.org/schemas/network/dnsmasq/1.0",
                "dns:option": [{"@value": "dhcp-script=/bin/sh"}],
            }
        }
    },
    "files served": {"network": {"ip": [{"@address": "192.0.2.1", "tftp": {"@root": "/etc"}}]}},
    "a device of the host": {"network": {"forward": {"@dev": "eth0"}}},
}


@pytest.mark.parametrize("profile", DENYING)
@pytest.mark.parametrize("spec", NETWORKS.values(), ids=NETWORKS)
def test_row_73_a_network_that_reaches_for_the_host_is_refused_on_both_paths(
    installed: ControlPlane, spec: dict[str, Any], profile: str
) -> None:
    assert is_refused(installed.api, network(profile, **spec))
    assert is_refused_by_the_node(network(profile, **spec), profile)
    assert refusal(installed.api, network("privileged", **spec)) is None


def test_a_refusal_names_what_is_denied_and_who_grants_it(installed: ControlPlane) -> None:
    wanted = {"cputune": {"shares": "9"}, "qemu:commandline": {}, "devices": {"hostdev": [{}], "emulator": "/bin/sh"}}
    found = refusal(installed.api, machine("restricted", wanted))
    assert found is not None
    assert found.code == 403
    message = str(found).partition("policy profile restricted denies ")[2]
    places, _, rest = message.partition(": ")
    assert set(places.split(", ")) == {"/domain/cputune", "/domain/qemu:commandline"}
    assert rest == (
        "not on the allow-list of restricted; remove it, or ask an administrator for a profile that allows it"
        " (label xvirt.io/policy-profile of the namespace)"
    )


def test_a_value_that_is_no_text_is_refused_before_it_is_stored(installed: ControlPlane) -> None:
    found = refusal(installed.api, machine("restricted", {"devices": {"memballoon": {"@autodeflate": True}}}))
    assert found is not None
    assert "/domain/devices/memballoon" in str(found)
    assert "quote it" in str(found)


# What is allowed


def sample(predicate: Predicate) -> str | None:
    """A value that a predicate takes of anybody; None where it takes only what the node computed."""
    chosen = predicate.words.split("`")[1::2]
    candidates = [*chosen, "1", "yes", "52:54:00:00:00:01", "192.0.2.1", "vda", "some-word"]
    return next((value for value in candidates if predicate(value, frozenset())), None)


def at(path: str, node: Any) -> Any:
    """A tree with a node at a path."""
    for name in reversed(path.split("/")):
        node = {name: node}
    return node


@pytest.mark.parametrize("profile", DENYING)
@pytest.mark.parametrize("root", ["domain", "network"])
def test_everything_on_the_allow_list_passes(installed: ControlPlane, root: str, profile: str) -> None:
    refused = []
    for path, allowed in TABLES[profile][root].items():
        values = {f"@{name}": sample(predicate) for name, predicate in allowed.attributes.items()}
        node = {key: value for key, value in values.items() if value is not None}
        text = sample(allowed.text)
        content = node | ({"#text": text} if text and allowed.text.words else {})
        overlay = at(path, content) if path else content
        document = machine(profile, overlay) if root == "domain" else network(profile, network=overlay)
        if is_refused(installed.api, document):
            refused.append(path)
    assert refused == []


@pytest.mark.parametrize("profile", DENYING)
@pytest.mark.parametrize("root", ["domain", "network"])
def test_a_path_of_the_host_is_refused_as_the_value_of_every_place_but_titles(
    installed: ControlPlane, root: str, profile: str
) -> None:
    passed = set()
    for path, allowed in TABLES[profile][root].items():
        for place in [*(f"@{name}" for name in allowed.attributes), "#text"]:
            overlay = at(path, {place: "/etc/shadow"}) if path else {place: "/etc/shadow"}
            document = machine(profile, overlay) if root == "domain" else network(profile, network=overlay)
            if not is_refused(installed.api, document):
                predicate = allowed.text if place == "#text" else allowed.attributes[place[1:]]
                assert predicate("/etc/shadow", frozenset()), (path, place)
                passed.add(path)
    assert {path.rpartition("/")[2] for path in passed} <= {
        *("name", "title", "description", "vendor", "product", "txt", "entry")
    }


@pytest.mark.parametrize("as_list", [False, True])
def test_elements_are_judged_whether_one_or_several_stand_there(installed: ControlPlane, as_list: bool) -> None:
    def several(node: Any) -> Any:
        return [node, node] if as_list else node

    good = {"devices": several({"sound": several({"@model": "ich9"})})}
    bad = {"devices": several({"sound": several({"@model": "/dev/snd"})})}
    assert not is_refused(installed.api, machine("restricted", good))
    assert is_refused(installed.api, machine("restricted", bad))


def test_patches_comments_and_order_are_no_elements(installed: ControlPlane) -> None:
    overlay = {
        "#comment": ["of mine"],
        "$order": "devices",
        "pm": {"$patch": "delete"},
        "devices": {"memballoon": {"$patch": "replace", "@model": "none"}},
    }
    assert not is_refused(installed.api, machine("restricted", overlay))


def test_metadata_of_other_tools_needs_baseline_and_the_guests_system_does_not(installed: ControlPlane) -> None:
    nova = {"metadata": {"nova:instance": {"@xmlns:nova": "http://openstack.org/xmlns/libvirt/nova/1.1"}}}
    guest = {"metadata": {"os:libosinfo": {"@xmlns:os": "http://libosinfo.org/xmlns/libvirt/domain/1.0"}}}
    assert is_refused(installed.api, machine("restricted", nova))
    assert not is_refused(installed.api, machine("baseline", nova))
    assert not is_refused(installed.api, machine("restricted", guest))


def test_a_network_of_the_own_namespace_may_be_named_and_no_other(installed: ControlPlane) -> None:
    def card(name: str) -> Any:
        return {"devices": {"interface": [{"@type": "network", "source": {"@network": name}}]}}

    assert not is_refused(installed.api, machine("restricted", card("restricted_lan")))
    assert is_refused(installed.api, machine("restricted", card("restrictedx_lan")))
    assert is_refused(installed.api, machine("restricted", card("default")))


def test_what_was_accepted_stays_and_can_be_labelled_after_the_profile_is_taken_away(installed: ControlPlane) -> None:
    api = installed.api
    place = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demoted"}}
    api.create({**place, "metadata": {"name": "demoted", "labels": {"xvirt.io/policy-profile": "privileged"}}})
    document = machine("demoted", {"devices": {"emulator": "/bin/sh"}})
    api.create(document)
    api.merge(place, {"metadata": {"labels": {"xvirt.io/policy-profile": None}}})
    api.merge(document, {"metadata": {"labels": {"a": "b"}, "finalizers": ["example.org/x"]}})
    api.merge(document, {"metadata": {"finalizers": []}})
    assert is_refused(api, machine("demoted", {"devices": {"emulator": "/bin/sh"}}, "other"))
    api.delete(document)


def test_a_large_overlay_stays_within_what_the_api_server_spends_on_a_policy(installed: ControlPlane) -> None:
    disks = [
        {
            "@device": "disk",
            "target": {"@dev": f"vd{chr(97 + n % 26)}"},
            "alias": {"@name": f"ua-disk-{n}"},
            "serial": "x" * 100,
        }
        | {"driver": {"@name": "qemu", "@type": "qcow2", "@cache": "none", "@io": "native", "@discard": "unmap"}}
        | {"iotune": {f"{way}_iops_sec": "1000" for way in ("read", "write")}}
        for n in range(256)
    ]
    overlay = {"description": "x" * 200_000, "devices": {"disk": disks}}
    assert not is_refused(installed.api, machine("restricted", overlay))
    disks[-1]["@device"] = "lun"
    assert is_refused(installed.api, machine("restricted", overlay))
