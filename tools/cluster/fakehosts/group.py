"""Many fake hosts in one process, on an event loop of their own: behind TLS, with names, ports and a CA."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from tools.cluster.fakehosts.answers import DEFAULT_SIZE, Size
from tools.cluster.fakehosts.faults import HostFaults
from tools.cluster.fakehosts.node import FakeNode, Judgement
from tools.cluster.fakehosts.server import HostCalls, HostServer
from tools.cluster.nodes import NodeSpec
from xvirt.client.pki import init_pki
from xvirt.model.exchange import Caller
from xvirt.wire.certificates import TlsFiles

OPERATOR, GATEWAY = "xvirt-operator", "xvirt-gateway"
PROFILES = ("restricted", "baseline", "privileged")
_TIMEOUT_S = 60.0

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class HostOptions:
    """What all hosts of a group share. `authority`: the cluster's."""

    authority: str
    judgement: Judgement = Judgement.WHOLE
    size: Size = DEFAULT_SIZE
    max_pods: int = 500


class FakeHost:
    """One host, as a test holds it."""

    def __init__(self, group: FakeHosts, node: FakeNode, server: HostServer) -> None:
        self.node = node
        self._group = group
        self._server = server

    @property
    def name(self) -> str:
        """Of the host, and of its node."""
        return self.node.name

    @property
    def faults(self) -> HostFaults:
        """Its knobs."""
        return self.node.faults

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        return self._server.port

    @property
    def running(self) -> set[str]:
        """uids of machines that run on it."""
        return self._group.call(self.node.running)

    @property
    def volumes(self) -> frozenset[str]:
        """Names of the files in its pools."""
        return self._group.call(self.node.volumes)

    def holds(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """uid to spec of the objects of a kind that it has."""
        return self._group.call(lambda: self.node.holds(kind))

    def down(self) -> None:
        """Its plugin ends: nobody listens. Machines run on."""
        self._group.wait(self._server.stop())

    def up(self) -> None:
        """Its plugin is there again, with another boot id."""
        self._group.call(self.node.restart)
        self._group.wait(self._server.start())

    def drop_streams(self) -> None:
        """Every watch breaks."""
        self._group.call(self._server.calls.drop_streams)

    def act(self, work: Callable[[FakeNode], T]) -> T:
        """Do something with the node where it lives."""
        return self._group.call(lambda: work(self.node))


class FakeHosts(Mapping[str, FakeHost]):
    """Hosts by name; a context manager. `pki` is where their CA and the operator's certificate are (`xvirt-operator.crt`)."""

    def __init__(self, names: Sequence[str], pki: Path, options: HostOptions) -> None:
        self.pki = pki
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-hosts", daemon=True)
        init_pki(pki, nodes=names, clients=[OPERATOR, GATEWAY])
        self._hosts = {name: self._make(name) for name in names}

    def __getitem__(self, name: str) -> FakeHost:
        return self._hosts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._hosts)

    def __len__(self) -> int:
        return len(self._hosts)

    def __enter__(self) -> FakeHosts:
        self._thread.start()
        for host in self._hosts.values():
            self.wait(host._server.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self._hosts.values():
            self.wait(host._server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT_S)

    @property
    def node_specs(self) -> list[NodeSpec]:
        """The cluster's nodes that these hosts are."""
        size = self._options.size
        room = {"cpu": str(size.cpus), "memory": str(size.memory_bytes), "pods": str(self._options.max_pods)}
        return [NodeSpec(host.name, room, host_port=host.port) for host in self._hosts.values()]

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of something that is done on the hosts' loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_TIMEOUT_S)

    def call(self, work: Callable[[], T]) -> T:
        """The same for what does not wait: nodes are of one thread."""

        async def run() -> T:
            return work()

        return self.wait(run())

    def _make(self, name: str) -> FakeHost:
        options = self._options
        node = FakeNode(
            name, (options.authority,), judgement=options.judgement, size=options.size, later=self._loop.call_later
        )
        callers = {
            client: Caller(name=client, authorities=(options.authority,), namespaces=("*",), profiles=PROFILES)
            for client in (OPERATOR, GATEWAY)
        }
        files = TlsFiles(ca=self.pki / "ca.crt", certificate=self.pki / f"{name}.crt", key=self.pki / f"{name}.key")
        return FakeHost(self, node, HostServer(HostCalls(node, callers), files))


def host_names(count: int) -> list[str]:
    """fake-001, fake-002, ..."""
    return [f"fake-{number:03d}" for number in range(1, count + 1)]
