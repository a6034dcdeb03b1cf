"""What the node may rely on when it deals with the NICs of running domains."""

from __future__ import annotations

import pytest
from lxml import etree

from nodeplugin.hypervisor.port import Scope, XmlView
from tests.contract.conftest import Subject
from tests.contract.documents import DomainDraft, network_xml, new_uuid, nic_xml
from xvirt.domainxml.filters import FILTERS, add_filter, filter_of, render_filter
from xvirt.model.errors import InvalidSpec, NotFound, Unsupported

MAC = "52:54:00:aa:bb:01"


def _network(subject: Subject, name: str) -> str:
    identity = new_uuid()
    subject.hypervisor.define_network(network_xml(name, identity))
    return identity


def _root(subject: Subject, identity: str) -> etree._Element:
    return etree.fromstring(subject.hypervisor.domain_xml(identity, XmlView.CURRENT))


def test_what_a_nic_has_from_its_start_cannot_change_live(subject: Subject) -> None:
    subject.hypervisor.start_network(_network(subject, "lan"))
    identity = subject.running(DomainDraft(devices=nic_xml(MAC, "lan")))
    for more in ("<mtu size='1400'/>", "<driver queues='2'/>"):
        changed = nic_xml(MAC, "lan").replace("<link", f"{more}<link")
        with pytest.raises((Unsupported, InvalidSpec)):
            subject.hypervisor.update_device(identity, changed, Scope.LIVE)


def test_a_nic_moves_live_between_networks_and_bridges(subject: Subject) -> None:
    subject.hypervisor.start_network(_network(subject, "lan"))
    other = new_uuid()
    subject.hypervisor.define_network(network_xml("other", other).replace("10.99.0.", "10.98.0."))
    subject.hypervisor.start_network(other)
    bridge = next(record.bridge for record in subject.hypervisor.list_networks() if record.name == "other")
    identity = subject.running(DomainDraft(devices=nic_xml(MAC, "lan")))
    wanted = nic_xml(MAC, "lan")
    for changed in (wanted.replace("'lan'", "'other'"), _bridged(wanted, bridge), wanted):
        subject.hypervisor.update_device(identity, changed, Scope.LIVE)
        nic = _root(subject, identity).find("devices/interface")
        assert nic is not None
        expected = etree.fromstring(changed)
        assert nic.get("type") == expected.get("type")
        path = f"string(source/@{expected.get('type')})"
        assert nic.xpath(path) == expected.xpath(path)


def test_a_nic_loses_its_port_with_its_network_and_gets_one_by_way_of_the_bridges_name(subject: Subject) -> None:
    network = _network(subject, "lan")
    subject.hypervisor.start_network(network)
    identity = subject.running(DomainDraft(devices=nic_xml(MAC, "lan")))
    assert _has_port(subject, identity, network)
    subject.hypervisor.stop_network(network)
    assert not _has_port(subject, identity, network)
    subject.hypervisor.start_network(network)
    assert not _has_port(subject, identity, network)
    bridge = str(_root(subject, identity).xpath("string(devices/interface/source/@bridge)"))
    for changed in (_bridged(nic_xml(MAC, "lan"), bridge), nic_xml(MAC, "lan")):
        subject.hypervisor.update_device(identity, changed, Scope.LIVE)
    assert _has_port(subject, identity, network)


@pytest.mark.parametrize("addresses", [(), ("10.99.0.7", "10.99.0.8"), ("2001:db8::7",)], ids=["mac", "ipv4", "ipv6"])
def test_a_running_nic_gets_and_loses_each_of_our_filters(subject: Subject, addresses: tuple[str, ...]) -> None:
    for name in FILTERS:
        if name not in subject.hypervisor.list_filters():
            subject.hypervisor.define_filter(render_filter(name))
    subject.hypervisor.start_network(_network(subject, "lan"))
    identity = subject.running(DomainDraft(devices=nic_xml(MAC, "lan")))
    guarded = etree.fromstring(nic_xml(MAC, "lan"))
    add_filter(guarded, addresses)
    subject.hypervisor.update_device(identity, etree.tostring(guarded, encoding="unicode"), Scope.LIVE)
    nic = _root(subject, identity).find("devices/interface")
    assert nic is not None
    assert filter_of(nic) == filter_of(guarded)
    subject.hypervisor.update_device(identity, nic_xml(MAC, "lan"), Scope.LIVE)
    assert _root(subject, identity).find("devices/interface/filterref") is None


def test_a_port_of_no_network_is_not_found(subject: Subject) -> None:
    with pytest.raises(NotFound):
        subject.hypervisor.has_network_port(new_uuid(), new_uuid())


def _has_port(subject: Subject, identity: str, network: str) -> bool:
    port = str(_root(subject, identity).xpath("string(devices/interface/source/@portid)"))
    return subject.hypervisor.has_network_port(network, port)


def _bridged(nic: str, bridge: str) -> str:
    return nic.replace("type='network'", "type='bridge'").replace("network='lan'", f"bridge='{bridge}'")
