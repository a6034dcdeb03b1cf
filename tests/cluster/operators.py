"""The real operator as a process of its own, beside a real control plane and hosts in memory."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import yaml

from tests.cluster.kubectl import Kubectl
from tools.cluster.api import Api, Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.fakehosts import FakeHosts
from tools.cluster.pki import Identity
from tools.cluster.services import wait_for

ACCOUNT = Identity(
    "system:serviceaccount:xvirt-system:xvirt-operator",
    ("system:serviceaccounts", "system:serviceaccounts:xvirt-system", "system:authenticated"),
)
LEASE: Json = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "xvirt-operator", "namespace": "xvirt-system"},
}
KINDS = ("VirtualMachine", "VirtualDisk", "VirtualImage", "VirtualNetwork")
"""Of a namespace, that an operator lets go; users before what they use."""
PATIENCE_S = 60.0
"""A wait that ends the test; nothing is measured by it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperatorSpec:
    """One replica. `kubeconfig`: as whom; `pki`: with `ca.crt` and `xvirt-operator.{crt,key}`."""

    directory: Path
    kubeconfig: Path
    pki: Path
    name: str = "one"
    listen: str = ""
    more: dict[str, Any] = dataclasses.field(default_factory=dict)

    def write(self) -> Path:
        """Its config file."""
        path = self.directory / f"operator-{self.name}.yaml"
        document = {
            "apiVersion": "xvirt.io/v1alpha1",
            "kind": "OperatorConfig",
            "kubeconfig": str(self.kubeconfig),
            "tls": {
                "certificate": str(self.pki / "xvirt-operator.crt"),
                "key": str(self.pki / "xvirt-operator.key"),
                "ca": str(self.pki / "ca.crt"),
            },
            "lease": {"namespace": "xvirt-system"},
            "listen": self.listen,
            "logLevel": "info",
            **self.more,
        }
        path.write_text(yaml.safe_dump(document))
        return path


