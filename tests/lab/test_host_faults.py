"""What is around the plugin misbehaves on real hosts: libvirtd frozen, killed, and started with another config; guests that neither stop
nor release a device; a wall clock that is set."""

from __future__ import annotations

import datetime
import signal
import uuid
from collections.abc import Iterator

import pytest

from tests.lab.declared import Declared, Document, condition, empty_machine, reason, vm
from tools.lab import Lab, LabSpec, Node
from xvirt.model.exchange import ApplyCall, OperateCall, OperationState, Verb

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


def test_a_guest_that_ignores_the_power_button_is_powered_off_when_its_grace_is_over(declared: Declared) -> None:
    deaf = vm("deaf")
    declared.apply(empty_machine("deaf", terminationGracePeriodSeconds=2))
    declared.wait_ready(deaf)
    assert declared.operate(deaf, Verb.STOP).state is OperationState.SUCCEEDED
    told = [event.reason for event in declared.client.describe(deaf).events]
    assert told.index("ShutdownDomain") < told.index("DestroyDomain"), "asked first"
    assert declared.node.virsh("domstate", "default_deaf").strip() == "shut off"
    declared.delete(deaf)


def test_a_guest_that_keeps_a_device_is_told_of_and_loses_it_with_its_next_start(declared: Declared) -> None:
    """A boot sector that halts: nobody in the guest hears that a card is to leave."""
    holder, node = vm("holder"), declared.node
    disks = [{"name": name, "source": {"size": "1Mi"}, "deletionPolicy": "Delete"} for name in ("root", "extra")]
    declared.apply(empty_machine("holder", disks=disks))
    declared.wait_ready(holder)
    before = _pid(node, "holder")
    declared.apply(empty_machine("holder", disks=disks[:1]))
    seen = declared.wait(holder, lambda seen: reason(seen) in ("Detaching", "GuestHoldsDevice"), "asked to release it")
    assert "has not released disk extra" in str(seen["status"]["conditions"])
    assert "default_holder_extra.qcow2" in node.run(["ls", "/var/lib/xvirt/pool"]).stdout, "it is in use"
    declared.wait_ready(WEB)
    assert _pid(node, "holder") == before
    assert declared.operate(holder, Verb.RESTART).state is OperationState.SUCCEEDED
    declared.wait_ready(holder)
    assert "ua-disk-extra" not in node.virsh("dumpxml", "default_holder")
    assert "default_holder_extra.qcow2" not in node.run(["ls", "/var/lib/xvirt/pool"]).stdout
    declared.delete(holder)


@pytest.fixture
def settable(declared: Declared) -> Iterator[Declared]:
    """The plugin with a wall clock that this test sets, gRPC's, TLS's and SQLite's included; the monotonic one is the machine's."""
    node = declared.node
    node.stop_plugin()
    node.run(["sh", "-c", "echo +0 > /run/xvirt/clock"])
    libraries = ["find", "/usr/lib", "-name", "libfaketime.so.1"]
    preload = node.run(libraries).stdout.split()[0]
    environment = {
        "LD_PRELOAD": preload,
        "FAKETIME_TIMESTAMP_FILE": "/run/xvirt/clock",
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    node.start_plugin(extra_env=environment)
    yield declared
    node.stop_plugin()
    node.start_plugin()


@pytest.mark.parametrize("jump", ["+1h", "-1h"])
def test_a_wall_clock_that_jumps_an_hour_disturbs_neither_machines_nor_calls(settable: Declared, jump: str) -> None:
    declared, node = settable, settable.node
    declared.wait_ready(WEB)
    before, settled = _pid(node), declared.get(WEB)
    slow = vm("slow")
    declared.apply(empty_machine("slow", terminationGracePeriodSeconds=3600))
    declared.wait_ready(slow)
    with declared.client.watch() as events:
        next(events)
        declared.client.operate(OperateCall(ref=slow, verb=Verb.STOP, operation_id=str(uuid.uuid4())))
        declared.wait(slow, lambda seen: seen["status"]["powerState"] == "Stopping", "asked to stop")
        node.run(["sh", "-c", f"echo {jump} > /run/xvirt/clock"])
        declared.apply(empty_machine("during"))
        seen = declared.wait_ready(vm("during"))
        while (event := next(events)).object is None or event.object.ref.name != "during":
            pass
    assert node.virsh("domstate", "default_slow").strip() == "running", "an hour of grace has not gone by"
    shown = datetime.datetime.fromisoformat(seen["status"]["conditions"][0]["lastTransitionTime"])
    off = shown - datetime.datetime.now(datetime.UTC)
    assert round(off / datetime.timedelta(hours=1)) == int(jump[:2])
    assert declared.get(WEB)["status"] == settled["status"]
    assert _pid(node) == before
    for ref in (slow, vm("during")):
        declared.client.delete(ref, force=True)
        declared.wait_gone(ref)
