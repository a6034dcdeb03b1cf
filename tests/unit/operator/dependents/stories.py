"""Documents of disks, images, networks and pools, and what tests ask of a cluster that has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.operator.cluster import Cluster, machine
from xvirt.operator.kinds import RESOURCES
from xvirt.operator.runtime.resources import NAMESPACES, Key, Object

NETWORKS, IMAGES, DISKS, POOLS = (
    RESOURCES[kind] for kind in ("VirtualNetwork", "VirtualImage", "VirtualDisk", "StoragePool")
)
LAN, DATA, DEBIAN = Key("default", "lan"), Key("default", "data"), Key("default", "debian")


def network(name: str = "lan", **spec: Any) -> Object:
    subnet = {"address": "192.168.77.1/24"}
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"mode": "Nat", "subnets": [subnet], **spec}}


def disk(name: str = "data", **spec: Any) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"size": "16Mi", **spec}}


def image(name: str = "debian") -> Object:
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"source": {"path": "/images/guest.qcow2"}}}


def pool(directory: Path, name: str = "fast", **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": {"path": str(directory), **spec}}


def on_lan(name: str = "web", **more: Any) -> Object:
    return machine(name, nics=[{"name": "lan", "network": "lan"}], **more)


def with_disk(name: str = "web", disk_name: str = "data", **more: Any) -> Object:
    return machine(name, disks=[{"name": "data", "source": {"disk": disk_name}}], **more)


def at(host: str) -> dict[str, Any]:
    return {"placement": {"host": host}}


class Story:
    """What tests ask of a cluster's dependents, whose namespace may name files of hosts."""

    def __init__(self, cluster: Cluster) -> None:
        cluster.annotate(NAMESPACES, Key("", "default"), labels={"xvirt.io/policy-profile": "privileged"})
        self.cluster = cluster
        self.server = cluster.server

    def status(self, resource: Any, key: Key) -> Object:
        found = self.server.find(resource, key) or {}
        return dict(found.get("status") or {})

    def ready(self, resource: Any, key: Key) -> tuple[str, str]:
        items = self.status(resource, key).get("conditions") or ()
        found: Object = next((each for each in items if each["type"] == "Ready"), {})
        return found.get("status", ""), found.get("reason", "")

    def message(self, resource: Any, key: Key) -> str:
        return next(
            (each["message"] for each in self.status(resource, key)["conditions"] if each["type"] == "Ready"), ""
        )

    def hosts(self, resource: Any, key: Key) -> dict[str, str]:
        return {each["name"]: each["state"] for each in self.status(resource, key).get("hosts") or ()}

    def networks(self) -> dict[str, list[str]]:
        return {
            name: sorted(record.name for record in host.world.hypervisor.list_networks())
            for name, host in self.cluster.hosts.items()
        }

    def held(self, kind: str) -> dict[str, list[str]]:
        """Host to names of the objects of a kind that it holds."""
        return {
            name: sorted(stored.name for stored in host.world.store.list_objects(kind))
            for name, host in self.cluster.hosts.items()
        }

    async def is_ready(self, resource: Any, key: Key, reason: str = "") -> None:
        await self.cluster.until(
            lambda: self.ready(resource, key)[0] == "True" and reason in ("", self.ready(resource, key)[1]),
            f"never ready: {resource.kind} {key}",
        )

    async def says(self, resource: Any, key: Key, reason: str) -> None:
        await self.cluster.until(
            lambda: self.ready(resource, key)[1] == reason,
            f"{resource.kind} {key} never said {reason}",
        )

    async def gone(self, resource: Any, key: Key) -> None:
        await self.cluster.until(lambda: self.server.find(resource, key) is None, f"{resource.kind} {key} never went")
