"""Networks change under running machines on a real node. The machines have no operating system: what is looked at is the host's side of
their cards."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.declared import Declared, Document, condition, empty_machine, is_ready, network, vm
from tools.lab import Node
from xvirt.model.exchange import ObjectRef

ONE = vm("one")
DOMAIN = "default_one"


def vnet(name: str) -> ObjectRef:
    return ObjectRef(kind="VirtualNetwork", namespace="default", name=name)


@pytest.fixture
def declared(node: Node) -> Iterator[Declared]:
    client = Declared(node)
    yield client
    for kind in ("VirtualMachine", "VirtualNetwork"):
        for view in client.client.list_objects(kind):
            client.client.delete(view.ref, force=True)
            client.wait_gone(view.ref)


@pytest.fixture
def lan(declared: Declared) -> Document:
    document = network("lan", 150)
    declared.apply(document)
    return document


@pytest.fixture
def one(declared: Declared, lan: Document) -> Document:
    document = empty_machine("one", nics=[{"name": "lan", "network": "lan"}])
    declared.apply(document)
    declared.wait_ready(ONE)
    return document


def _tap(declared: Declared) -> tuple[str, str]:
    """(interface index and name, bridge) of the machine's only tap; the bridge is empty where it is in none."""
    row = declared.node.run(["sh", "-c", "ip -o link show | grep vnet"]).stdout
    words = row.split()
    return f"{words[0]}{words[1]}", words[words.index("master") + 1] if "master" in words else ""


def _bridge(declared: Declared, name: str) -> str:
    return str(declared.get(vnet(name))["status"]["bridge"])


def _changed(document: Document, **spec: Any) -> Document:
    changed = copy.deepcopy(document)
    changed["spec"] |= spec
    return changed


def test_row_32_link_and_network_of_a_card_change_without_unplug(declared: Declared, one: Document) -> None:
    declared.apply(network("other", 151))
    declared.wait_ready(vnet("other"))
    index, _ = _tap(declared)
    domain_id = declared.node.virsh("domid", DOMAIN)
    one["spec"]["nics"][0] |= {"network": "other", "linkState": "Down"}
    declared.apply(one)
    mac = declared.wait_ready(ONE)["status"]["interfaces"][0]["mac"]
    assert _tap(declared) == (index, _bridge(declared, "other"))
    assert "down" in declared.node.virsh("domif-getlink", DOMAIN, mac)
    assert declared.node.virsh("domid", DOMAIN) == domain_id


def test_queues_and_mtu_of_a_card_wait_for_a_restart_and_are_there_after_it(declared: Declared, one: Document) -> None:
    one["spec"]["nics"][0] |= {"queues": 2, "mtu": 1400}
    declared.apply(one)
    document = declared.wait(ONE, lambda seen: condition(seen, "RestartRequired") == "True", "waiting")
    assert document["status"]["restartRequired"] == ["spec.nics[lan].queues", "spec.nics[lan].mtu"]
    declared.node.virsh("destroy", DOMAIN)
    declared.wait(
        ONE, lambda seen: is_ready(seen) and "mtu 1400" in declared.node.run(["ip", "-o", "link"]).stdout, "restarted"
    )
    assert declared.get(ONE)["status"]["restartRequired"] == []
    assert "queues='2'" in declared.node.virsh("dumpxml", DOMAIN)


def test_a_network_destroyed_by_hand_comes_back_with_its_guests_links(declared: Declared, one: Document) -> None:
    before = _tap(declared)
    assert before[1] == _bridge(declared, "lan")
    declared.node.virsh("net-destroy", "default_lan")
    declared.wait(ONE, lambda seen: is_ready(seen) and _tap(declared) == before, "plugged in again")
    declared.wait_ready(vnet("lan"))


def test_dhcp_changes_in_place_and_leaves_bridge_and_taps_alone(
    declared: Declared, one: Document, lan: Document
) -> None:
    declared.wait_ready(vnet("lan"))
    before = declared.node.run(["sh", "-c", "ip -o link show | grep -v eth0"]).stdout
    hosts = [{"mac": "02:00:5e:10:00:01", "ip": "192.168.150.7", "name": "web"}]
    ranges = [{"start": "192.168.150.100", "end": "192.168.150.120"}]
    lan["spec"]["subnets"][0]["dhcp"] = {"ranges": ranges, "hosts": hosts}
    declared.apply(lan)
    document = declared.wait_ready(vnet("lan"))
    assert document["status"]["restartRequired"] == []
    xml = declared.node.virsh("net-dumpxml", "default_lan")
    assert "ip='192.168.150.7'" in xml
    assert "start='192.168.150.100' end='192.168.150.120'" in xml
    assert "192.168.150.10'" not in xml
    assert declared.node.run(["sh", "-c", "ip -o link show | grep -v eth0"]).stdout == before


