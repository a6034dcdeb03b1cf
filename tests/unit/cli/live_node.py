"""A node that serves: the real gRPC server over a Unix socket, the real service and workers, a hypervisor in memory; and `xvirt` run against it."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from nodeplugin.clock import SystemClock
from nodeplugin.images.port import TransferFacts, TransferState
from nodeplugin.server import NodeServer
from nodeplugin.server_options import ServerOptions
from nodeplugin.telemetry import Work
from tests.fakes.images import FakeImages
from tests.unit.nodeplugin.world import CALLER, World
from xvirt.cli.main import main
from xvirt.model.exchange import ObjectRef

MACHINE = """
apiVersion: xvirt.io/v1alpha1
kind: VirtualMachine
metadata: {name: web, labels: {app: web}}
spec:
  cpu: {cores: 1, max: 2}
  memory: {size: 64Mi, max: 128Mi}
"""
OTHER = MACHINE.replace("web", "db")
NETWORK = """
apiVersion: xvirt.io/v1alpha1
kind: VirtualNetwork
metadata: {name: lan}
spec: {mode: Isolated}
"""
VM = "virtualmachine.xvirt.io"
PATIENCE_S = 30.0
"""A wait that ends the test when what it waits for does not come; nothing is measured by it."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    def rows(self) -> list[list[str]]:
        """Words of each line of output."""
        return [line.split() for line in self.out.splitlines()]


def run_here(arguments: list[str], text: str | bytes = "") -> Outcome:
    """`xvirt` in this process, without a terminal."""
    data = text if isinstance(text, bytes) else text.encode()
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(data), "utf-8")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
    finally:
        sys.stdin = before
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    assert "Traceback" not in texts[1], texts[1]
    return Outcome(code, texts[0], texts[1])


def eventually(holds: Callable[[], Any]) -> Any:
    """What the function gives, once that is something."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if value := holds():
            return value
        threading.Event().wait(0.01)
    raise AssertionError("it did not come")


class _Ears:
    """Hears of calls that have ended."""

    def __init__(self, calls: list[str]) -> None:
        self._calls = calls

    def ended(self, work: Work, subject: str, outcome: str, elapsed_s: float) -> None:
        if work is Work.RPC:
            self._calls.append(subject)


class LiveImages(FakeImages):
    """Transfers that go on by themselves, and say so."""

    def find(self, uid: str) -> TransferFacts | None:
        facts = super().find(uid)
        if facts is not None and facts.state not in (TransferState.DONE, TransferState.FAILED):
            threading.Timer(0.01, self._listener, (uid,)).start()
        return facts


class LiveNode(World):
    """The node, with threads and the machine's clock."""

    def boot(self) -> None:
        self.clock = SystemClock()  # type: ignore[assignment]
        self.images = LiveImages(self.volumes)
        super().boot()

    def start(self) -> None:
        """Converge and serve."""
        self.converger.start()
        self.socket = self.directory / "node.sock"
        self.calls: list[str] = []
        self._serve()

    def _serve(self) -> None:
        options = ServerOptions(unix_socket=self.socket, local_caller=dataclasses.replace(CALLER, is_host_root=True))
        self.server = NodeServer(self.service, options, _Ears(self.calls))
        self.server.start()

    def serve_again(self, between: Callable[[], None]) -> None:
        """Restart the server; `between` runs while nobody can reach the node."""
        self.server.stop(0.0)
        between()
        self._serve()

    def stop(self) -> None:
        """End all threads."""
        self.server.stop(0.1)
        self.converger.stop(10.0)
        self.store.close()

    def delete_here(self, name: str) -> None:
        """Delete a machine without a caller, and wait until it is gone."""
        ref = ObjectRef(kind="VirtualMachine", namespace="default", name=name)
        self.delete(ref)
        eventually(lambda: self.store.find_named(ref.kind, ref.namespace, ref.name) is None)

    @property
    def address(self) -> str:
        return f"unix://{self.socket}"

    def xvirt(self, *arguments: str, text: str | bytes = "") -> Outcome:
        """Run a command to its end."""
        return run_here(["--node", self.address, *arguments], text)

    def declare(self, *texts: str) -> None:
        """Apply, and wait until all is Ready."""
        outcome = self.xvirt("apply", "--wait", "-f", "-", text="\n---\n".join(map(textwrap.dedent, texts)))
        assert outcome.code == 0, outcome

    def uid(self, name: str = "web", kind: str = "VirtualMachine") -> str:
        """An object's uid."""
        return self.service.get(CALLER, ObjectRef(kind=kind, namespace="default", name=name)).ref.uid

    def log(self, data: bytes, name: str = "web") -> None:
        """The guest prints to its serial console's log."""
        with (self.directory / "logs" / f"{self.uid(name)}.log").open("ab") as handle:
            handle.write(data)

    def environment(self, **more: str) -> dict[str, str]:
        """Of a command that runs as a process of its own against this node."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("XVIRT_")}
        return {**kept, "XVIRT_NODE": self.address, "PYTHONDONTWRITEBYTECODE": "1", **more}

    @contextlib.contextmanager
    def process(self, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """`xvirt` as a process of its own."""
        pipes = {name: options.pop(name, subprocess.PIPE) for name in ("stdin", "stdout", "stderr")}
        options.setdefault("env", self.environment())
        with subprocess.Popen([*XVIRT, *arguments], **pipes, **options) as running:
            try:
                yield running
            finally:
                running.kill()


XVIRT = [sys.executable, "-c", "from xvirt.cli.main import run; run()"]
