"""What runs already, in a stack: the first `up` of an exported program changes nothing on the host, and what lost its state comes back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.declared import Declared, vm
from tools.lab import Node
from tools.pulumi.stack import Stack
from xvirt.domainxml.mark import remove_mark
from xvirt.domainxml.tree import canonical, parse_xml

DOMAIN = "old server"
FOREIGN = f"""<domain type='qemu'><name>{DOMAIN}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/var/lib/libvirt/images/old.img'/>
<target dev='hda' bus='ide'/></disk><interface type='ethernet'><mac address='52:54:00:00:00:42'/></interface></devices></domain>"""


@pytest.fixture
def foreign(node: Node) -> Iterator[str]:
    """A running domain that nobody declares; its UUID. Asked for before `declared`, so that it is released before it is removed."""
    node.run(["sh", "-c", "mkdir -p /var/lib/libvirt/images; truncate -s 1M /var/lib/libvirt/images/old.img"])
    node.virsh("define", "/dev/stdin", stdin=FOREIGN)
    node.virsh("start", DOMAIN)
    yield node.virsh("domuuid", DOMAIN).strip()
    node.virsh("destroy", DOMAIN, check=False)
    node.virsh("undefine", DOMAIN)


def _picture(node: Node, uuid: str) -> tuple[bytes, ...]:
    """Both definitions without the mark, and the process."""
    documents = [parse_xml(node.virsh("dumpxml", uuid, *options)) for options in ((), ("--inactive",))]
    for document in documents:
        remove_mark(document)
    pid = node.run(["cat", f"/run/libvirt/qemu/{DOMAIN}.pid"]).stdout
    return (*map(canonical, documents), pid.encode())


def test_row_103_an_exported_program_takes_over_what_runs_and_changes_nothing(
    make_stack: Callable[[], Stack], foreign: str, declared: Declared, node: Node
) -> None:
    before = _picture(node, foreign)
    argv = [str(Path(sys.executable).with_name("xvirt")), "--node", f"unix://{node.socket_path}"]
    program = subprocess.run([*argv, "export", "--to", "pulumi", DOMAIN], text=True, capture_output=True, check=True)
    stack = make_stack()
    stack.write(program.stdout)
    found = stack.up().assert_ok()
    assert found.changes == {"create": 1}, found.text
    assert _picture(node, foreign) == before
    (made,) = stack.resources.values()
    assert made["uuid"] == foreign
    view = declared.client.get(vm(made["metadata"]["name"]))
    assert view.ref.authority == stack.authority

    stack.lose_state()
    found = stack.up().assert_ok()
    assert found.changes == {"create": 1}, found.text
    found = stack.up("--refresh", "--expect-no-changes").assert_ok()
    assert (stack.resources, _picture(node, foreign)) == ({view.document["metadata"]["name"]: made}, before)
