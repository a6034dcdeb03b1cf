"""A running card becomes the declared one as far as libvirt can change it in place."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import etree

from xvirt.domainxml.context import NetworkBacking
from xvirt.domainxml.nics import changed_nic, has_other_vlan, plugged_again, render_nic
from xvirt.domainxml.tree import parse_xml
from xvirt.model.codec import parse

LIVE = """<interface type='network'><mac address='02:00:5e:10:00:01'/>
<source network='default_lan' portid='44f43b1f-9471-4f2b-b7b5-c578b6d3ce8c' bridge='xv0'/>
<bandwidth><inbound average='1000'/></bandwidth><target dev='vnet0'/><model type='virtio'/><driver queues='2'/>
<mtu size='1400'/><link state='up'/><alias name='ua-nic-lan'/>
<address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></interface>"""
SAME: dict[str, Any] = {"queues": 2, "mtu": 1400, "bandwidth": {"inbound": {"average": 1_000_000}}}


def _wanted(network: str | None = "default_lan", bridge: str | None = None, **fields: Any) -> etree._Element:
    nic = {"name": "lan", "network": "lan", "mac": "02:00:5e:10:00:01", **SAME, **fields}
    document = {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": "web"},
        "spec": {"memory": {"size": "64Mi"}, "nics": [nic]},
    }
    machine = parse(document)
    return render_nic(machine, machine.spec.nics[0], NetworkBacking(network, bridge), "uid")


def _changed(wanted: etree._Element) -> etree._Element:
    changed = changed_nic(parse_xml(LIVE), wanted)
    assert changed is not None
    return changed


@pytest.mark.parametrize("fields", [{}, {"queues": 4}, {"mtu": None}, {"model": "e1000", "queues": None}])
def test_nothing_is_done_where_nothing_or_what_needs_a_restart_differs(fields: dict[str, Any]) -> None:
    assert changed_nic(parse_xml(LIVE), _wanted(**fields)) is None


def test_row_32_a_limit_changes_while_fields_that_wait_for_a_restart_stay() -> None:
    limits = {"inbound": {"average": "2M", "peak": "3M", "burst": "64Ki"}, "outbound": {"average": 1500}}
    changed = _changed(_wanted(bandwidth=limits, queues=4, mtu=9000))
    found = {item.tag: dict(item.attrib) for item in changed.iterfind("bandwidth/*")}
    inbound = {"average": "2000", "peak": "3000", "burst": "64"}
    assert found == {"inbound": inbound, "outbound": {"average": "2"}}
    assert changed.xpath("string(driver/@queues)") == "2"
    assert changed.xpath("string(mtu/@size)") == "1400"
    assert changed.xpath("string(target/@dev)") == "vnet0"
    assert changed.xpath("count(bandwidth)") == 1


@pytest.mark.parametrize("bandwidth", [None, {}])
def test_row_32_a_limit_is_taken_away(bandwidth: dict[str, Any] | None) -> None:
    assert _changed(_wanted(bandwidth=bandwidth)).find("bandwidth") is None


def test_the_cable_is_pulled() -> None:
    changed = _changed(_wanted(linkState="Down"))
    assert changed.xpath("string(link/@state)") == "down"
    assert changed.find("source[@portid]") is None, "libvirt makes a new port for the update"
    assert changed.xpath("string(source/@network)") == "default_lan"


def test_a_card_moves_to_another_network_and_to_a_bridge() -> None:
    moved = _changed(_wanted(network="default_other"))
    assert (moved.get("type"), _sources(moved)) == ("network", [{"network": "default_other"}])
    bridged = _changed(_wanted(network=None, bridge="br0"))
    assert (bridged.get("type"), _sources(bridged)) == ("bridge", [{"bridge": "br0"}])


def test_a_card_of_a_vlan_has_its_tag_and_changes_it_at_a_start_only() -> None:
    document = {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": "web"},
        "spec": {"memory": {"size": "64Mi"}, "nics": [{"name": "lan", "network": "lan"}]},
    }
    machine = parse(document)
    nic = machine.spec.nics[0]
    tagged, plain = (render_nic(machine, nic, NetworkBacking(bridge="br0", vlan=vlan), "uid") for vlan in (20, None))
    assert [item.get("id") for item in tagged.iterfind("vlan/tag")] == ["20"]
    assert plain.find("vlan") is None
    assert has_other_vlan(tagged, plain)
    assert not has_other_vlan(tagged, tagged)


def test_a_tap_without_its_bridge_goes_there_by_name_and_then_into_its_network() -> None:
    for fields, state in (({}, "up"), ({"linkState": "Down"}, "down")):
        by_name, again = plugged_again(parse_xml(LIVE), _wanted(**fields))
        assert (by_name.get("type"), _sources(by_name)) == ("bridge", [{"bridge": "xv0"}])
        assert (again.get("type"), _sources(again)) == ("network", [{"network": "default_lan"}])
        for element in (by_name, again):
            assert element.xpath("string(mtu/@size)") == "1400"
            assert element.xpath("string(link/@state)") == state


def _sources(element: etree._Element) -> list[dict[str, str]]:
    return [{str(key): str(value) for key, value in item.attrib.items()} for item in element.iterfind("source")]
