"""A node with real threads, files and a socket, over a hypervisor in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nodeplugin.clock import SystemClock
from nodeplugin.converge.converger import Converger, ConvergerOptions
from nodeplugin.converge.host import Host, HostIndex
from nodeplugin.converge.hub import Hub
from nodeplugin.hypervisor.volumes import QemuImgVolumes
from nodeplugin.images.policy import ImagePolicy
from nodeplugin.images.transfers import Transfers
from nodeplugin.plan.observation import NodeSettings
from nodeplugin.pools import ensure_default_pool
from nodeplugin.records import StoredObject
from nodeplugin.server import NodeServer
from nodeplugin.server_options import ServerOptions
from nodeplugin.service import NodeIdentity, NodeService
from nodeplugin.store import Store
from tests.fakes.hypervisor import FakeHypervisor
from tests.unit.nodeplugin.images.conftest import QUICK, WAIT_S
from tools.lab.processes import wait_until
from xvirt.client.blocking import NodeClient
from xvirt.client.target import Target
from xvirt.model.errors import NotFound
from xvirt.model.exchange import ApplyCall, Caller, ObjectRef

PROFILES = ("restricted", "baseline", "privileged")


class ImageNode:
    """`boot` and `halt` are the process's; the directory and the hypervisor outlive it."""

    def __init__(self, directory: Path, policy: ImagePolicy | None = None) -> None:
        self.directory = directory
        self.pool = directory / "pool"
        self.policy = policy or ImagePolicy()
        self.hypervisor = FakeHypervisor()
        self.address = f"unix://{directory}/run/node.sock"
        for name in ("pool", "seeds", "logs"):
            (directory / name).mkdir()
        ensure_default_pool(self.hypervisor, "default", str(self.pool))
        self.boot()

    def boot(self) -> None:
        """Start the process."""
        self.volumes = QemuImgVolumes()
        self.images = Transfers(self.volumes.check_image, self.policy, None, QUICK)
        self.store = Store(self.directory / "store.db")
        settings = NodeSettings(
            node_name="node-a",
            domain_type="qemu",
            architecture="x86_64",
            seed_directory=str(self.directory / "seeds"),
            log_directory=str(self.directory / "logs"),
        )
        self.host = host = Host(
            hypervisor=self.hypervisor,
            volumes=self.volumes,
            index=HostIndex(self.hypervisor, self.volumes),
            settings=settings,
            clock=SystemClock(),
            images=self.images,
            image_policy=self.policy,
        )
        hub = Hub("boot")
        self.converger = Converger(host, self.store, hub, ConvergerOptions())
        identity = NodeIdentity(
            node_name="node-a", authorities=("local",), xvirt_version="0", accelerator="tcg", accelerator_reason="test"
        )
        caller = Caller(name="root", authorities=("local",), namespaces=("*",), profiles=PROFILES)
        socket = Path(self.address.removeprefix("unix://"))
        self.service = service = NodeService(identity, host, self.store, hub, self.converger)
        self.server = NodeServer(service, ServerOptions(unix_socket=socket, local_caller=caller))
        self.converger.start()
        self.server.start()
        self.client = NodeClient(Target(self.address))

    def halt(self) -> None:
        """End the process."""
        self.client.close()
        self.server.stop(1.0)
        self.volumes.close()
        self.images.close()
        self.converger.stop(10.0)
        self.store.close()

    # what callers do

    def apply(self, kind: str, name: str, spec: dict[str, Any], profile: str = "") -> ObjectRef:
        document = {
            "apiVersion": "xvirt.io/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "default"},
            "spec": spec,
        }
        return self.client.apply(ApplyCall(document=document, profile=profile)).object.ref

    def status(self, ref: ObjectRef) -> dict[str, Any]:
        return dict(self.client.get(ref).document.get("status") or {})

    def condition(self, ref: ObjectRef, kind: str) -> tuple[str, str]:
        """(status, reason)"""
        found = {item["type"]: (item["status"], item["reason"]) for item in self.status(ref).get("conditions", ())}
        return found.get(kind, ("", ""))

    def wait(self, ref: ObjectRef, kind: str = "Ready", status: str = "True", reason: str = "") -> dict[str, Any]:
        """Until a condition says so."""
        wait_until(lambda: self._holds(ref, kind, status, reason), WAIT_S, f"{ref} to be {kind}={status} {reason}")
        return self.status(ref)

    def _holds(self, ref: ObjectRef, kind: str, status: str, reason: str) -> bool:
        found = self.condition(ref, kind)
        return found[0] == status and reason in ("", found[1])

    def stored(self, ref: ObjectRef) -> StoredObject:
        found = self.store.find(ref.uid)
        assert found is not None
        return found

    def delete(self, ref: ObjectRef) -> None:
        self.client.delete(ref)

    def wait_gone(self, ref: ObjectRef) -> None:
        wait_until(lambda: self._is_gone(ref), WAIT_S, f"{ref} to be gone")

    def _is_gone(self, ref: ObjectRef) -> bool:
        try:
            self.client.get(ref)
        except NotFound:
            return True
        return False

    def files(self) -> list[str]:
        return sorted(path.name for path in self.pool.iterdir())
