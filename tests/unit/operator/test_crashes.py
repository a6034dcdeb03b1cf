"""Facts 3.2, 1 and 2: the operator dies at every single request that it sends, before or after it took effect; the next one ends the work."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.apiserver import FakeApiServer
from tests.unit.operator.cluster import Cluster, machine, play
from tests.unit.operator.hosts_in_memory import MemoryClient
from xvirt.operator.operator import Operator
from xvirt.operator.runtime.transport import Answer, Request

REQUESTS_MAX = 40


class Killed(BaseException):
    """The process is no more."""


@dataclasses.dataclass
class Fate:
    """Of one process: it dies at its request number `at` (from 1; 0 for never), before that leaves or after it took effect."""

    at: int = 0
    is_after: bool = False
    is_dead: bool = False
    seen: list[str] = dataclasses.field(default_factory=list)

    def before(self, what: str) -> int:
        """A request is about to leave; its number."""
        if self.is_dead:
            raise Killed
        self.seen.append(what)
        number = len(self.seen)
        if number == self.at and not self.is_after:
            self.die()
        return number

    def after(self, number: int) -> None:
        """It took effect, perhaps after others that left later."""
        if number == self.at and self.is_after:
            self.die()

    def die(self) -> None:
        self.is_dead = True
        raise Killed


class MortalTransport:
    """The API server as a process sees it that may die."""

    def __init__(self, server: FakeApiServer, fate: Fate) -> None:
        self._server = server
        self._fate = fate

    async def send(self, request: Request) -> Answer:
        counts = request.method != "GET" and "/leases" not in request.path and "/events" not in request.path
        if self._fate.is_dead:
            raise Killed
        number = self._fate.before(f"{request.method} {request.path}") if counts else 0
        answer = await self._server.send(request)
        if counts:
            self._fate.after(number)
        return answer

    def stream(self, request: Request) -> Any:
        return self._server.stream(request)

    async def close(self) -> None:
        """Nothing to close."""


class MortalClient(MemoryClient):
    """A host as such a process sees it."""

    def __init__(self, host: Any, fate: Fate) -> None:
        super().__init__(host)
        self._fate = fate

    async def _change(self, what: str, uid: str, token: Any, act: Callable[[], Any]) -> Any:
        number = self._fate.before(f"{what} on {self._host.name}")
        try:
            return await super()._change(what, uid, token, act)
        finally:
            self._fate.after(number)


class MortalCluster:
    """A cluster whose operator dies once and is started again by its Deployment."""

    def __init__(self, cluster: Cluster, fate: Fate) -> None:
        self._cluster = cluster
        self._fates = [fate]

    def make(self) -> Operator:
        fate = self._fates[-1]
        cluster = self._cluster
        server = cluster.server
        cluster.server = MortalTransport(server, fate)  # type: ignore[assignment]
        open_client = cluster.open_client
        cluster.open_client = lambda host, address: MortalClient(cluster.hosts[host], fate)  # type: ignore[method-assign]
        try:
            return cluster.make_operator()
        finally:
            cluster.server = server
            cluster.open_client = open_client  # type: ignore[method-assign]

    async def run(self) -> None:
        while True:
            try:
                await self.make().run()
            except BaseExceptionGroup as group:
                if group.subgroup(Killed) is None:
                    raise
                self._fates.append(Fate())
                await asyncio.sleep(1.0)


@contextlib.asynccontextmanager
async def mortal_operator(cluster: Cluster, fate: Fate) -> AsyncIterator[None]:
    task = asyncio.create_task(MortalCluster(cluster, fate).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def end_state(cluster: Cluster) -> dict[str, Any]:
    """What must be the same however often the operator died."""
    status = cluster.status()
    return {
        "domains": {name: len(found) for name, found in cluster.domains().items()},
        "holders": len(cluster.holders()),
        "host": status.get("nodeName"),
        "generation": status.get("observedGeneration"),
        "cpus": status.get("cpus"),
        "conditions": {item["type"]: item["status"] for item in status.get("conditions") or ()},
        "volumes": {name: sorted(host.world.volumes.files) for name, host in cluster.hosts.items()},
    }


async def live(cluster: Cluster) -> list[dict[str, Any]]:
    """Create, change, stop, delete: the end state after each."""
    states = []
    uid = cluster.create(machine())["metadata"]["uid"]
    await cluster.running()
    assert cluster.domains()[cluster.status()["nodeName"]] == [uid]
    await cluster.calm(20.0)
    states.append(end_state(cluster))
    cluster.change(cpu={"cores": 2})
    await cluster.until(lambda: cluster.status().get("observedGeneration") == 2)
    await cluster.calm(20.0)
    states.append(end_state(cluster))
    cluster.change(runStrategy="Halted")
    await cluster.until(lambda: cluster.status().get("powerState") == "Stopped")
    await cluster.calm(20.0)
    states.append(end_state(cluster))
    cluster.delete()
    await cluster.gone()
    await cluster.calm(20.0)
    states.append(end_state(cluster))
    return states


def lives(tmp_path: Path, fate: Fate) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    async def story(cluster: Cluster) -> None:
        async with mortal_operator(cluster, fate):
            found.extend(await live(cluster))

    play(tmp_path, story, ("node-a", "node-b"))
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], list[str]]:
    fate = Fate()
    states = lives(tmp_path_factory.mktemp("undisturbed"), fate)
    assert len(fate.seen) < REQUESTS_MAX, fate.seen
    return states, fate.seen


@pytest.mark.parametrize("is_after", [False, True], ids=["before it is sent", "after it took effect"])
def test_fault_01_02_the_operator_dies_at_each_of_its_requests_and_the_next_one_ends_the_work(
    undisturbed: tuple[list[dict[str, Any]], list[str]], tmp_path: Path, is_after: bool
) -> None:
    wanted, requests = undisturbed
    for number, what in enumerate(requests, 1):
        directory = tmp_path / f"{number}"
        directory.mkdir()
        fate = Fate(number, is_after)
        found = lives(directory, fate)
        assert fate.is_dead, f"{number}: {what}"
        assert found == wanted, f"died at request {number}: {what}"
