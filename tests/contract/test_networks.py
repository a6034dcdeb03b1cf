"""What the node may rely on when it deals with libvirt's networks."""

from __future__ import annotations

import pytest
from lxml import etree

from nodeplugin.hypervisor.port import NetworkChange, NetworkCommand, NetworkRecord, NetworkSection
from tests.contract.conftest import Subject
from tests.contract.documents import network_xml, new_uuid
from xvirt.domainxml.filters import FILTERS, render_filter
from xvirt.model.errors import Conflict, InvalidSpec, NotFound, Refused, Unsupported

HOST = "<host mac='52:54:00:00:00:09' ip='{ip}'/>"


def _record(subject: Subject, identity: str) -> NetworkRecord:
    return next(record for record in subject.hypervisor.list_networks() if record.uuid == identity)


def _started(subject: Subject, name: str = "lan") -> str:
    identity = new_uuid()
    subject.hypervisor.define_network(network_xml(name, identity))
    subject.hypervisor.start_network(identity)
    return identity


def _change(subject: Subject, identity: str, command: NetworkCommand, ip: str) -> None:
    change = NetworkChange(command=command, section=NetworkSection.DHCP_HOST, subnet_index=0, xml=HOST.format(ip=ip))
    subject.hypervisor.update_network(identity, change)


def _hosts(subject: Subject, identity: str) -> list[list[str | None]]:
    """IP addresses of DHCP hosts: live, then as defined."""
    texts = (subject.hypervisor.live_network_xml(identity), _record(subject, identity).xml)
    return [[item.get("ip") for item in etree.fromstring(text).iterfind("ip/dhcp/host")] for text in texts]


def test_a_network_is_defined_started_stopped_and_undefined(subject: Subject) -> None:
    identity = new_uuid()
    subject.hypervisor.define_network(network_xml("lan", identity))
    record = _record(subject, identity)
    assert (record.name, record.is_active, record.is_autostarted) == ("lan", False, False)
    assert record.bridge == f"xvc{identity[:8]}"
    subject.hypervisor.autostart_network(identity)
    subject.hypervisor.start_network(identity)
    record = _record(subject, identity)
    assert (record.is_active, record.is_autostarted) == (True, True)
    subject.hypervisor.stop_network(identity)
    assert not _record(subject, identity).is_active
    subject.hypervisor.undefine_network(identity)
    assert subject.hypervisor.list_networks() == []


def test_what_contradicts_its_state_is_refused(subject: Subject) -> None:
    identity = _started(subject)
    with pytest.raises(Refused):
        subject.hypervisor.start_network(identity)
    subject.hypervisor.stop_network(identity)
    with pytest.raises(Refused):
        subject.hypervisor.stop_network(identity)


def test_a_missing_network_is_not_found(subject: Subject) -> None:
    for call in (
        subject.hypervisor.start_network,
        subject.hypervisor.stop_network,
        subject.hypervisor.undefine_network,
        subject.hypervisor.autostart_network,
        subject.hypervisor.live_network_xml,
    ):
        with pytest.raises(NotFound):
            call(new_uuid())


def test_a_name_that_is_taken_is_a_conflict(subject: Subject) -> None:
    identity = _started(subject)
    with pytest.raises(Conflict, match=identity):
        subject.hypervisor.define_network(network_xml("lan", new_uuid()))


@pytest.mark.parametrize("xml", ["<network", "<domain/>", network_xml("a/b", new_uuid())])
def test_a_broken_definition_is_refused(subject: Subject, xml: str) -> None:
    with pytest.raises(InvalidSpec):
        subject.hypervisor.define_network(xml)


def test_a_running_network_goes_on_as_it_was_when_it_is_redefined(subject: Subject) -> None:
    identity = _started(subject)
    subject.hypervisor.define_network(network_xml("lan", identity, domain="example"))
    assert "example" not in subject.hypervisor.live_network_xml(identity)
    assert "example" in _record(subject, identity).xml
    subject.hypervisor.stop_network(identity)
    subject.hypervisor.start_network(identity)
    assert "example" in subject.hypervisor.live_network_xml(identity)


def test_an_undefined_network_lives_until_it_is_stopped(subject: Subject) -> None:
    identity = _started(subject)
    subject.hypervisor.undefine_network(identity)
    assert _record(subject, identity).is_active
    subject.hypervisor.stop_network(identity)
    assert subject.hypervisor.list_networks() == []
    subject.hypervisor.define_network(network_xml("lan", identity))


