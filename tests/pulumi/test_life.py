"""A stack's life with a real guest, from its first preview to destroy. The tests of this module build on each other's guest, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.declared import Declared, condition, has_agent, vm
from tests.pulumi.cleaning import POOL, empty
from tools.lab import Node
from tools.pulumi.stack import Stack
from xvirt.model.errors import NotFound
from xvirt.model.exchange import ObjectRef

WEB = vm("web")
DOMAIN = "default_web"
PROGRAM = """
import pulumi
from xvirt_provider import Options, VirtualImage, VirtualMachine, VirtualNetwork

guest = VirtualImage("guest", source={{"path": "{image}"}})
lan = VirtualNetwork(
    "lan",
    mode="Nat",
    subnets=[
        {{
            "address": "192.168.160.1/24",
            "dhcp": {{"ranges": [{{"start": "192.168.160.10", "end": "192.168.160.99"}}]}},
        }}
    ],
)
web = VirtualMachine(
    "web",
    name="{object_name}",
    cpu={{"cores": 1, "max": {cpu_max}}},
    memory={{"size": "{memory}", "max": "512Mi"}},
    disks=[{{"name": "root", "source": {{"image": "guest", "size": "128Mi"}}, "deletion_policy": "{disks}"}}],
    nics=[{{"name": "lan", "network": "lan"}}],
    cloud_init={{"user_data": {{"secret": "init"}}}},
    secrets={{"init": {{"userData": "#!/bin/sh\\necho word-of-the-guest > /run/hello\\n"}}}},
    drift_policy="Report",
    termination_grace_period_seconds=30,
    options=Options(wait_for="address"),
    opts=pulumi.ResourceOptions(depends_on=[guest, lan]),
)
pulumi.export("address", web.address)
"""


@pytest.fixture(scope="module")
def declared(node: Node) -> Iterator[Declared]:
    client = Declared(node)
    empty(client)
    yield client
    empty(client)


@pytest.fixture(scope="module")
def stack(make_stack: Callable[[], Stack]) -> Stack:
    return make_stack()


@pytest.fixture
def program(stack: Stack, guest_image: Path) -> Callable[..., None]:
    """Writes the program; what is not named is as it was at first."""

    def write(**more: object) -> None:
        values = {"object_name": "web", "cpu_max": 2, "memory": "160Mi", "disks": "Retain"}
        stack.write(PROGRAM.format(image=guest_image, **values | more))

    return write


def _domain_id(node: Node) -> str:
    return node.virsh("domid", DOMAIN).strip()


def test_row_99_a_preview_creates_nothing(stack: Stack, program: Callable[..., None], declared: Declared) -> None:
    program()
    found = stack.preview().assert_ok()
    assert found.changes == {"create": 3}, found.text
    assert declared.client.list_objects() == []


def test_row_99_up_ends_with_a_guest_that_has_an_address(stack: Stack, declared: Declared) -> None:
    found = stack.up().assert_ok()
    assert found.changes == {"create": 3}, found.text
    seen = declared.wait(WEB, has_agent, "with its agent")
    outputs = stack.resources["web"]
    assert outputs["uuid"] == seen["status"]["uuid"]
    assert outputs["host"] == "node-a"
    assert outputs["address"].startswith("192.168.160.")
    assert outputs["address"] in found.text, "the program's own output"
    assert declared.output_after_seed(DOMAIN, ["cat", "/run/hello"]) == "word-of-the-guest"


def test_row_99_a_second_up_changes_nothing(stack: Stack, declared: Declared, node: Node) -> None:
    before = _domain_id(node), declared.get(WEB)["metadata"]
    found = stack.up("--expect-no-changes").assert_ok()
    assert found.changes == {"same": 3}, found.text
    assert (_domain_id(node), declared.get(WEB)["metadata"]) == before
    refreshed = stack.refresh("--expect-no-changes").assert_ok()
    assert set(refreshed.changes) <= {"same", "refresh"}, refreshed.text


def test_row_99_a_live_change_is_previewed_as_such_and_is_done_live(
    stack: Stack, program: Callable[..., None], declared: Declared, node: Node
) -> None:
    before = _domain_id(node)
    program(memory="256Mi")
    preview = stack.preview().assert_ok()
    assert preview.changes == {"update": 1, "same": 2}, preview.text
    assert "spec.memory.size 160Mi -> 256Mi [live]" in preview.text
    assert declared.get(WEB)["status"]["memory"] == "160Mi"
    stack.up().assert_ok()
    assert declared.get(WEB)["status"]["memory"] == "256Mi"
    assert stack.resources["web"]["conditions"].get("RestartRequired", "False") == "False"
    assert _domain_id(node) == before


def test_row_99_what_waits_for_a_restart_is_previewed_as_such_and_waits(
    stack: Stack, program: Callable[..., None], declared: Declared, node: Node
) -> None:
    before = _domain_id(node)
    program(memory="256Mi", cpu_max=3)
    preview = stack.preview().assert_ok()
    assert preview.changes == {"update": 1, "same": 2}, preview.text
    assert "spec.cpu.max 2 -> 3 [at the next start]" in preview.text
    stack.up().assert_ok()
    seen = declared.get(WEB)
    assert condition(seen, "RestartRequired") == "True"
    assert seen["status"]["restartRequired"] == ["spec.cpu.max"]
    assert stack.resources["web"]["conditions"]["RestartRequired"] == "True"
    assert _domain_id(node) == before


def test_row_99_a_guest_that_restarted_differs_in_nothing_that_was_declared(
    stack: Stack, declared: Declared, node: Node
) -> None:
    before = _domain_id(node)
    node.virsh("destroy", DOMAIN)
    declared.wait(WEB, lambda seen: has_agent(seen) and _domain_id(node) not in (before, "-"), "back")
    found = stack.up("--refresh", "--expect-no-changes")
    assert found.changes.get("update", 0) == 0, found.text
    assert stack.resources["web"]["conditions"].get("RestartRequired", "False") == "False"


def test_row_99_refresh_finds_what_virsh_changed_and_up_puts_it_back(
    stack: Stack, declared: Declared, node: Node
) -> None:
    node.virsh("desc", DOMAIN, "--config", "changed by hand")
    drift = ["/domain/description was added by hand"]
    declared.wait(WEB, lambda seen: seen["status"]["drift"] == drift, "seen by the node")
    found = stack.refresh().assert_ok()
    assert found.changes["update"] == 1, found.text
    assert stack.resources["web"]["drift"] == drift
    preview = stack.preview().assert_ok()
    assert preview.changes == {"update": 1, "same": 2}, preview.text
    assert drift[0] in preview.text
    stack.up().assert_ok()
    assert "changed by hand" not in node.virsh("dumpxml", "--inactive", DOMAIN)
    assert stack.resources["web"]["drift"] == []


def test_row_99_a_replacement_is_previewed_as_such_and_makes_a_new_machine(
    stack: Stack, program: Callable[..., None], declared: Declared
) -> None:
    before = declared.get(WEB)["status"]["uuid"]
    program(memory="256Mi", cpu_max=3, object_name="www", disks="Delete")
    preview = stack.preview().assert_ok()
    assert preview.changes == {"delete-replaced": 1, "replace": 1, "create-replacement": 1, "same": 2}, preview.text
    assert f"{WEB}: metadata.name never changes: a new object takes its place" in preview.text
    found = stack.up().assert_ok()
    assert declared.get(vm("www"))["status"]["uuid"] != before, found.text
    assert stack.resources["web"]["uuid"] != before
    with pytest.raises(NotFound):
        declared.get(WEB)


def test_row_99_destroy_leaves_nothing_but_what_policy_keeps(stack: Stack, declared: Declared, node: Node) -> None:
    found = stack.destroy().assert_ok()
    assert found.changes == {"delete": 3}, found.text
    kept = [str(view.ref) for view in declared.client.list_objects()]
    assert kept == ["VirtualImage default/guest"], "the kept disk is based on it"
    assert "warning: VirtualImage default/guest is still there: Terminating: volume" in found.text
    assert node.virsh("list", "--all", "--name").split() == []
    left = node.run(["find", POOL, "-type", "f", "-name", "*.qcow2"]).stdout.split()
    disk, base = f"{POOL}/default_web_root.qcow2", f"{POOL}/default_guest.image.qcow2"
    assert sorted(left) == [base, disk], "the disk with deletion_policy Retain, and what it is based on"
    node.run(["rm", disk])
    declared.wait_gone(ObjectRef(kind="VirtualImage", namespace="default", name="guest"))
    assert stack.resources == {}