def test_what_needs_a_restart_waits_or_restarts_the_network_as_its_policy_says(
    declared: Declared, one: Document, lan: Document
) -> None:
    before = _tap(declared)
    declared.apply(_changed(lan, domainName="example.org"))
    waiting = declared.wait(vnet("lan"), lambda seen: condition(seen, "RestartRequired") == "True", "waiting")
    assert waiting["status"]["restartRequired"] == ["spec.domainName"]
    assert "example.org" not in declared.node.virsh("net-dumpxml", "default_lan")
    declared.apply(_changed(lan, domainName="example.org", updatePolicy="Restart"))
    declared.wait(vnet("lan"), lambda seen: is_ready(seen) and seen["status"]["restartRequired"] == [], "restarted")
    assert "example.org" in declared.node.virsh("net-dumpxml", "default_lan")
    declared.wait(ONE, lambda seen: is_ready(seen) and _tap(declared) == before, "plugged in again")


ASK = """
import socket, struct, sys
name, kind, server = sys.argv[1], int(sys.argv[2]), sys.argv[3]
question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\\0" + struct.pack("!HH", kind, 1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
    asker.settimeout(10)
    asker.sendto(struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + question, (server, 53))
    answer = asker.recv(4096)
print(answer[3] & 15, struct.unpack("!H", answer[6:8])[0], answer[12 + len(question):])
"""
A, TXT, AAAA, SRV = 1, 16, 28, 33
OFFICE: Document = {
    "apiVersion": "xvirt.io/v1alpha1",
    "kind": "VirtualNetwork",
    "metadata": {"name": "office"},
    "spec": {
        "mode": "Routed",
        "domainName": "office.example",
        "subnets": [
            {"address": "192.0.2.1/24", "dhcp": {"ranges": [{"start": "192.0.2.100", "end": "192.0.2.199"}]}},
            {
                "address": "2001:db8:1::1/64",
                "dhcp": {"ranges": [{"start": "2001:db8:1::100", "end": "2001:db8:1::1ff"}]},
            },
        ],
        "routes": [
            {"destination": "198.51.100.0/24", "gateway": "192.0.2.2"},
            {"destination": "2001:db8:2::/48", "gateway": "2001:db8:1::2", "metric": 5},
        ],
    },
}


def _ask(declared: Declared, name: str, kind: int) -> tuple[int, int, str]:
    """(response code, number of answers, their bytes)."""
    code, count, data = declared.node.run(["python3", "-c", ASK, name, str(kind), "192.0.2.1"]).stdout.split(" ", 2)
    return int(code), int(count), data


def test_a_routed_network_of_both_families_answers_names_that_change_in_place(declared: Declared) -> None:
    declared.apply(OFFICE)
    declared.apply(empty_machine("one", nics=[{"name": "lan", "network": "office"}]))
    declared.wait_ready(ONE)  # without a card the bridge has no carrier, and Linux gives it no IPv6 address
    assert "via 192.0.2.2" in declared.node.run(["ip", "route", "show", "198.51.100.0/24"]).stdout
    assert "via 2001:db8:1::2" in declared.node.run(["ip", "-6", "route", "show", "2001:db8:2::/48"]).stdout
    assert _ask(declared, "ldap.office.example", A)[1] == 0
    device = declared.node.run(["sh", "-c", "ip -o link show type bridge"]).stdout
    hosts = [
        {"ip": "192.0.2.5", "hostnames": ["ldap.office.example"]},
        {"ip": "192.0.2.6", "hostnames": ["ldap.office.example"]},
        {"ip": "2001:db8:1::5", "hostnames": ["ldap.office.example"]},
    ]
    texts = [{"name": "office.example", "value": "v=spf1 -all"}]
    services = [{"service": "ldap", "domain": "office.example", "target": "ldap.office.example", "port": 389}]
    declared.apply(_changed(OFFICE, dns={"hosts": hosts, "texts": texts, "services": services}))
    declared.wait_ready(vnet("office"))
    assert _ask(declared, "ldap.office.example", A)[1] == 2
    assert _ask(declared, "ldap.office.example", AAAA)[1] == 1
    assert "v=spf1 -all" in _ask(declared, "office.example", TXT)[2]
    assert _ask(declared, "_ldap._tcp.office.example", SRV)[1] == 1
    declared.apply(_changed(OFFICE, dns={"hosts": hosts[1:]}))
    declared.wait_ready(vnet("office"))
    assert _ask(declared, "ldap.office.example", A)[1] == 1
    assert _ask(declared, "office.example", TXT)[1] == 0
    assert declared.node.run(["sh", "-c", "ip -o link show type bridge"]).stdout == device
