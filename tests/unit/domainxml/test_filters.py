"""Which cards are held to their own addresses, and that no overlay gets around it."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from xvirt.domainxml.context import DomainContext, NetworkBacking
from xvirt.domainxml.domain import render_domain
from xvirt.domainxml.filters import OWN_ADDRESSES, OWN_MAC, check_guarded, filters_of
from xvirt.domainxml.overlay import apply_overlay
from xvirt.model.codec import parse
from xvirt.model.errors import InvalidSpec
from xvirt.model.virtualnetwork import fixed_leases, is_guarded

MAC = "02:00:5e:10:00:01"
GUARDED = NetworkBacking(bridge="br0", is_guarded=True, leases={MAC: ("192.0.2.9",)})


def _domain(backing: NetworkBacking = GUARDED, **nic: Any) -> etree._Element:
    context = DomainContext(
        uuid="6ba7b810-9dad-41d1-80b4-00c04fd430c8",
        name="default_web",
        domain_type="qemu",
        architecture="x86_64",
        disks={},
        networks={"lan": backing},
    )
    document = {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": "web"},
        "spec": {"memory": {"size": "64Mi"}, "nics": [{"name": "lan", "network": "lan", **nic}]},
    }
    return render_domain(parse(document), context)


def _filter(root: etree._Element) -> tuple[str, list[tuple[str, str]]]:
    element = root.find("devices/interface/filterref")
    if element is None:
        return "", []
    return element.get("filter", ""), [(item.get("name", ""), item.get("value", "")) for item in element]


def _network(**spec: Any) -> Any:
    head = {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualNetwork", "metadata": {"name": "lan"}}
    return parse({**head, "spec": spec}).spec


def test_only_cards_of_a_guarded_network_have_a_filter() -> None:
    assert _filter(_domain(NetworkBacking(bridge="br0"))) == ("", [])
    assert _filter(_domain()) == (OWN_MAC, [])


def test_declared_addresses_and_fixed_leases_are_the_only_ones_let_through() -> None:
    name, parameters = _filter(_domain(mac=MAC, addresses=["2001:db8::7", "192.0.2.10"]))
    assert name == OWN_ADDRESSES
    assert parameters == [("IP", "192.0.2.9"), ("IP", "192.0.2.10"), ("IPV6", "2001:db8::7")]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"mode": "Bridge", "bridge": "br0"}, True),
        ({"mode": "Bridge", "bridge": "br0", "antiSpoofing": "Off"}, False),
        ({"mode": "Isolated"}, False),
        ({"mode": "Isolated", "antiSpoofing": "On"}, True),
    ],
)
def test_shared_bridges_are_guarded_unless_said_otherwise(spec: dict[str, Any], expected: bool) -> None:
    assert is_guarded(_network(**spec)) is expected


def test_fixed_leases_are_known_by_mac() -> None:
    subnets = [{"address": "192.0.2.1/24", "dhcp": {"hosts": [{"mac": MAC, "ip": "192.0.2.9"}]}}]
    assert fixed_leases(_network(subnets=subnets)) == {MAC: ("192.0.2.9",)}


@pytest.mark.parametrize(
    "interface",
    [
        {"alias": {"@name": "ua-nic-lan"}, "filterref": {"$patch": "delete"}},
        {"alias": {"@name": "ua-nic-lan"}, "filterref": {"@filter": "allow-arp"}},
        {"alias": {"@name": "ua-nic-lan"}, "filterref": {"parameter": {"@name": "IP", "@value": "192.0.2.1"}}},
        {"mac": {"@address": "02:00:5e:10:00:99"}, "@type": "bridge", "source": {"@bridge": "br0"}},
    ],
    ids=["taken away", "another", "one more address", "one more card"],
)
def test_no_overlay_gets_around_the_filter(interface: dict[str, Any]) -> None:
    root = _domain(mac=MAC)
    before = filters_of(root)
    with pytest.raises(InvalidSpec) as caught:  # noqa: PT012 - either of the two refuses
        apply_overlay(root, {"devices": {"interface": interface}})
        check_guarded(root, before, [GUARDED])
    assert caught.value.reason == "OverlayConflict"


def test_an_overlay_that_leaves_the_filter_alone_is_fine() -> None:
    root = _domain(mac=MAC)
    before = filters_of(root)
    apply_overlay(root, {"devices": {"interface": {"alias": {"@name": "ua-nic-lan"}, "rom": {"@enabled": "no"}}}})
    check_guarded(root, before, [GUARDED])
