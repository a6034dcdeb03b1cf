"""Which node to talk to, and how."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from xvirt.model.errors import InvalidSpec, Problem
from xvirt.wire.certificates import TlsFiles

__all__ = ["DEFAULT_ADDRESS", "Target", "TlsFiles", "make_target"]

DEFAULT_ADDRESS = "unix:///run/xvirt/node.sock"


@dataclasses.dataclass(frozen=True)
class Target:
    """`address` is `unix:///path` or `tcp://host:port`; over TCP `node_name` must stand in the node's certificate."""

    address: str = DEFAULT_ADDRESS
    node_name: str = ""
    tls: TlsFiles | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Target:
        """From XVIRT_NODE, XVIRT_NODE_NAME, XVIRT_TLS_CA, XVIRT_TLS_CERT, XVIRT_TLS_KEY."""
        return make_target(
            environment.get("XVIRT_NODE", ""),
            environment.get("XVIRT_NODE_NAME", ""),
            (
                environment.get("XVIRT_TLS_CA", ""),
                environment.get("XVIRT_TLS_CERT", ""),
                environment.get("XVIRT_TLS_KEY", ""),
            ),
        )

    @property
    def is_local(self) -> bool:
        """Whether the socket itself is the credential."""
        return self.address.startswith("unix://")

    def grpc_address(self) -> str:
        """As gRPC spells it. Raises InvalidSpec for another scheme."""
        if self.address.startswith("unix://"):
            return "unix:" + self.address.removeprefix("unix://")
        if self.address.startswith("tcp://"):
            return self.address.removeprefix("tcp://")
        problem = Problem("--node", f"{self.address!r} is no node address", "use unix:///path or tcp://host:port")
        raise InvalidSpec([problem])


def make_target(address: str, node_name: str, files: tuple[str, str, str]) -> Target:
    """A target from texts that may be empty. Raises InvalidSpec where TCP lacks a TLS file or the node's name."""
    target = Target(address or DEFAULT_ADDRESS, node_name)
    if not target.address.startswith("tcp://"):
        return target
    if not all(files) or not node_name:
        problem = Problem("--node", "TCP needs mutual TLS", "give --node-name, --tls-ca, --tls-cert and --tls-key")
        raise InvalidSpec([problem])
    ca, certificate, key = (Path(name) for name in files)
    return Target(target.address, node_name, TlsFiles(ca, certificate, key))
