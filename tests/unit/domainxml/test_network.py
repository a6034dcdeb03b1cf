"""Networks and pools: what is rendered, and what of a change is done in place."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from xvirt.domainxml.mark import OwnershipMark, read_mark
from xvirt.domainxml.network import NetworkDifference, network_changes, read_network, render_network
from xvirt.domainxml.tree import parse_xml
from xvirt.model.codec import parse
from xvirt.model.errors import InvalidSpec
from xvirt.model.identity import bridge_name

UID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
ADDRESS = "192.168.9.1/24"
HOST = {"mac": "02:00:5e:10:00:01", "ip": "192.168.9.10", "name": "web"}
RANGE = {"start": "192.168.9.100", "end": "192.168.9.199"}


def render(**spec: Any) -> Any:
    document = {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualNetwork", "metadata": {"name": "lan"}, "spec": spec}
    return render_network(parse(document), UID, None)


def with_dhcp(*hosts: dict[str, str], ranges: tuple[dict[str, str], ...] = (RANGE,)) -> Any:
    return render(subnets=[{"address": ADDRESS, "dhcp": {"ranges": list(ranges), "hosts": list(hosts)}}])


def dumped(root: Any) -> Any:
    """The network as libvirt writes it: with what it adds, and without what it takes for granted."""
    twin: Any = parse_xml(etree.tostring(root))
    twin.set("connections", "2")
    forward = twin.find("forward")
    if forward is not None:
        nat = forward.find("nat")
        nat = etree.SubElement(forward, "nat") if nat is None else nat
        etree.SubElement(nat, "port", {"start": "1024", "end": "65535"})
    for item in twin.iterfind("ip[@family='ipv4']"):
        del item.attrib["family"]
    return twin


def test_a_network_is_its_own_bridge_and_has_no_delay() -> None:
    facts = read_network(with_dhcp())
    assert (facts.uuid, facts.name, facts.bridge, facts.forward_mode) == (
        UID,
        "default_lan",
        bridge_name(UID),
        "nat",
    )
    assert facts.mark is None
    assert with_dhcp().find("bridge").get("delay") == "0"


def test_a_mark_is_written_where_it_is_given() -> None:
    mark = OwnershipMark(
        uid=UID,
        authority="local",
        kind="VirtualNetwork",
        namespace="d",
        name="lan",
        generation=1,
        epoch=0,
        spec_hash="",
    )
    document = {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualNetwork",
        "metadata": {"name": "lan"},
        "spec": {"mode": "Isolated"},
    }
    assert read_mark(render_network(parse(document), UID, mark)) == mark


def test_a_bridge_of_the_host_has_no_libvirt_network() -> None:
    with pytest.raises(InvalidSpec, match=r"spec\.mode"):
        render(mode="Bridge", bridge="br0")


def test_a_fixed_ipv6_lease_is_refused_with_its_path() -> None:
    dhcp = {"hosts": [{"mac": "02:00:5e:10:00:01", "ip": "fd00::2"}]}
    with pytest.raises(InvalidSpec, match=r"spec\.subnets\[0\]\.dhcp\.hosts"):
        render(subnets=[{"address": "fd00::1/64", "dhcp": dhcp}])


def test_ipv6_is_translated_too_in_mode_nat() -> None:
    assert render(subnets=[{"address": "fd00::1/64"}]).find("forward/nat").get("ipv6") == "yes"


def test_what_libvirt_adds_is_no_change() -> None:
    for wanted in (with_dhcp(HOST), render(mode="Isolated"), render(mode="Routed", subnets=[{"address": ADDRESS}])):
        found = network_changes(dumped(wanted) if wanted.find("forward/nat") is None else wanted, wanted)
        assert (found.updates, found.restart_paths) == ((), ())


def test_leases_and_ranges_change_in_place_deletions_first() -> None:
    other = {"mac": "02:00:5e:10:00:02", "ip": "192.168.9.11"}
    moved = {**HOST, "ip": "192.168.9.20"}
    new_range = {"start": "192.168.9.50", "end": "192.168.9.60"}
    found = network_changes(dumped(with_dhcp(HOST, other)), with_dhcp(moved, ranges=(RANGE, new_range)))
    assert [(item.command, item.section, item.subnet_index) for item in found.updates] == [
        ("delete", "ip-dhcp-host", 0),
        ("modify", "ip-dhcp-host", 0),
        ("add", "ip-dhcp-range", 0),
    ]
    assert parse_xml(found.updates[1].xml).get("ip") == "192.168.9.20"
    assert found.restart_paths == ()


def test_dhcp_is_switched_on_in_place() -> None:
    found = network_changes(dumped(render(subnets=[{"address": ADDRESS}])), with_dhcp(HOST))
    assert [item.command for item in found.updates] == ["add", "add"]


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"mtu": 1400}, "spec.mtu"),
        ({"domainName": "example"}, "spec.domainName"),
        ({"mode": "Routed"}, "spec.mode"),
        ({"subnets": [{"address": "192.168.9.2/24"}]}, "spec.subnets"),
        ({"subnets": [{"address": ADDRESS}, {"address": "fd00::1/64"}]}, "spec.subnets"),
    ],
)
def test_everything_else_needs_a_restart_and_is_named(spec: dict[str, Any], path: str) -> None:
    before = {"subnets": [{"address": ADDRESS}]}
    assert path in network_changes(dumped(render(**before)), render(**{**before, **spec})).restart_paths


def test_a_netmask_is_a_prefix() -> None:
    wanted = render(subnets=[{"address": ADDRESS}])
    live = dumped(wanted)
    subnet = live.find("ip")
    del subnet.attrib["prefix"]
    subnet.set("netmask", "255.255.255.0")
    assert network_changes(live, wanted).restart_paths == ()


def with_dns(*hosts: tuple[str, list[str]], **dns: Any) -> Any:
    named = [{"ip": ip, "hostnames": names} for ip, names in hosts]
    return render(subnets=[{"address": ADDRESS}], dns={"hosts": named, **dns})


def told(live: Any, wanted: Any) -> list[tuple[str, str, int]]:
    return [(item.command, item.section, item.subnet_index) for item in network_changes(dumped(live), wanted).updates]


def test_dns_changes_in_place_deletions_first() -> None:
    live = with_dns(("192.168.9.5", ["ldap"]), texts=[{"name": "a.example", "value": "old"}])
    service = {"service": "ldap", "target": "ldap.example", "port": 389}
    texts = [{"name": "a.example", "value": "new"}]
    wanted = with_dns(("192.168.9.5", ["ldap", "directory"]), texts=texts, services=[service])
    assert told(live, wanted) == [
        ("delete", "dns-host", -1),
        ("delete", "dns-txt", -1),
        ("add", "dns-host", -1),
        ("add", "dns-txt", -1),
        ("add", "dns-srv", -1),
    ]
    assert network_changes(dumped(live), wanted).restart_paths == ()


def test_a_name_gets_and_loses_a_second_address_in_place() -> None:
    one, two = with_dns(("192.168.9.5", ["ldap"])), with_dns(("192.168.9.5", ["ldap"]), ("192.168.9.6", ["ldap"]))
    assert told(one, two) == [("add", "dns-host", -1)]
    (lost,) = network_changes(dumped(two), one).updates
    assert lost.xml == '<host ip="192.168.9.6"/>', "by its name libvirt would find both"
    assert network_changes(dumped(two), two) == NetworkDifference()


def test_an_address_moves_to_another_name_in_place() -> None:
    live, wanted = with_dns(("192.168.9.5", ["ldap"])), with_dns(("192.168.9.6", ["ldap"]))
    assert told(live, wanted) == [("delete", "dns-host", -1), ("add", "dns-host", -1)]


def test_forwarders_and_routes_need_a_restart() -> None:
    live = render(subnets=[{"address": ADDRESS}])
    routes = [{"destination": "10.1.2.3/16", "gateway": "192.168.9.2"}]
    wanted = render(subnets=[{"address": ADDRESS}], dns={"forwarders": [{"address": "192.0.2.53"}]}, routes=routes)
    assert network_changes(dumped(live), wanted).restart_paths == ("spec.dns.forwarders", "spec.routes")
    assert wanted.find("route").get("address") == "10.1.0.0", "libvirt wants the network's own address"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"routes": [{"destination": "10.1.0.0/16", "gateway": "10.9.9.9"}]}, "one of the subnets"),
        ({"routes": [{"destination": "fd00::/64", "gateway": "192.168.9.2"}]}, "both be IPv4"),
        ({"dns": {"hosts": [{"ip": "192.168.9.5", "hostnames": []}]}}, "hostnames"),
        ({"dns": {"texts": [{"name": "a.example", "value": "a\ndhcp-script=/tmp/x"}]}}, "value"),
        ({"subnets": [{"address": a, "dhcp": {}} for a in (ADDRESS, "192.168.8.1/24")]}, "one IPv4"),
    ],
)
def test_what_libvirt_would_refuse_is_refused_before(spec: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSpec, match=words):
        render(**{"subnets": [{"address": ADDRESS}], **spec})
