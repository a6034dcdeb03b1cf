"""examples/10-pulumi with the real engine and real guests. The tests of this module build on each other's guests, in order."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.lab import Node
from tools.pulumi.stack import Stack

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "10-pulumi"
URL = "http://192.168.180.11/"
ANSWERS_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def stack(make_stack: Callable[[], Stack], guest_image: Path) -> Stack:
    made = make_stack()
    for source in EXAMPLE.glob("*.py"):
        shutil.copy(source, made.directory)
    made.run("config", "set", "image", str(guest_image), "--stack", made.name).assert_ok()
    return made


def answers(node: Node, wanted: set[str]) -> set[str]:
    """Who answers behind the balancer, once all have or the time is over: a guest begins to serve some time after it has an address."""
    found: set[str] = set()
    deadline = time.monotonic() + ANSWERS_WITHIN_S
    while found != wanted and time.monotonic() < deadline:
        found.add(node.run(["curl", "-s", "-m", "5", URL], check=False).stdout.strip())
        found.discard("")
    return found


def test_row_99_the_example_serves_behind_its_balancer(stack: Stack, node: Node) -> None:
    done = stack.up().assert_ok()
    assert done.changes == {"create": 6}, done.text
    assert f'url    : "{URL}"' in done.text
    assert answers(node, {"shop-1", "shop-2"}) == {"shop-1", "shop-2"}
    assert stack.up().assert_ok().changes == {"same": 6}


def test_row_99_a_server_more_changes_the_network_live_and_no_other_machine(stack: Stack, node: Node) -> None:
    before = node.virsh("list").splitlines()[2:]
    stack.run("config", "set", "replicas", "3", "--stack", stack.name).assert_ok()
    preview = stack.preview().assert_ok()
    assert "VirtualNetwork default/shop: spec.dns.hosts" in preview.text, preview.text
    done = stack.up().assert_ok()
    assert done.changes == {"create": 1, "update": 1, "same": 5}, done.text
    assert answers(node, {"shop-1", "shop-2", "shop-3"}) == {"shop-1", "shop-2", "shop-3"}
    assert {line for line in before if line} <= set(node.virsh("list").splitlines())


def test_row_99_user_data_stands_nowhere_in_clear(stack: Stack, node: Node) -> None:
    assert "busybox" not in stack.state
    assert "busybox" not in node.virsh("dumpxml", "default_shop-1")


def test_row_99_nothing_is_left_of_it(stack: Stack, node: Node) -> None:
    stack.destroy().assert_ok()
    assert "shop" not in node.virsh("list", "--all")
    assert "shop" not in node.virsh("net-list", "--all")
