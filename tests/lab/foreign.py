"""Domains of somebody else on the same host: ten of them, two running. Nothing that xVirt does may touch them (row 69)."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

from tools.lab import Node

FOREIGN = """<domain type='qemu'><name>foreign-{number}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><interface type='ethernet'><mac address='52:54:00:00:00:{number:02x}'/></interface></devices></domain>"""
COUNT, RUNNING = 10, 2


@contextlib.contextmanager
def foreign_domains(node: Node) -> Iterator[dict[str, str]]:
    """Makes them, and gives their fingerprint."""
    for number in range(COUNT):
        node.virsh("define", "/dev/stdin", stdin=FOREIGN.format(number=number))
        if number < RUNNING:
            node.virsh("start", f"foreign-{number}")
    yield fingerprint(node)
    for number in range(COUNT):
        node.virsh("destroy", f"foreign-{number}", check=False)
        node.virsh("undefine", f"foreign-{number}")


def fingerprint(node: Node) -> dict[str, str]:
    """Name -> hash of the XML (with the identity of the run), and the process."""
    found = {}
    for name in node.virsh("list", "--all", "--name").split():
        if name.startswith("foreign-"):
            xml = node.virsh("dumpxml", name).encode()
            pid = node.run(["cat", f"/run/libvirt/qemu/{name}.pid"], check=False).stdout.strip()
            found[name] = f"{hashlib.sha256(xml).hexdigest()} {pid}"
    return found
