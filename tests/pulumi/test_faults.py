"""What becomes of a stack when something fails in the middle of it, with machines whose firmware runs for ever."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.lab.declared import Declared, is_ready, vm
from tools.lab import Node
from tools.lab.processes import wait_until
from tools.pulumi.stack import Running, Stack
from xvirt.model.errors import NotFound
from xvirt.model.exchange import Token

WEB = vm("web")
DOMAIN = "default_web"
NEVER = 'wait_for="address"'
"""A machine without a NIC never has one: its create goes on until it is ended."""
COUNT = 6
MANY = f"""
from xvirt_provider import Options, VirtualMachine

for number in range({COUNT}):
    VirtualMachine(f"web-{{{{number}}}}", memory={{{{"size": "32Mi"}}}}, options=Options({{options}}))
"""


@pytest.fixture
def stack(make_stack: Callable[[], Stack]) -> Stack:
    return make_stack()


def _is_running(declared: Declared) -> bool:
    try:
        return bool(declared.get(WEB)["status"]["powerState"] == "Running")
    except (NotFound, KeyError):
        return False


def _begun(stack: Stack, declared: Declared) -> tuple[Running, str]:
    """An `up` whose machine runs and whose create has not ended, and the machine's UUID."""
    running = stack.begin_up()
    wait_until(lambda: _is_running(declared), 60, "the machine to run")
    assert running.process.poll() is None, running.text
    return running, declared.get(WEB)["metadata"]["uid"]


def _assert_finished_by_next_up(stack: Stack, declared: Declared, uuid: str) -> None:
    stack.machine()
    found = stack.up().assert_ok()
    assert found.changes == {"create": 1}, found.text
    assert stack.resources["web"]["uuid"] == uuid
    assert stack.pending == []
    assert declared.node.virsh("list", "--all", "--uuid").split() == [uuid]
    assert [view.ref.uid for view in declared.client.list_objects()] == [uuid]


def test_row_99_a_node_that_is_down_is_an_error_and_never_means_gone(
    stack: Stack, declared: Declared, node: Node
) -> None:
    stack.machine()
    stack.up().assert_ok()
    before = stack.resources
    node.kill_plugin()
    stack.machine(memory={"size": "48Mi", "max": "64Mi"})
    preview = stack.preview().assert_ok()
    assert preview.changes == {"update": 1}, preview.text
    assert "spec.memory.size 32Mi -> 48Mi [live]" in preview.text
    assert "VirtualMachine default/web: the node cannot be asked now; this is what the model says" in preview.text
    for failed in (stack.up().assert_failed(), stack.refresh().assert_failed()):
        assert any("cannot be reached" in error and "is xvirt-node running there?" in error for error in failed.errors)
        assert stack.resources == before
    node.start_plugin()
    found = stack.up().assert_ok()
    assert found.changes == {"update": 1}, found.text
    assert stack.resources["web"]["uuid"] == before["web"]["uuid"]
    assert stack.resources["web"]["spec"]["memory"]["size"] == "48Mi"


def test_row_99_a_host_that_loses_its_power_in_the_middle_of_create_has_one_machine_in_the_end(
    stack: Stack, declared: Declared, node: Node
) -> None:
    stack.machine(options=f'{NEVER}, on_timeout="fail", timeouts=Timeouts(create=8)')
    running, uuid = _begun(stack, declared)
    node.power_off()
    failed = running.finish().assert_failed()
    assert any("is not address after 8 s" in error for error in failed.errors), failed.text
    assert "web" not in stack.resources
    node.boot()
    _assert_finished_by_next_up(stack, declared, uuid)
    node.reboot()
    declared.wait(WEB, is_ready, "started again after the reboot")
    found = stack.refresh("--expect-no-changes").assert_ok()
    assert "update" not in found.changes, found.text


def test_row_99_a_provider_that_is_killed_in_the_middle_of_create_leaves_what_the_next_up_finishes(
    stack: Stack, declared: Declared
) -> None:
    stack.machine(options=NEVER)
    running, uuid = _begun(stack, declared)
    running.plugin().send(signal.SIGKILL)
    running.finish().assert_failed()
    assert "web" not in stack.resources
    _assert_finished_by_next_up(stack, declared, uuid)


def test_row_99_more_than_four_machines_are_made_at_once_and_ctrl_c_forgets_none(
    stack: Stack, declared: Declared
) -> None:
    stack.write(MANY.format(options=NEVER))
    running = stack.begin("up", "--yes", "--skip-preview", "--parallel", "16")
    # Each waits for an address that never comes: six are there at once only where six are waited for at once.
    wait_until(lambda: len(declared.client.list_objects()) == COUNT, 60, "all machines to be there")
    uuids = {view.ref.name: view.ref.uid for view in declared.client.list_objects()}
    assert running.process.poll() is None, running.text
    running.press_ctrl_c()
    ended = running.finish().assert_failed()
    assert "^C received; cancelling" in ended.text
    made = stack.resources
    assert {name: outputs["uuid"] for name, outputs in made.items()} == uuids, ended.text
    assert all("was not waited for any longer" in outputs["warning"] for outputs in made.values())
    assert stack.pending == []
    stack.write(MANY.format(options='wait_for="ready"'))
    found = stack.up("--expect-no-changes").assert_ok()
    assert found.changes == {"same": COUNT}, found.text


def test_row_99_two_stacks_never_have_one_machine(
    stack: Stack, make_stack: Callable[[], Stack], declared: Declared
) -> None:
    stack.machine()
    stack.up().assert_ok()
    other = make_stack()
    other.machine()
    failed = other.up().assert_failed()
    assert any(f"owned by authority {stack.authority}, not {other.authority}" in error for error in failed.errors)
    other.destroy().assert_ok()
    assert declared.get(WEB)["status"]["uuid"] == stack.resources["web"]["uuid"]


def test_row_99_a_machine_that_vanished_is_made_anew_by_the_next_up(stack: Stack, declared: Declared) -> None:
    stack.machine()
    stack.up().assert_ok()
    before = stack.resources["web"]["uuid"]
    declared.client.delete(WEB, Token(authority=stack.authority))
    declared.wait_gone(WEB)
    found = stack.up("--refresh").assert_ok()
    assert found.changes["create"] == 1, found.text
    assert declared.get(WEB)["status"]["uuid"] == stack.resources["web"]["uuid"] != before


def test_row_99_a_lost_state_is_had_back_without_a_change(stack: Stack, declared: Declared, node: Node) -> None:
    stack.machine()
    stack.up().assert_ok()
    before = stack.resources["web"], declared.get(WEB)["metadata"], node.virsh("domid", DOMAIN)
    stack.lose_state()
    assert stack.resources == {}
    found = stack.up().assert_ok()
    assert found.changes == {"create": 1}, found.text
    assert (stack.resources["web"], declared.get(WEB)["metadata"], node.virsh("domid", DOMAIN)) == before
