"""An operator that dies at one of its requests, and a walk that lets it die at each of them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.fakes.apiserver import FakeApiServer
from tests.unit.operator.cluster import TWO, Cluster, play
from tests.unit.operator.hosts_in_memory import MemoryClient
from xvirt.operator.operator import Operator
from xvirt.operator.runtime.transport import Answer, Request


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


Life = Callable[[Cluster, Path], Awaitable[list[dict[str, Any]]]]
"""What a cluster goes through, with room for files: its state after each part, which must be the same however often the operator dies."""


@dataclasses.dataclass(frozen=True)
class Walk:
    """A life, lived once by an operator that nothing happens to."""

    life: Life
    states: list[dict[str, Any]]
    requests: list[str]

    def die_at_each(self, directory: Path, *, is_after: bool) -> None:
        """Live it again for each request, with an operator that dies there and another that goes on."""
        for number, what in enumerate(self.requests, 1):
            place = directory / f"{number}"
            place.mkdir()
            fate = Fate(number, is_after)
            found = _live(self.life, place, fate)
            assert fate.is_dead, f"{number}: {what}"
            assert found == self.states, f"died at request {number}: {what}"


def walk(life: Life, directory: Path, requests_max: int) -> Walk:
    """Live a life undisturbed, with no more requests than it should take."""
    fate = Fate()
    states = _live(life, directory, fate)
    assert len(fate.seen) < requests_max, fate.seen
    return Walk(life, states, fate.seen)


def _live(life: Life, directory: Path, fate: Fate) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    async def story(cluster: Cluster) -> None:
        async with mortal_operator(cluster, fate):
            found.extend(await life(cluster, directory))

    play(directory, story, TWO)
    return found