def test_dhcp_hosts_change_live_and_in_the_definition(subject: Subject) -> None:
    identity = _started(subject)
    _change(subject, identity, NetworkCommand.ADD, "10.99.0.5")
    assert _hosts(subject, identity) == [["10.99.0.5"], ["10.99.0.5"]]
    with pytest.raises(Refused):
        _change(subject, identity, NetworkCommand.ADD, "10.99.0.5")
    _change(subject, identity, NetworkCommand.MODIFY, "10.99.0.6")
    assert _hosts(subject, identity) == [["10.99.0.6"], ["10.99.0.6"]]
    _change(subject, identity, NetworkCommand.DELETE, "10.99.0.6")
    assert _hosts(subject, identity) == [[], []]
    with pytest.raises(Refused):
        _change(subject, identity, NetworkCommand.DELETE, "10.99.0.6")


def test_a_network_that_is_off_cannot_be_updated_live(subject: Subject) -> None:
    identity = new_uuid()
    subject.hypervisor.define_network(network_xml("lan", identity))
    with pytest.raises(Refused):
        _change(subject, identity, NetworkCommand.ADD, "10.99.0.5")


DNS = {
    NetworkSection.DNS_HOST: "<host ip='10.99.0.7'><hostname>ldap</hostname></host>",
    NetworkSection.DNS_TXT: "<txt name='a.example' value='v=spf1 -all'/>",
    NetworkSection.DNS_SRV: "<srv service='ldap' protocol='tcp' target='ldap.example' port='389'/>",
}


@pytest.mark.parametrize("section", DNS, ids=lambda section: section.value)
def test_dns_records_come_and_go_live_and_in_the_definition(subject: Subject, section: NetworkSection) -> None:
    identity = _started(subject)

    def change(command: NetworkCommand, xml: str = DNS[section]) -> None:
        done = NetworkChange(command=command, section=section, subnet_index=-1, xml=xml)
        subject.hypervisor.update_network(identity, done)

    def counts() -> list[int]:
        texts = (subject.hypervisor.live_network_xml(identity), _record(subject, identity).xml)
        return [len(etree.fromstring(text).findall("dns/*")) for text in texts]

    change(NetworkCommand.ADD)
    assert counts() == [1, 1]
    with pytest.raises(Refused):
        change(NetworkCommand.ADD)
    with pytest.raises((Refused, Unsupported, InvalidSpec)):
        change(NetworkCommand.MODIFY)
    change(NetworkCommand.DELETE)
    assert counts() == [0, 0]
    with pytest.raises(Refused):
        change(NetworkCommand.DELETE)


def test_a_name_has_several_addresses_and_loses_one_by_that_address(subject: Subject) -> None:
    identity = _started(subject)

    def change(command: NetworkCommand, xml: str) -> None:
        done = NetworkChange(command=command, section=NetworkSection.DNS_HOST, subnet_index=-1, xml=xml)
        subject.hypervisor.update_network(identity, done)

    for number in (7, 8):
        change(NetworkCommand.ADD, f"<host ip='10.99.0.{number}'><hostname>ldap</hostname></host>")
    with pytest.raises(Refused):
        change(NetworkCommand.DELETE, "<host ip='10.99.0.7'><hostname>ldap</hostname></host>")
    change(NetworkCommand.DELETE, "<host ip='10.99.0.7'/>")
    root = etree.fromstring(subject.hypervisor.live_network_xml(identity))
    assert [item.get("ip") for item in root.iterfind("dns/host")] == ["10.99.0.8"]


def test_network_events_come(subject: Subject) -> None:
    identity = _started(subject)
    subject.wait_event("network", identity)


def test_row_18_a_network_keeps_its_metadata_through_updates_and_restarts(subject: Subject) -> None:
    identity, mark = (
        new_uuid(),
        "<m:mark xmlns:m='https://example.org/mark' a='1'>{{&quot;k&quot;: &quot;&lt;{0}&gt;&quot;}}</m:mark>",
    )
    subject.hypervisor.define_network(network_xml("lan", identity, metadata=mark.format("old")))
    subject.hypervisor.start_network(identity)
    _change(subject, identity, NetworkCommand.ADD, "10.99.0.5")
    subject.hypervisor.stop_network(identity)
    subject.hypervisor.start_network(identity)
    assert _mark(subject, identity) == '{"k": "<old>"}'
    xml = network_xml("lan", identity, hosts=HOST.format(ip="10.99.0.5"), metadata=mark.format("new"))
    subject.hypervisor.define_network(xml)
    assert _mark(subject, identity) == '{"k": "<new>"}'
    assert _hosts(subject, identity) == [["10.99.0.5"], ["10.99.0.5"]]


def _mark(subject: Subject, identity: str) -> str | None:
    return etree.fromstring(_record(subject, identity).xml).findtext("metadata/{https://example.org/mark}mark")


def test_our_filters_are_accepted_and_found(subject: Subject) -> None:
    for name in FILTERS:
        if name not in subject.hypervisor.list_filters():
            subject.hypervisor.define_filter(render_filter(name))
    assert set(FILTERS) <= subject.hypervisor.list_filters()
    with pytest.raises(InvalidSpec):
        subject.hypervisor.define_filter("<filter")
