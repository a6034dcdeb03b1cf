"""The real operator as a process of its own, beside a real control plane and hosts in memory."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tools.cluster.api import Api, Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.pki import Identity
from tools.cluster.services import wait_for

ACCOUNT = Identity(
    "system:serviceaccount:xvirt-system:xvirt-operator",
    ("system:serviceaccounts", "system:serviceaccounts:xvirt-system", "system:authenticated"),
)
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


class OperatorProcess:
    """One replica's process. What it logs is in `log`."""

    def __init__(self, spec: OperatorSpec) -> None:
        self.spec = spec
        self.log = spec.directory / f"operator-{spec.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Begin; whether it leads is another question."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "xvirt.operator.main", "--config", str(self.spec.write())],
                stderr=log,
                stdout=log,
                env={**os.environ, "GRPC_ENABLE_FORK_SUPPORT": "false"},
            )

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


@dataclasses.dataclass(frozen=True)
class Machines:
    """Machines of one namespace, as a test looks at them."""

    api: Api
    namespace: str

    def document(self, name: str, **spec: Any) -> Json:
        metadata: Json = {"name": name, "namespace": self.namespace}
        for part in ("annotations", "labels"):
            if part in spec:
                metadata[part] = spec.pop(part)
        wanted = {"cpu": {"cores": 1}, "memory": {"size": "64Mi"}, **spec}
        return {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualMachine", "metadata": metadata, "spec": wanted}

    def create(self, name: str, **spec: Any) -> Json:
        return self.api.create(self.document(name, **spec))

    def read(self, name: str) -> Json:
        return self.api.read(self.document(name))

    def find(self, name: str) -> Json | None:
        return self.api.find(self.document(name))

    def delete(self, name: str, **options: Any) -> None:
        self.api.delete(self.document(name), **options)

    def status(self, name: str) -> Json:
        return dict((self.find(name) or {}).get("status") or {})

    def condition(self, name: str, kind: str) -> Json:
        items = self.status(name).get("conditions") or ()
        return next((item for item in items if item["type"] == kind), {})

    def holders(self, name: str = "") -> list[Json]:
        """Holder pods of one machine, or of all."""
        selector = f"xvirt.io/vm-name={name}" if name else "xvirt.io/vm-uid"
        return self.api.list("v1", "Pod", self.namespace, labelSelector=selector)

    def until(self, is_so: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> None:
        wait_for(is_so, timeout_s, what)

    def wait_running(self, *names: str, timeout_s: float = PATIENCE_S) -> None:
        for name in names:
            self.until(partial(self._is_ready, name), f"{name} to run: {self.status(name)}", timeout_s)

    def _is_ready(self, name: str) -> bool:
        return bool(self.condition(name, "Ready").get("status") == "True")

    def wait_gone(self, *names: str) -> None:
        for name in names:
            self.until(lambda name=name: self.find(name) is None and not self.holders(name), f"{name} to be gone")  # type: ignore[misc]


def kubeconfig_of_operator(plane: ControlPlane) -> Path:
    """Credentials of the operator's own account, with its rights and no others."""
    return plane.kubeconfig_for("operator", ACCOUNT)


def settle_s(seconds_s: float) -> None:
    """Let real time pass where its passing is what is tested (a lease that runs out)."""
    time.sleep(seconds_s)
