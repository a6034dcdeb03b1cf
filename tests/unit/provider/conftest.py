"""A node that serves, for a provider's steps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.live_node import LiveNode
from xvirt.client.blocking import NodeClient
from xvirt.client.target import Target

STACK = "organization/shop/dev"


def inputs(name: str = "web", **more: Any) -> dict[str, Any]:
    """Inputs of a machine without disks, as the resource class makes them; `spec` is laid over."""
    spec = {"memory": {"size": "64Mi", "max": "128Mi"}, "cpu": {"cores": 1.0, "max": 2.0}, **more.pop("spec", {})}
    return {
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": spec,
        "authority": STACK,
        "owner": name,
        **more,
    }


@pytest.fixture(autouse=True)
def loop() -> None:
    """Pulumi's SDK asks for the main thread's event loop, which `asyncio.run` of any other test takes away."""
    asyncio.set_event_loop(asyncio.new_event_loop())


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveNode]:
    """A node in memory behind the real server."""
    for name in ("NODE", "NODE_NAME", "TLS_CA", "TLS_CERT", "TLS_KEY", "DEBUG"):
        monkeypatch.delenv(f"XVIRT_{name}", raising=False)
    directory = tmp_path / "node"
    directory.mkdir()
    made = LiveNode(directory)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def client(node: LiveNode) -> Iterator[NodeClient]:
    """A client of that node."""
    with NodeClient(Target(node.address)) as opened:
        yield opened
