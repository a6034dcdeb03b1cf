"""An empty node between tests that share it."""

from __future__ import annotations

from tests.lab.declared import Declared

POOL = "/var/lib/xvirt/pool"
"""Where a node's volumes are, as the node sees it."""


def empty(client: Declared) -> None:
    """Delete all objects, and the disks that policy kept: an image would wait for them."""
    refs = [view.ref for view in client.client.list_objects()]
    for ref in refs:
        client.client.delete(ref, force=True)
    for ref in refs:
        if ref.kind == "VirtualMachine":
            client.wait_gone(ref)
    client.node.run(["sh", "-c", f"rm -f {POOL}/*"])
    for ref in refs:
        client.wait_gone(ref)
