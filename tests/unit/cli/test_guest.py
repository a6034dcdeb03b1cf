"""What the command line shows of a guest: asked by the node's own threads, with nothing of it believed by a terminal."""

from __future__ import annotations

from typing import Any

from tests.unit.cli.live_node import MACHINE, LiveNode, eventually
from tests.unit.nodeplugin.test_guest_facts import TOLD, address

PROBE = "  readinessProbe: {exec: {command: [/bin/check]}, periodSeconds: 1, failureThreshold: 1}\n"


def _condition(node: LiveNode, kind: str) -> dict[str, Any]:
    stored = node.store.find(node.uid())
    assert stored is not None
    return next(dict(item) for item in stored.status["conditions"] if item["type"] == kind)


def test_row_92_get_and_describe_show_what_the_agent_told(node: LiveNode) -> None:
    node.declare(MACHINE)
    node.hypervisor.domain(node.uid()).agent.addresses = [address("192.0.2.7")]
    node.hypervisor.connect_agent(node.uid(), TOLD | {"hostname": "evil\x1b[2J"})
    rows = eventually(lambda: "Debian" in (out := node.xvirt("get", "vm", "web", "-o", "wide").out) and out)
    assert "OS" in rows.splitlines()[0].split()
    assert "Debian GNU/Linux 12 (bookworm)" in rows
    told = node.xvirt("describe", "vm", "web").out
    assert "hostName: evil\N{REPLACEMENT CHARACTER}[2J" in told
    assert "mountPoint: /" in told
    assert "\x1b" not in told


def test_row_93_a_probe_is_asked_by_the_nodes_threads_and_wait_waits_for_it(node: LiveNode) -> None:
    applied = node.xvirt("apply", "-f", "-", text=MACHINE + PROBE)
    assert applied.code == 0, applied
    eventually(lambda: node.hypervisor.list_domains())
    is_well: list[bool] = []
    node.hypervisor.domain(node.uid()).agent.run = lambda argv: 0 if is_well else 1
    eventually(lambda: node.hypervisor.find_domain(node.uid()).is_active)  # type: ignore[union-attr]
    node.hypervisor.connect_agent(node.uid())
    eventually(lambda: _condition(node, "Ready")["reason"] == "ReadinessProbeFailed")
    assert node.xvirt("get", "vm", "web", "--no-headers").rows()[0][1] == "NotReady"
    is_well.append(True)
    waited = node.xvirt("wait", "vm", "web", "--for=condition=Ready", "--timeout=30s")
    assert waited.code == 0, waited
