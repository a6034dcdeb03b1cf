"""Nodes of a cluster as documents, and what tests do to them. `kubelet.py` gives them life."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from tools.cluster.api import Api, Json
from tools.cluster.kubelet import ADDRESS, ALLOCATABLE, LABEL, SILENT, STATE
from tools.cluster.services import wait_for

HOST_LABEL = "xvirt.io/host"
PORT_ANNOTATION = "xvirt.io/node-port"
_READY_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class NodeSpec:
    """A node with a fake kubelet. `host_port` is where its node plugin listens on `address`; None: it is no host of machines."""

    name: str
    allocatable: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[Mapping[str, str]] = ()
    address: str = "127.0.0.1"
    host_port: int | None = None

    def document(self) -> Json:
        """What to create."""
        host: dict[str, str] = {} if self.host_port is None else {HOST_LABEL: "true"}
        port = {} if self.host_port is None else {PORT_ANNOTATION: str(self.host_port)}
        hostname = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux"}
        notes = {ADDRESS: self.address, ALLOCATABLE: json.dumps(dict(self.allocatable)), **port}
        return {
            **reference(self.name),
            "metadata": {
                "name": self.name,
                "labels": {LABEL: "fake", **hostname, **host, **self.labels},
                "annotations": notes,
            },
            "spec": {"taints": [dict(taint) for taint in self.taints]} if self.taints else {},
        }


def reference(name: str) -> Json:
    """A document that names a node."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}


def add_nodes(api: Api, nodes: Sequence[NodeSpec]) -> None:
    """Create nodes (those that are there are left as they are) and wait until the scheduler may use them."""
    for node in nodes:
        if api.find(reference(node.name)) is None:
            api.create(node.document())
    for node in nodes:
        by_hand = {taint["key"] for taint in node.taints}
        wait_for(partial(is_usable, api, node.name, by_hand), _READY_TIMEOUT_S, f"node {node.name} to be ready")


def is_usable(api: Api, name: str, expected_taints: set[str] | frozenset[str] = frozenset()) -> bool:
    """Whether a node is Ready and the controller manager has taken its own taints away."""
    node = api.find(reference(name))
    if node is None:
        return False
    taints = {taint["key"] for taint in node["spec"].get("taints", ())}
    return ready_status(node) == "True" and taints <= expected_taints


def ready_status(node: Json) -> str:
    """`True`, `False`, `Unknown`; empty before the kubelet came."""
    conditions = node.get("status", {}).get("conditions", ())
    return next((item["status"] for item in conditions if item["type"] == "Ready"), "")


def silence(api: Api, name: str) -> None:
    """The node sends no sign of life from now on; the controller manager finds out."""
    api.merge(reference(name), {"metadata": {"annotations": {STATE: SILENT}}})


def revive(api: Api, name: str) -> None:
    """The node is there again."""
    api.merge(reference(name), {"metadata": {"annotations": {STATE: None}}})
