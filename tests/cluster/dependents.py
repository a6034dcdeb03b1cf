"""Disks, images, networks and pools of a cluster, as a test declares them and looks at them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from tests.cluster.documents import declare, is_namespaced
from tests.cluster.operators import Machines
from tools.cluster.api import Json
from xvirt import API_VERSION

DISK, IMAGE, NETWORK, POOL = "VirtualDisk", "VirtualImage", "VirtualNetwork", "StoragePool"
_SPECS: dict[str, Json] = {
    DISK: {"size": "1Gi"},
    IMAGE: {"source": {"url": "https://images.example/debian.qcow2"}},
    NETWORK: {"mode": "Isolated"},
    POOL: {"path": "/srv/pool"},
}


class Dependents:
    """Beside the machines of one namespace. Where a name is asked for, kind and name say which object."""

    def __init__(self, machines: Machines) -> None:
        self.machines = machines
        self.api = machines.api

    def document(self, kind: str, name: str, **spec: Any) -> Json:
        """A manifest; `spec` replaces fields of a small one."""
        return declare(kind, name, self.machines.namespace, {**_SPECS[kind], **spec})

    def create(self, kind: str, name: str, **spec: Any) -> str:
        """Its uid."""
        return str(self.api.create(self.document(kind, name, **spec))["metadata"]["uid"])

    def change(self, kind: str, name: str, **spec: Any) -> None:
        self.api.merge(self._named(kind, name), {"spec": spec})

    def delete(self, kind: str, name: str) -> None:
        self.api.delete(self._named(kind, name))

    def read(self, kind: str, name: str) -> Json:
        return self.api.read(self._named(kind, name))

    def is_gone(self, kind: str, name: str) -> bool:
        return self.api.find(self._named(kind, name)) is None

    def status(self, kind: str, name: str) -> Json:
        return dict((self.api.find(self._named(kind, name)) or {}).get("status") or {})

    def condition(self, kind: str, name: str, which: str = "Ready") -> Json:
        items = self.status(kind, name).get("conditions") or ()
        return next((item for item in items if item["type"] == which), {})

    def hosts(self, kind: str, name: str) -> dict[str, str]:
        """Host to state, as the status tells; of a disk: its only one."""
        status = self.status(kind, name)
        if kind == DISK:
            return {status["nodeName"]: status["printableStatus"]} if status.get("nodeName") else {}
        return {item["name"]: item["state"] for item in status.get("hosts") or ()}

    def wait_ready(self, kind: str, name: str, reason: str = "") -> None:
        """Until it is Ready, in its newest generation."""
        self.machines.until(partial(self._is_ready, kind, name, reason), f"{kind} {name} to be ready {reason}")

    def _is_ready(self, kind: str, name: str, reason: str) -> bool:
        item = self.read(kind, name)
        told = self.condition(kind, name)
        is_seen = item.get("status", {}).get("observedGeneration") == item["metadata"]["generation"]
        return is_seen and told.get("status") == "True" and reason in ("", told["reason"])

    def wait_says(self, kind: str, name: str, reason: str) -> str:
        """Until it says why it is not ready; the message."""
        self.machines.until(
            lambda: self.condition(kind, name).get("reason") == reason, f"{kind} {name} to say {reason}"
        )
        return str(self.condition(kind, name)["message"])

    def wait_hosts(self, kind: str, name: str, states: Mapping[str, str]) -> None:
        self.machines.until(lambda: self.hosts(kind, name) == states, f"{kind} {name} to be {states}")

    def wait_gone(self, kind: str, name: str) -> None:
        self.machines.until(partial(self.is_gone, kind, name), f"{kind} {name} to be gone")

    def _named(self, kind: str, name: str) -> Json:
        place = {"namespace": self.machines.namespace} if is_namespaced(kind) else {}
        return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, **place}}
