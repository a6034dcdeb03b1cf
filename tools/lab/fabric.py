"""The fabric: a network namespace with the bridge that joins the nodes, held by one process (`hold.py`)."""

import subprocess
from collections.abc import Sequence

from tools.lab.errors import LabError
from tools.lab.processes import Process
from tools.lab.spec import NETWORK_PREFIX_BITS

BRIDGE = "lab0"
_BRIDGE_ADDRESS = "10.77.0.1"


def build_bridge(fabric: Process) -> None:
    """Make the bridge inside the fabric."""
    _ip(fabric, ["link", "set", "lo", "up"])
    _ip(fabric, ["link", "add", BRIDGE, "type", "bridge"])
    _ip(fabric, ["address", "add", f"{_BRIDGE_ADDRESS}/{NETWORK_PREFIX_BITS}", "dev", BRIDGE])
    _ip(fabric, ["link", "set", BRIDGE, "up"])


def attach_node(fabric: Process, init: Process, name: str, address: str) -> None:
    """Give the node `eth0` with `address`, its other end `name` in the bridge. Both ends are made in place."""
    # After a reboot the kernel takes a moment to drop the old pair; there is none at the first boot.
    _run_ip(fabric, ["link", "delete", name])
    _ip(fabric, ["link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(init.pid)])
    _ip(fabric, ["link", "set", name, "master", BRIDGE, "up"])
    _ip(init, ["address", "add", f"{address}/{NETWORK_PREFIX_BITS}", "dev", "eth0"])
    _ip(init, ["link", "set", "eth0", "up"])


def _ip(inside: Process, arguments: Sequence[str]) -> None:
    done = _run_ip(inside, arguments)
    if done.returncode != 0:
        raise LabError(f"`ip {' '.join(arguments)}` in the network of process {inside.pid}: {done.stderr.strip()}")


def _run_ip(inside: Process, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    argv = ["nsenter", "--target", str(inside.pid), "--net", "ip", *arguments]
    return subprocess.run(argv, text=True, capture_output=True, stdin=subprocess.DEVNULL)
