"""Hosts without libvirt: node plugins in memory behind real mutual TLS, hundreds in one process, for tests of scale and of faults.

A fake node keeps the node's rules (authority, token, ownership, what never changes, what a machine waits for) by the plugin's own pure
code, and runs its machines at once. `tests/unit/tools/test_fake_node.py` holds it and the real service to the same cases.
"""

from tools.cluster.fakehosts.faults import HostFaults
from tools.cluster.fakehosts.group import FakeHosts
from tools.cluster.fakehosts.node import FakeNode, Judgement

__all__ = ["FakeHosts", "FakeNode", "HostFaults", "Judgement"]
