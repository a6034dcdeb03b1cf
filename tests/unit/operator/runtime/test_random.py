"""Random lives of a cache: users, own writes whose answers come late, and every trouble; in the end it is true, and no change was told wrongly."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.fakes.apifaults import Refusal
from tests.fakes.virtualtime import VirtualTime
from tests.unit.operator.runtime.api_cases import THINGS
from tests.unit.operator.runtime.world import World, make_world, run_world
from xvirt.operator.runtime.errors import ApiError
from xvirt.operator.runtime.resources import Key, Object, key_of, version_of

NAMES = [f"thing-{number}" for number in range(8)]
STEPS = 300
RECOVERY_S = 31.0


class Life:
    """One world, disturbed by chance."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)
        self.shown: dict[Key, Object] = {}
        self.wrong: list[str] = []
        self.late: set[asyncio.Task[None]] = set()
        world.cache.subscribe(self._told)

    def _told(self, old: Object | None, new: Object | None) -> None:
        """What a handler is told must follow from what it was told before."""
        item = new if new is not None else old
        assert item is not None
        key = key_of(item)
        if self.shown.get(key) != old:
            self.wrong.append(f"{key}: told of {old} where {self.shown.get(key)} was told before")
        if old is not None and new is not None and old["metadata"]["uid"] != new["metadata"]["uid"]:
            self.wrong.append(f"{key}: two objects in one change")
        if new is None:
            del self.shown[key]
        else:
            self.shown[key] = new

    async def step(self) -> None:
        faults, chance = self.world.server.faults, self.chance
        name = chance.choice(NAMES)
        deed = chance.choices(list(DEEDS), list(DEEDS.values()))[0]
        match deed:
            case "write":
                self.world.write(name, size=chance.randrange(100))
            case "remove" if self.world.server.find(THINGS, Key("ns", name)):
                self.world.remove(name)
            case "own":
                task = asyncio.create_task(self._write_and_learn(name, chance.uniform(0, 20)))
                self.late.add(task)
                task.add_done_callback(self.late.discard)
            case "wait":
                await asyncio.sleep(chance.uniform(0, 60))
            case "end":
                faults.end_watches(
                    chance.choice([None, Refusal(410, "Expired", "old"), Refusal(500, "InternalError", "no")])
                )
            case "compact":
                self.world.server.compact()
            case "down":
                faults.be_down()
            case "freeze":
                faults.freeze_watches()
            case "break":
                faults.lose_request("GET", times=3)
            case "heal":
                faults.heal()

    async def _write_and_learn(self, name: str, late_s: float) -> None:
        """The answer comes late: meanwhile anything may have become of the object."""
        known = self.world.cache.get(Key("ns", name))
        try:
            if known is None:
                answer = await self.world.client.create(THINGS, THINGS.object(Key("ns", name), spec={"size": 1}))
            else:
                answer = await self.world.client.update(THINGS, {**known, "spec": {"size": self.chance.randrange(100)}})
        except ApiError:
            return
        await asyncio.sleep(late_s)
        self.world.cache.learn(answer)


DEEDS = {
    "write": 20,
    "remove": 8,
    "own": 15,
    "wait": 15,
    "end": 4,
    "compact": 3,
    "down": 2,
    "freeze": 2,
    "break": 2,
    "heal": 6,
}


@pytest.mark.parametrize("seed", range(24))
def test_a_random_life_ends_true_and_every_change_follows_from_the_one_before(time: VirtualTime, seed: int) -> None:
    world = make_world(time)
    world.server.has_watch_list = seed % 2 == 0

    async def main(world: World) -> None:
        life = Life(world, seed)
        for _ in range(STEPS):
            await life.step()
            assert life.wrong == []
        world.server.faults.heal()
        if life.late:
            await asyncio.wait(life.late)
        assert await world.until(world.is_true) <= RECOVERY_S
        await asyncio.sleep(100)
        assert world.is_true(), "and stays so"
        assert life.wrong == []
        assert {key: version_of(item) for key, item in life.shown.items()} == {
            key_of(item): version_of(item) for item in world.server.objects(THINGS)
        }

    run_world(world, main)
