"""`xvirt` against a cluster in one process: its API server in memory behind HTTP, the gateway, a node."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.unit.cli.live_node import Outcome, run_here
from tests.unit.gateway.cluster import HOST, LiveCluster
from xvirt.operator.kinds import RESOURCES
from xvirt.operator.runtime.resources import Key

ACTS = ("start", "stop", "restart", "reset", "pause", "resume", "save", "restore")


@dataclasses.dataclass
class Terminal:
    """A user of the cluster, whose kubeconfig is at hand."""

    cluster: LiveCluster
    kubeconfig: Path

    def xvirt(self, *arguments: str, text: str | bytes = "") -> Outcome:
        """Run a command to its end, in the cluster."""
        return run_here(["--kubeconfig", str(self.kubeconfig), *arguments], text)

    def ready(self, name: str = "web", kind: str = "VirtualMachine", namespace: str = "default", **more: Any) -> None:
        """What the operator would say of an object."""
        found = self.cluster.api.find(RESOURCES[kind], Key(namespace, name))
        assert found is not None
        condition = {
            "type": "Ready",
            "status": "True",
            "reason": "Running",
            "message": "",
            "observedGeneration": found["metadata"]["generation"],
            "lastTransitionTime": "2026-01-31T12:00:00Z",
        }
        status = {**(found.get("status") or {}), "conditions": [condition], "printableStatus": "Running", **more}
        self.cluster.api.write(RESOURCES[kind], {**found, "status": status}, "status")


def write_kubeconfig(path: Path, server: str, **context: str) -> Path:
    """A kubeconfig of a server without TLS, and of a second context that leads nowhere."""
    document = {
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "here", "user": "me", **context}},
            {"name": "nowhere", "context": {"cluster": "nowhere", "user": "me"}},
        ],
        "clusters": [
            {"name": "here", "cluster": {"server": server}},
            {"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}},
        ],
        "users": [{"name": "me", "user": {}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


@contextlib.contextmanager
def terminal(directory: Path) -> Iterator[Terminal]:
    """A cluster whose user may act."""
    with LiveCluster(directory).up() as cluster:
        cluster.grant("ann", *ACTS)
        cluster.grant("ann", "description", verb="get")
        yield Terminal(cluster, write_kubeconfig(directory / "kubeconfig", cluster.url))


__all__ = ["ACTS", "HOST", "Terminal", "terminal", "write_kubeconfig"]
