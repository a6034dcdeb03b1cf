"""The lab: N real hypervisor nodes on one machine, each in namespaces of its own.

A node is one process tree below its own PID 1 (`init.py`) in private PID, mount, network and UTS namespaces, so killing
that one process removes everything the node started, QEMU and mounts included; nothing is named under /run/netns.
The nodes' networks meet in a bridge inside one more such process, the fabric. The host's libvirt, networks and mounts
are never touched. Called by the tests, the demo, the benchmarks and `./dev lab`; needs root.
"""

from tools.lab.errors import LabError
from tools.lab.lab import Lab
from tools.lab.node import Node
from tools.lab.spec import LabSpec, Lifetime, QemuUser, Services

__all__ = ["Lab", "LabError", "LabSpec", "Lifetime", "Node", "QemuUser", "Services"]
