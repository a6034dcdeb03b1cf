"""What a machine's policies do on real QEMU: restarts on change, what is done by hand, detaching."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.declared import Declared, condition, empty_machine, is_ready, vm
from tools.lab import Node
from xvirt.model.exchange import OperationState, Verb, WatchType
from xvirt.model.identity import MARK_NAMESPACE

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


def test_a_restart_field_restarts_a_machine_whose_policy_is_restart(declared: Declared) -> None:
    declared.apply(empty_machine(NAME, updatePolicy="Restart"))
    declared.wait_ready(REF)
    before = _domid(declared)
    declared.apply(empty_machine(NAME, updatePolicy="Restart", cpu={"cores": 1, "max": 3}))
    seen = declared.wait(REF, lambda seen: is_ready(seen) and _domid(declared) not in (before, "-"), "restarted")
    assert seen["status"]["restartRequired"] == []
    assert condition(seen, "RestartRequired") != "True"
    assert "current='1'>3</vcpu>" in declared.node.virsh("dumpxml", DOMAIN)


def test_row_17_a_detached_machine_runs_on_and_an_event_names_its_uuid(declared: Declared) -> None:
    declared.apply(empty_machine(NAME, deletionPolicy="Detach"))
    uuid = declared.wait_ready(REF)["status"]["uuid"]
    before = _domid(declared)
    with declared.client.watch("VirtualMachine") as events:
        while next(events).type is not WatchType.SYNCED:
            pass
        declared.client.delete(REF)
        released = next(item.event for item in events if item.event and item.event.reason == "ReleaseDomain")
    assert uuid in released.message
    declared.wait_gone(REF)
    try:
        assert _domid(declared) == before
        assert MARK_NAMESPACE not in declared.node.virsh("dumpxml", DOMAIN)
        assert MARK_NAMESPACE not in declared.node.virsh("dumpxml", "--inactive", DOMAIN)
    finally:
        declared.node.virsh("destroy", DOMAIN)
        declared.node.virsh("undefine", DOMAIN, "--nvram")


def test_every_field_that_waits_for_a_restart_is_named(declared: Declared) -> None:
    declared.apply(empty_machine(NAME))
    declared.wait_ready(REF)
    before = _domid(declared)
    declared.apply(empty_machine(NAME, cpu={"cores": 1, "max": 3}, devices={"rng": False, "watchdog": "reset"}))
    seen = declared.wait(REF, lambda seen: condition(seen, "RestartRequired") == "True", "waiting")
    waiting = ["spec.cpu.max", "spec.devices.rng", "spec.devices.watchdog"]
    assert sorted(seen["status"]["restartRequired"]) == waiting
    assert _domid(declared) == before
    assert declared.operate(REF, Verb.RESTART).state is OperationState.SUCCEEDED
    seen = declared.wait(REF, lambda seen: condition(seen, "RestartRequired") == "False", "restarted")
    assert seen["status"]["restartRequired"] == []
    assert "<watchdog model='i6300esb' action='reset'>" in declared.node.virsh("dumpxml", DOMAIN)


def test_row_61_what_is_done_by_hand_is_only_reported_where_the_policy_says_so(declared: Declared) -> None:
    declared.apply(empty_machine(NAME, driftPolicy="Report"))
    declared.wait_ready(REF)
    declared.node.virsh("suspend", DOMAIN)
    declared.node.virsh("desc", DOMAIN, "--config", "changed by hand")
    drift = ["/domain/description was added by hand", "the machine was paused by hand"]
    declared.wait(REF, lambda seen: sorted(seen["status"]["drift"]) == drift, "reported")
    declared.node.kill_plugin()
    declared.node.start_plugin()
    declared.wait(REF, lambda seen: sorted(seen["status"]["drift"]) == drift, "reported")
    assert declared.node.virsh("domstate", DOMAIN).strip() == "paused"
    assert "changed by hand" in declared.node.virsh("dumpxml", "--inactive", DOMAIN)

    declared.apply(empty_machine(NAME, driftPolicy="Correct"))
    declared.wait(REF, lambda seen: is_ready(seen) and seen["status"]["drift"] == [], "corrected")
    assert declared.node.virsh("domstate", DOMAIN).strip() == "running"
    assert "changed by hand" not in declared.node.virsh("dumpxml", "--inactive", DOMAIN)


def test_row_61_a_machine_undefined_by_hand_is_defined_again_while_it_runs(declared: Declared) -> None:
    declared.apply(empty_machine(NAME))
    declared.wait_ready(REF)
    before = _domid(declared)
    declared.node.virsh("undefine", DOMAIN, "--nvram")
    persistent = "Persistent:     yes"
    declared.wait(REF, lambda seen: persistent in declared.node.virsh("dominfo", DOMAIN), "defined again")
    declared.wait_ready(REF)
    assert _domid(declared) == before
