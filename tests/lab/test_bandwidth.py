"""A card's limits reach tc and change live. libvirt asks tc for a fair queue (`sfq`) below its limit; where this machine's kernel has none
the node's tc is given a plain queue instead, which does not touch the limit. Outbound limits need `act_police` and are not tested here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.declared import Declared, Document, empty_machine, is_ready, network, vm
from tests.lab.plain_queue import use_plain_queue
from tools.lab import Lab, LabSpec

ONE = vm("one")
DOMAIN = "default_one"


@pytest.fixture
def declared(lab_prefix: str) -> Iterator[Declared]:
    with Lab.up(LabSpec(f"{lab_prefix}-tc")) as lab:
        node = lab.nodes["node-a"]
        use_plain_queue(lab, node)
        yield Declared(node)


def _machine(**nic: object) -> Document:
    return empty_machine("one", nics=[{"name": "lan", "network": "lan", **nic}])


def _tuned(declared: Declared, mac: str) -> dict[str, int]:
    """`virsh domiftune`: libvirt's kilobytes."""
    rows = (line.split(":") for line in declared.node.virsh("domiftune", DOMAIN, mac).splitlines() if ":" in line)
    return {name.strip(): int(value) for name, value in rows if int(value)}


def _classes(declared: Declared) -> str:
    return declared.node.run(["sh", "-c", "tc class show dev vnet0"]).stdout


def test_row_32_domiftune_equals_the_spec_and_changes_without_unplug(declared: Declared) -> None:
    declared.apply(network())
    declared.apply(_machine(bandwidth={"inbound": {"average": "1M"}}))
    mac = declared.wait_ready(ONE)["status"]["interfaces"][0]["mac"]
    index = declared.node.run(["cat", "/sys/class/net/vnet0/ifindex"]).stdout
    assert _tuned(declared, mac) == {"inbound.average": 1000}
    assert "rate 8Mbit" in _classes(declared)
    declared.apply(_machine(bandwidth={"inbound": {"average": "2M", "peak": "4M", "burst": "64Ki"}}))
    wanted = {"inbound.average": 2000, "inbound.peak": 4000, "inbound.burst": 64}
    declared.wait(ONE, lambda seen: is_ready(seen) and _tuned(declared, mac) == wanted, "changed")
    assert "rate 16Mbit ceil 32Mbit" in _classes(declared)
    declared.apply(_machine())
    declared.wait(ONE, lambda seen: is_ready(seen) and _tuned(declared, mac) == {}, "without a limit")
    assert "Mbit" not in _classes(declared)
    assert declared.node.run(["cat", "/sys/class/net/vnet0/ifindex"]).stdout == index
