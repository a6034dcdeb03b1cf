"""What of a card waits for the next start; what changes live is in test_networks.py, test_bandwidth.py and test_disks.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.declared import Declared, Document, condition, empty_machine, is_ready, network, vm
from tools.lab import Node
from xvirt.model.exchange import ObjectRef

ONE = vm("carded")
DOMAIN = "default_carded"


@pytest.fixture
def declared(node: Node) -> Iterator[Declared]:
    client = Declared(node)
    client.apply(network("carded", 158))
    client.apply(_machine("virtio"))
    client.wait_ready(ONE)
    yield client
    for kind in ("VirtualMachine", "VirtualNetwork"):
        ref = ObjectRef(kind=kind, namespace="default", name="carded")
        client.client.delete(ref, force=True)
        client.wait_gone(ref)


def _machine(model: str) -> Document:
    return empty_machine("carded", nics=[{"name": "lan", "network": "carded", "model": model}])


def test_row_32_the_model_of_a_card_waits_for_a_restart_and_its_mac_stays(declared: Declared) -> None:
    mac = declared.get(ONE)["status"]["interfaces"][0]["mac"]
    domain_id = declared.node.virsh("domid", DOMAIN)
    declared.apply(_machine("e1000e"))
    document = declared.wait(ONE, lambda seen: condition(seen, "RestartRequired") == "True", "waiting")
    assert document["status"]["restartRequired"] == ["spec.nics[lan].model"]
    assert declared.node.virsh("domid", DOMAIN) == domain_id
    assert "<model type='virtio'/>" in declared.node.virsh("dumpxml", DOMAIN)
    declared.node.virsh("destroy", DOMAIN)
    document = declared.wait(ONE, lambda seen: is_ready(seen) and not seen["status"]["restartRequired"], "restarted")
    assert "<model type='e1000e'/>" in declared.node.virsh("dumpxml", DOMAIN)
    assert document["status"]["interfaces"][0]["mac"] == mac
