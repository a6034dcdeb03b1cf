"""`node accept-epoch` against a node that serves."""

from __future__ import annotations

from tests.unit.cli.live_node import LiveNode

MACHINE = """
apiVersion: xvirt.io/v1alpha1
kind: VirtualMachine
metadata: {name: web}
spec: {memory: {size: 64Mi}, runStrategy: Halted}
"""


def test_root_is_told_whose_tokens_are_taken_again(node: LiveNode) -> None:
    node.declare(MACHINE)
    answer = node.xvirt("node", "accept-epoch", "local")
    assert answer.code == 0
    assert answer.out == "VirtualMachine default/web takes any token of local once more\n"
    assert "EpochAccepted" in node.xvirt("events").out


def test_a_mistyped_authority_is_refused_with_those_that_are_there(node: LiveNode) -> None:
    node.declare(MACHINE)
    answer = node.xvirt("node", "accept-epoch", "lokal")
    assert answer.code != 0
    assert "'lokal' has declared nothing here; use one of: local" in answer.err


def test_deleted_objects_alone_are_enough(node: LiveNode) -> None:
    node.declare(MACHINE)
    assert node.xvirt("delete", "vm", "web").code == 0
    assert "deleted objects of it may be declared again" in node.xvirt("node", "accept-epoch", "local").out
