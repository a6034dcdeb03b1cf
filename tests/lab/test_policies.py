"""What a machine's policies do on real QEMU: run strategies after a crash, restarts on change, detaching."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.declared import Declared, condition, empty_machine, is_ready, vm
from tools.lab import Node

NAME = "ruled"
DOMAIN = "default_ruled"
REF = vm(NAME)


@pytest.fixture
def declared(node: Node) -> Iterator[Declared]:
    client = Declared(node)
    yield client
    for view in client.client.list_objects("VirtualMachine"):
        client.client.delete(view.ref, force=True)
        client.wait_gone(view.ref)


def _domid(declared: Declared) -> str:
    return declared.node.virsh("domid", DOMAIN).strip()


def _kill_qemu(declared: Declared) -> None:
    pid = declared.node.run(["pidof", "-s", "qemu-system-x86_64"]).stdout.strip()
    declared.node.run(["kill", "-KILL", pid])


@pytest.mark.parametrize("strategy", ["Always", "RerunOnFailure"])
def test_row_26_a_killed_qemu_is_started_again(declared: Declared, strategy: str) -> None:
    declared.apply(empty_machine(NAME, runStrategy=strategy))
    declared.wait_ready(REF)
    before = _domid(declared)
    _kill_qemu(declared)
    declared.wait(REF, lambda seen: is_ready(seen) and _domid(declared) not in (before, "-"), "started again")


def test_row_26_a_killed_qemu_stays_off_when_it_was_to_run_once(declared: Declared) -> None:
    declared.apply(empty_machine(NAME, runStrategy="Once"))
    declared.wait_ready(REF)
    _kill_qemu(declared)
    declared.wait(REF, lambda seen: seen["status"]["powerState"] in ("Stopped", "Crashed"), "off")
    declared.node.stop_plugin()
    declared.node.start_plugin()
    declared.wait(REF, lambda seen: seen["status"]["powerState"] in ("Stopped", "Crashed"), "still off")
    assert _domid(declared) == "-"


def test_row_26_a_halted_machine_is_defined_and_off(declared: Declared) -> None:
    declared.apply(empty_machine(NAME, runStrategy="Halted"))
    declared.wait_ready(REF)
    assert _domid(declared) == "-"


def test_a_restart_field_restarts_a_machine_whose_policy_is_restart(declared: Declared) -> None:
    declared.apply(empty_machine(NAME, updatePolicy="Restart"))
    declared.wait_ready(REF)
    before = _domid(declared)
    declared.apply(empty_machine(NAME, updatePolicy="Restart", cpu={"cores": 1, "max": 3}))
    seen = declared.wait(REF, lambda seen: is_ready(seen) and _domid(declared) not in (before, "-"), "restarted")
    assert seen["status"]["restartRequired"] == []
    assert condition(seen, "RestartRequired") != "True"
    assert "current='1'>3</vcpu>" in declared.node.virsh("dumpxml", DOMAIN)


def test_a_detached_machine_runs_on(declared: Declared) -> None:
    declared.apply(empty_machine(NAME, deletionPolicy="Detach"))
    declared.wait_ready(REF)
    before = _domid(declared)
    declared.delete(REF)
    try:
        assert _domid(declared) == before
    finally:
        declared.node.virsh("destroy", DOMAIN)
        declared.node.virsh("undefine", DOMAIN, "--nvram")
