"""What is around the plugin misbehaves on real hosts: libvirtd frozen, killed, and started with another config."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.lab.declared import Declared, Document, condition, empty_machine, vm
from tools.lab import Lab, LabSpec, Node
from xvirt.model.exchange import ApplyCall

WEB = vm("web")


@pytest.fixture(scope="module")
def pair(lab_prefix: str) -> Iterator[Lab]:
    """Two hosts, each with a machine that runs."""
    with Lab.up(LabSpec(f"{lab_prefix}-hosts", nodes=2)) as up:
        for node in up.nodes.values():
            Declared(node).apply(empty_machine("web"))
        for node in up.nodes.values():
            Declared(node).wait_ready(WEB)
        yield up


@pytest.fixture
def declared(pair: Lab) -> Declared:
    return Declared(pair.nodes["node-a"])


def _pid(node: Node, name: str = "web") -> str:
    return node.run(["cat", f"/run/libvirt/qemu/default_{name}.pid"]).stdout.strip()


def _is_unknown(seen: Document) -> bool:
    return condition(seen, "Ready") == "Unknown" and bool(seen["status"]["powerState"] == "Unknown")


def test_row_14_a_frozen_libvirtd_costs_its_host_the_sight_and_no_other_host_anything(
    pair: Lab, declared: Declared
) -> None:
    node, other = declared.node, Declared(pair.nodes["node-b"])
    before, spec = _pid(node), declared.get(WEB)["spec"]
    node.kill_libvirtd(signal.SIGSTOP)
    try:
        seen = declared.wait(WEB, _is_unknown, "Unknown")
        assert (seen["spec"], seen["status"]["uuid"]) == (spec, seen["metadata"]["uid"]), "unknown, not gone"
        assert [view.ref.name for view in declared.client.list_objects("VirtualMachine")] == ["web"]
        stored = declared.apply(empty_machine("late"))
        assert stored.object.token.generation == 1
        assert stored.waiting_for, "the answer says what it waits for"
        other.apply(empty_machine("meanwhile"))
        other.wait_ready(vm("meanwhile"))
        other.wait_ready(WEB)
        assert _is_unknown(declared.get(WEB)), "the other host was served while this one hung"
        assert node.run(["kill", "-0", before], check=False).returncode == 0
    finally:
        node.kill_libvirtd(signal.SIGCONT)
    declared.wait_ready(WEB)
    declared.wait_ready(vm("late"))
    assert _pid(node) == before
    declared.delete(vm("late"))
    other.delete(vm("meanwhile"))


def test_row_75_a_killed_libvirtd_is_waited_for_and_what_was_declared_meanwhile_comes(declared: Declared) -> None:
    before = _pid(declared.node)
    declared.node.kill_libvirtd(signal.SIGKILL)
    declared.wait(WEB, _is_unknown, "Unknown")
    declared.client.apply(ApplyCall(document=empty_machine("late")))
    declared.node.start_libvirtd()
    declared.wait_ready(vm("late"))
    declared.wait_ready(WEB)
    assert _pid(declared.node) == before
    declared.delete(vm("late"))


def test_libvirts_config_is_changed_under_machines_that_run(declared: Declared) -> None:
    node, before = declared.node, _pid(declared.node)
    node.run(["sh", "-c", "echo 'max_clients = 77' >> /etc/libvirt/libvirtd.conf"])
    node.run(["sh", "-c", "echo 'max_files = 12345' >> /etc/libvirt/qemu.conf"])
    node.restart_libvirtd()
    assert "77" in node.run(["virt-admin", "-c", "libvirtd:///system", "server-clients-info", "libvirtd"]).stdout
    declared.wait_ready(WEB)
    declared.apply(empty_machine("after"))
    declared.wait_ready(vm("after"))
    limits = node.run(["cat", f"/proc/{_pid(node, 'after')}/limits"]).stdout
    assert "12346" in next(  # libvirt adds one
        line for line in limits.splitlines() if line.startswith("Max open files")
    )
    assert _pid(node) == before
    declared.delete(vm("after"))
