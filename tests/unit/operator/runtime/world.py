"""A fake API server, a client and one followed kind."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Callable
from typing import Any

from tests.fakes.apiserver import FakeApiServer
from tests.fakes.virtualtime import VirtualTime
from tests.unit.operator.runtime.api_cases import THINGS
from xvirt.operator.runtime.api import EVERYTHING, ApiClient, Selection
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.reflector import REFLECTOR_OPTIONS, Reflector, ReflectorOptions
from xvirt.operator.runtime.resources import Key, Object, key_of, uid_of

WAIT_S = 7200.0


@dataclasses.dataclass
class World:
    """`told` is each change that the cache's handlers were told: (uid before, uid after, key)."""

    time: VirtualTime
    server: FakeApiServer
    client: ApiClient
    cache: Cache
    reflector: Reflector
    told: list[tuple[str, str, Key]]

    def write(self, name: str, namespace: str = "ns", size: int = 1, **more: Any) -> Object:
        """Somebody creates or changes a Thing."""
        item = {"metadata": {"name": name, "namespace": namespace}, "spec": {"size": size}, **more}
        return self.server.write(THINGS, item)

    def remove(self, name: str, namespace: str = "ns") -> None:
        self.server.remove(THINGS, Key(namespace, name))

    def is_true(self) -> bool:
        """Whether the cache shows what the server has."""
        return sorted(self.cache, key=key_of) == self.server.objects(THINGS)

    async def until(self, is_so: Callable[[], bool]) -> float:
        """Wait for a condition; the seconds that it took."""
        started_s = self.time.clock.monotonic_s()
        async with asyncio.timeout(WAIT_S):
            while not is_so():
                await asyncio.sleep(0.05)
        return self.time.clock.monotonic_s() - started_s


def make_world(
    time: VirtualTime, selection: Selection = EVERYTHING, options: ReflectorOptions = REFLECTOR_OPTIONS, seed: int = 3
) -> World:
    server = FakeApiServer(time.clock)
    client = ApiClient(server, manager="test", clock=time.clock)
    cache = Cache(THINGS)
    told: list[tuple[str, str, Key]] = []

    def note(old: Object | None, new: Object | None) -> None:
        item = new or old
        assert item is not None
        key = Key(item["metadata"]["namespace"], item["metadata"]["name"])
        told.append((uid_of(old) if old else "", uid_of(new) if new else "", key))

    cache.subscribe(note)
    reflector = Reflector(client, cache, selection, options=options, chance=random.Random(seed))
    return World(time, server, client, cache, reflector, told)


def run_world(world: World, main: Callable[[World], Any]) -> None:
    """Run the reflector beside the test until the test ends."""

    async def both() -> None:
        task = asyncio.create_task(world.reflector.run())
        try:
            await main(world)
            assert not task.done(), "the reflector has ended"
        finally:
            task.cancel()

    world.time.run(both())
