"""stacks/ with the real engine: the host's own over its Unix socket, and a fleet of two over mutual TLS."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.guest import image_path
from tools.lab import Lab, LabSpec, Node
from tools.lab.settings import STACKS_CLIENT_NAME
from tools.pulumi.stack import Stack

STACKS = Path(__file__).resolve().parents[2] / "stacks"


def make(engine: Path, directory: Path, name: str, config: dict[str, str], own: dict[str, str]) -> Stack:
    """A stack of the repository's programs; `config`: xVirt's keys, `own`: the program's."""
    shutil.copytree(STACKS, directory, dirs_exist_ok=True)
    made = Stack(engine, directory, directory / "backend", name).make(**config)
    for key, value in own.items():
        made.run("config", "set", key, value, "--stack", name).assert_ok()
    return made


def test_row_99_the_stack_of_one_host_runs(engine: Path, node: Node, guest_image: Path, tmp_path: Path) -> None:
    own = {"image": str(guest_image), "memory": "160Mi", "disk": "128Mi"}
    stack = make(engine, tmp_path, "single-host", {"node": f"unix://{node.socket_path}"}, own)
    done = stack.up().assert_ok()
    assert done.changes == {"create": 3}, done.text
    assert 'vm-1: "192.168.170.' in done.text
    assert stack.up().assert_ok().changes == {"same": 3}
    stack.run("config", "set", "memory", "256Mi", "--stack", stack.name).assert_ok()
    preview = stack.preview().assert_ok()
    assert "spec.memory.size 160Mi -> 256Mi [live]" in preview.text, preview.text
    assert "update memory to 256Mi live [live]" in preview.text, preview.text
    before = node.virsh("domid", "default_vm-1")
    assert stack.up().assert_ok().changes == {"same": 2, "update": 1}
    assert node.virsh("domid", "default_vm-1") == before
    stack.destroy().assert_ok()


@pytest.fixture(scope="module")
def pair(engine: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two nodes."""
    with Lab.up(LabSpec(f"stacks-pair-{tmp_path_factory.getbasetemp().name}", nodes=2)) as up:
        shutil.copyfile(image_path(), up.shared / "guest.qcow2")
        yield up


def fleet_of(lab: Lab, *names: str) -> dict[str, str]:
    """Configuration of a fleet of some of the lab's nodes."""
    nodes = [{"address": f"tcp://{lab.nodes[name].tls_address}", "nodeName": name} for name in names]
    files = {"tlsCa": "ca.crt", "tlsCert": f"{STACKS_CLIENT_NAME}.crt", "tlsKey": f"{STACKS_CLIENT_NAME}.key"}
    return {"nodes": json.dumps(nodes), **{key: str(lab.pki / name) for key, name in files.items()}}


def machines(lab: Lab) -> dict[str, set[str]]:
    """Names of the domains on each node."""
    return {name: set(node.virsh("list", "--all", "--name").split()) for name, node in lab.nodes.items()}


def test_row_99_a_fleet_grows_and_no_machine_moves(engine: Path, pair: Lab, tmp_path: Path) -> None:
    own = {"image": str(pair.shared / "guest.qcow2"), "memory": "160Mi", "disk": "128Mi", "machines": "2"}
    stack = make(engine, tmp_path, "fleet", fleet_of(pair, "node-a"), own)
    assert stack.up().assert_ok().changes == {"create": 6}
    assert machines(pair) == {"node-a": {"default_vm-1", "default_vm-2"}, "node-b": set()}
    stack.configure(**fleet_of(pair, "node-a", "node-b"))
    stack.run("config", "set", "machines", "5", "--stack", stack.name).assert_ok()
    done = stack.up().assert_ok()
    assert done.changes == {"same": 6, "create": 8}, done.text
    found = machines(pair)
    assert found["node-a"] >= {"default_vm-1", "default_vm-2"}
    assert found["node-b"], "five machines spread over two nodes by their names"
    assert sum(map(len, found.values())) == 5
    disks = {name: set(node.run(["ls", "/var/lib/xvirt/pool"]).stdout.split()) for name, node in pair.nodes.items()}
    for name, domains in found.items():
        assert {f"{domain}-data.qcow2" for domain in domains} <= disks[name], disks
    pair.nodes["node-b"].power_off()
    stack.run("config", "set", "machines", "6", "--stack", stack.name).assert_ok()
    refused = stack.up().assert_failed()
    assert "node node-b cannot be asked whether it has the object already" in refused.text, refused.text
    pair.nodes["node-b"].boot()
    assert stack.up().assert_ok().changes == {"same": 14, "create": 2}
    stack.destroy().assert_ok()
    assert machines(pair) == {"node-a": set(), "node-b": set()}
