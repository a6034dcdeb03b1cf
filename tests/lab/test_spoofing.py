"""A guest on a shared bridge sends from its own addresses only. Over one real guest, whose tests build on each other."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.declared import Declared, Document, has_agent, image, is_ready, machine, vm
from tools.lab import Node
from xvirt.model.exchange import ObjectRef

GUEST = vm("guest")
DOMAIN = "default_guest"
OWN, OTHER, HOST = "192.0.2.7", "192.0.2.8", "192.0.2.1"
SHARED: Document = {
    "apiVersion": "xvirt.io/v1alpha1",
    "kind": "VirtualNetwork",
    "metadata": {"name": "shared"},
    "spec": {"mode": "Bridge", "bridge": "br0"},
}


@pytest.fixture(scope="module")
def declared(node: Node, guest_image: Path) -> Iterator[Declared]:
    node.run(["ip", "link", "add", "br0", "type", "bridge"])
    node.run(["ip", "address", "add", f"{HOST}/24", "dev", "br0"])
    node.run(["ip", "link", "set", "br0", "up"])
    client = Declared(node)
    client.apply(image(guest_image))
    client.apply(SHARED)
    client.apply(_guest())
    client.wait(GUEST, has_agent, "with its agent")
    _in_guest(client, f"ip addr flush dev eth0; ip addr add {OWN}/24 dev eth0; ip link set eth0 up")
    yield client
    for ref in (GUEST, ObjectRef(kind="VirtualNetwork", namespace="default", name="shared")):
        client.client.delete(ref, force=True)
        client.wait_gone(ref)
    node.run(["ip", "link", "delete", "br0"])


def _guest(**nic: Any) -> Document:
    return machine("guest", nics=[{"name": "lan", "network": "shared", **nic}])


def _in_guest(declared: Declared, script: str) -> str:
    return declared.node.guest_exec(DOMAIN, ["sh", "-c", script])


def _is_answered(declared: Declared, source: str = OWN) -> bool:
    """Whether the host answers a ping from `source`."""
    script = (
        f"ip neigh flush dev eth0 >/dev/null 2>&1; ping -c 2 -W 2 -I {source} {HOST} >/dev/null && echo yes || echo no"
    )
    return _in_guest(declared, script).strip() == "yes"


def _with_mac(declared: Declared, mac: str) -> None:
    _in_guest(declared, f"ip link set eth0 down; ip link set eth0 address {mac}; ip link set eth0 up")


def _mac(declared: Declared) -> str:
    return str(declared.get(GUEST)["status"]["interfaces"][0]["mac"])


def _filter(declared: Declared) -> str:
    xml = declared.node.virsh("dumpxml", DOMAIN)
    return xml.partition("<filterref filter='")[2].partition("'")[0]


def _seen_at_bridge(declared: Declared) -> str:
    return declared.node.run(["ip", "neigh", "show", "dev", "br0"]).stdout


def test_a_guest_sends_from_its_own_mac_only(declared: Declared) -> None:
    assert _filter(declared) == "xvirt-own-mac-1"
    assert _is_answered(declared)
    own, foreign = _mac(declared), "02:00:5e:00:53:01"
    _with_mac(declared, foreign)
    assert not _is_answered(declared)
    fdb = declared.node.run(["bridge", "fdb", "show", "br", "br0"]).stdout
    assert foreign not in fdb, "not even the bridge has learnt it"
    _with_mac(declared, own)
    assert _is_answered(declared)


def test_a_guest_sends_from_declared_addresses_only(declared: Declared) -> None:
    _in_guest(declared, f"ip addr add {OTHER}/24 dev eth0")
    assert _is_answered(declared, OTHER)
    document = _guest(addresses=[OWN])
    declared.apply(document)
    declared.wait(GUEST, lambda seen: is_ready(seen) and _filter(declared) == "xvirt-own-addresses-1", "guarded")
    declared.node.run(["ip", "neigh", "flush", "dev", "br0"])
    assert _is_answered(declared, OWN)
    assert not _is_answered(declared, OTHER)
    assert OTHER not in _seen_at_bridge(declared), "no ARP of it came through"


def test_switched_off_everything_passes(declared: Declared) -> None:
    changed = copy.deepcopy(SHARED)
    changed["spec"]["antiSpoofing"] = "Off"
    declared.apply(changed)
    declared.wait(GUEST, lambda seen: is_ready(seen) and _filter(declared) == "", "unguarded")
    assert _is_answered(declared, OTHER)
