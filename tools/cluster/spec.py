"""What a control plane is: its place, its ports, what is fast about it. No I/O but the search for free ports."""

from __future__ import annotations

import random
import socket
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"
_PORTS = range(15_000, 32_000)
"""Below Linux' range for outgoing connections, one of which could take the port of a part that is being restarted."""


class Lifetime(StrEnum):
    """When a cluster ends by itself."""

    OWNER = "owner"  # with the process that made it, also when that is killed
    DETACHED = "detached"  # only by down()


@dataclass(frozen=True)
class NodeWatch:
    """How soon the controller manager tells that a node is silent, and looks again at namespaces that are being deleted. Defaults are
    Kubernetes' own; tests want it sooner."""

    lease_interval_s: float = 10.0
    grace_s: float = 50.0
    look_interval_s: float = 5.0
    namespace_sync_s: float = 300.0


@dataclass(frozen=True)
class Ports:
    """Of all parts, on loopback."""

    etcd: int
    etcd_peer: int
    api_server: int
    controller_manager: int
    scheduler: int


@dataclass(frozen=True)
class ControlPlaneSpec:
    """One control plane below `directory`, which must be absent, empty, or one's own."""

    directory: Path
    lifetime: Lifetime = Lifetime.OWNER
    node_watch: NodeWatch = field(default_factory=NodeWatch)
    api_server_flags: tuple[str, ...] = ()

    def to_json(self, ports: Ports) -> dict[str, Any]:
        """What `read_spec` takes."""
        return {
            "lifetime": self.lifetime,
            "node_watch": asdict(self.node_watch),
            "api_server_flags": list(self.api_server_flags),
            "ports": asdict(ports),
        }


def read_spec(directory: Path, raw: dict[str, Any]) -> tuple[ControlPlaneSpec, Ports]:
    """The inverse of `ControlPlaneSpec.to_json`."""
    watch = NodeWatch(**raw["node_watch"])
    spec = ControlPlaneSpec(directory, Lifetime(raw["lifetime"]), watch, tuple(raw["api_server_flags"]))
    return spec, Ports(**raw["ports"])


def choose_ports() -> Ports:
    """Ports that were free a moment ago."""
    return Ports(*free_ports(len(Ports.__dataclass_fields__)))


def free_ports(count: int) -> list[int]:
    """So many ports of loopback that were free a moment ago."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(_PORTS)
        if port not in found and is_free(port):
            found.append(port)
    return found


def is_free(port: int) -> bool:
    """Whether a port of loopback can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