class Started(Protocol):
    """A process, as `subprocess.Popen` has it."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def send_signal(self, sig: int, /) -> None: ...

    def wait(self, timeout: float) -> int: ...


def run_program(arguments: Sequence[str], log: Path) -> Started:
    """As it is installed."""
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "xvirt.operator.main", *arguments],
            stderr=file,
            stdout=file,
            env={**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "false"},
        )


class OperatorProcess:
    """One replica's process. What it logs is in `log`. `launch`: starts it from its arguments."""

    def __init__(self, spec: OperatorSpec, launch: Callable[[Sequence[str], Path], Started] = run_program) -> None:
        self.spec = spec
        self.log = spec.directory / f"operator-{spec.name}.log"
        self._launch = launch
        self._process: Started | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Begin; whether it leads is another question."""
        self._process = self._launch(["--config", str(self.spec.write())], self.log)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(PATIENCE_S)

    def freeze(self) -> None:
        """Stop it where it stands."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        assert self._process is not None
        code = self._process.wait(PATIENCE_S)
        self._process = None
        return code

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of one of its pages."""
        try:
            with urllib.request.urlopen(f"http://{self.spec.listen}{path}", timeout=10.0) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@contextlib.contextmanager
def running(spec: OperatorSpec) -> Iterator[OperatorProcess]:
    """A replica while the block runs."""
    process = OperatorProcess(spec)
    process.start()
    try:
        yield process
    finally:
        if process.is_alive():
            process.stop()


class Machines:
    """Machines of one namespace, as a test looks at them."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.api: Api = plane.api
        self.namespace = namespace
        self.kubectl = Kubectl(plane.kubeconfig, namespace)

    def document(self, name: str, **spec: Any) -> Json:
        """A small machine's manifest; `annotations` and `labels` are its metadata's."""
        metadata: Json = {"name": name, "namespace": self.namespace}
        for part in ("annotations", "labels"):
            if part in spec:
                metadata[part] = spec.pop(part)
        wanted = {"cpu": {"cores": 1}, "memory": {"size": "64Mi"}, **spec}
        return {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualMachine", "metadata": metadata, "spec": wanted}

    def create(self, name: str, **spec: Any) -> str:
        """Its uid."""
        return str(self.api.create(self.document(name, **spec))["metadata"]["uid"])

    def read(self, name: str) -> Json:
        return self.api.read(self.document(name))

    def find(self, name: str) -> Json | None:
        return self.api.find(self.document(name))

    def names(self) -> list[str]:
        """Of all machines that are there."""
        found = self.api.list("xvirt.io/v1alpha1", "VirtualMachine", self.namespace)
        return [item["metadata"]["name"] for item in found]

    def change(self, name: str, **spec: Any) -> None:
        self.api.merge(self.document(name), {"spec": spec})

    def delete(self, name: str, **options: Any) -> None:
        self.api.delete(self.document(name), **options)

    def status(self, name: str) -> Json:
        return dict((self.find(name) or {}).get("status") or {})

    def condition(self, name: str, kind: str) -> Json:
        items = self.status(name).get("conditions") or ()
        return next((item for item in items if item["type"] == kind), {})

    def host_of(self, name: str) -> str:
        return str(self.status(name).get("nodeName") or "")

    def holders(self, name: str = "") -> list[Json]:
        """Holder pods of one machine, or of all."""
        selector = f"xvirt.io/vm-name={name}" if name else "xvirt.io/vm-uid"
        return self.api.list("v1", "Pod", self.namespace, labelSelector=selector)

    def events(self, reason: str) -> list[Json]:
        """Events of this namespace."""
        found = self.api.list("events.k8s.io/v1", "Event", self.namespace)
        return [event for event in found if event["reason"] == reason]

    def host(self, name: str) -> Json:
        """A VirtualHost's status."""
        found = self.api.find(self.host_document(name)) or {}
        return dict(found.get("status") or {})

    def host_document(self, name: str) -> Json:
        return {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualHost", "metadata": {"name": name}}

    def label(self, **labels: str | None) -> None:
        """Of the namespace."""
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        self.api.merge(document, {"metadata": {"labels": labels}})

    def until(self, is_so: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> None:
        wait_for(lambda: bool(is_so()), timeout_s, what)

    def wait_running(self, *names: str, timeout_s: float = PATIENCE_S) -> None:
        for name in names:
            self.until(partial(self.is_ready, name), f"{name} to run", timeout_s)

    def is_ready(self, name: str) -> bool:
        return bool(self.condition(name, "Ready").get("status") == "True")

    def empty(self) -> None:
        """Take away what is left, while an operator runs to let it go."""
        for kind in KINDS:
            for item in self._left(kind):
                if not item["metadata"].get("deletionTimestamp"):
                    self.api.delete({"apiVersion": "xvirt.io/v1alpha1", "kind": kind, **item})
        self.until(self._is_empty, f"everything of namespace {self.namespace} to go")

    def _left(self, kind: str) -> list[Json]:
        return self.api.list("xvirt.io/v1alpha1", kind, self.namespace)

    def _is_empty(self) -> bool:
        return not any(self._left(kind) for kind in KINDS) and not self.holders()

    def wait_gone(self, *names: str) -> None:
        for name in names:
            self.until(partial(self.is_gone, name), f"{name} to be gone")

    def is_gone(self, name: str) -> bool:
        return self.find(name) is None and not self.holders(name)


def kubeconfig_of_operator(plane: ControlPlane) -> Path:
    """Credentials of the operator's own account, with its rights and no others."""
    return plane.kubeconfig_for("operator", ACCOUNT)


def forget_lease(api: Api) -> None:
    """Let the next one lead at once, as after a release: what is tried is not how long a lease runs."""
    lease = api.find(LEASE)
    if lease is not None and lease["spec"].get("holderIdentity"):
        api.merge(LEASE, {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}})


def where(hosts: FakeHosts, uid: str) -> list[str]:
    """Hosts on which a machine's domain runs."""
    return [name for name in hosts if uid in hosts[name].running]
