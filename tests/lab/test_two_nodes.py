"""Guests of two nodes on one wire: each node's bridge has the node's own card in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.lab.declared import Declared, Document, has_agent, image, machine, vm
from tools.guest import image_path
from tools.lab import Lab, LabSpec, Node

SHARED: Document = {
    "apiVersion": "xvirt.io/v1alpha1",
    "kind": "VirtualNetwork",
    "metadata": {"name": "shared"},
    "spec": {"mode": "Bridge", "bridge": "br0"},
}
NODES = {"node-a": "192.0.2.7", "node-b": "192.0.2.8"}


@pytest.fixture
def pair(lab_prefix: str) -> Iterator[Lab]:
    with Lab.up(LabSpec(f"{lab_prefix}-pair", nodes=2)) as up:
        yield up


def _bridge(node: Node) -> None:
    """Plug the node's card into a bridge, which takes its address over."""
    address = node.run(["sh", "-c", "ip -o -4 address show dev eth0 | awk '{print $4}'"]).stdout.strip()
    node.run(["ip", "link", "add", "br0", "type", "bridge"])
    node.run(["ip", "address", "delete", address, "dev", "eth0"])
    node.run(["ip", "link", "set", "eth0", "master", "br0"])
    node.run(["ip", "address", "add", address, "dev", "br0"])
    node.run(["ip", "link", "set", "br0", "up"])


def _started(lab: Lab, node: Node) -> Declared:
    _bridge(node)
    declared = Declared(node)
    declared.apply(image(lab.shared / "guest.qcow2"))
    declared.apply(SHARED)
    declared.apply(machine(node.name, nics=[{"name": "lan", "network": "shared"}]))
    return declared


def test_row_28_guests_of_two_nodes_reach_each_other_at_layer_two(pair: Lab) -> None:
    shutil.copyfile(image_path(), pair.shared / "guest.qcow2")
    nodes = {name: _started(pair, node) for name, node in pair.nodes.items()}
    macs = {}
    for name, declared in nodes.items():
        seen = declared.wait(vm(name), has_agent, "with its agent")
        macs[name] = seen["status"]["interfaces"][0]["mac"]
        script = f"ip addr flush dev eth0; ip addr add {NODES[name]}/24 dev eth0; ip link set eth0 up"
        declared.node.guest_exec(f"default_{name}", ["sh", "-c", script])
    for name, other in (("node-a", "node-b"), ("node-b", "node-a")):
        script = f"ping -c 3 -W 5 {NODES[other]} >&2; arping -c 1 -w 10 -I eth0 {NODES[other]}"
        said = nodes[name].node.guest_exec(f"default_{name}", ["sh", "-c", script])
        assert macs[other] in said.lower(), "the other guest itself answers, with its own MAC address"
