"""A whole operator in eighty lines: each Thing has a ConfigMap of its size, a finalizer and a status.

It stands for operators in the tests of the runtime, and in docs/operator-runtime.md for how one is written.
"""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Sequence

from tests.unit.operator.runtime.api_cases import FINALIZER, THINGS
from xvirt.operator.runtime.api import ApiClient, Selection
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.controller import Controller, ControllerOptions, Requeue
from xvirt.operator.runtime.errors import NotFound
from xvirt.operator.runtime.reflector import Reflector
from xvirt.operator.runtime.resources import (
    CONFIG_MAPS,
    Key,
    Object,
    finalizers_of,
    is_deleting,
    key_of,
    owner_keys,
    owner_reference,
)
from xvirt.operator.runtime.writer import StatusWriter

LABEL = "example.xvirt.io/thing"
OPTIONS = ControllerOptions(workers=4, resync_s=0)


class Poison(Exception):
    """A Thing of negative size: a bug of the operator's."""


@dataclasses.dataclass
class Toy:
    """Caches, reflectors and one controller over a client. `reconciled` is each key that came up."""

    client: ApiClient
    options: ControllerOptions = OPTIONS
    namespace: str = ""
    chance: random.Random = dataclasses.field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        self.reconciled: list[Key] = []
        self.things, self.configs = Cache(THINGS), Cache(CONFIG_MAPS)
        self.status = StatusWriter(self.client, self.things)
        self.reflectors: Sequence[Reflector] = (
            Reflector(self.client, self.things, Selection(namespace=self.namespace), chance=self.chance),
            Reflector(self.client, self.configs, Selection(LABEL, namespace=self.namespace), chance=self.chance),
        )
        self.controller = Controller(
            "things",
            self.reconcile,
            synced=self.reflectors,
            options=self.options,
            clock=self.client.clock,
            metrics=self.client.metrics,
            chance=self.chance,
        )
        self.controller.follow(self.things)
        self.controller.follow(self.configs, owner_keys("Thing"))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for reflector in self.reflectors:
                tasks.create_task(reflector.run())
            tasks.create_task(self.controller.run())

    async def reconcile(self, key: Key) -> Requeue | None:
        self.reconciled.append(key)
        thing = self.things.get(key)
        if thing is None:
            return None
        if is_deleting(thing):
            await self._release(thing)
            return None
        size = thing["spec"]["size"]
        if size < 0:
            raise Poison(f"{key} has size {size}")
        if FINALIZER not in finalizers_of(thing):
            self.things.learn(await self.client.add_finalizer(THINGS, thing, FINALIZER))
            return None
        config = self._config_of(thing)
        if config is None:
            self.configs.learn(await self.client.create(CONFIG_MAPS, _wanted(thing)))
        elif config["data"] != {"size": str(size)}:
            wanted = _wanted(thing)
            wanted["metadata"]["uid"] = config["metadata"]["uid"]
            self.configs.learn(await self.client.apply(CONFIG_MAPS, wanted))
        else:
            ready = {"type": "Ready", "status": "True", "reason": "Made"}
            generation = thing["metadata"]["generation"]
            await self.status.write(thing, {"observedGeneration": generation, "conditions": [ready]})
        return None

    async def _release(self, thing: Object) -> None:
        if FINALIZER not in finalizers_of(thing):
            return
        config = self._config_of(thing)
        if config is not None:
            try:
                await self.client.delete(CONFIG_MAPS, config)
            except NotFound:
                self.configs.delete(config)
        else:
            self.things.learn(await self.client.remove_finalizer(THINGS, thing, FINALIZER))

    def _config_of(self, thing: Object) -> Object | None:
        """The ConfigMap of this very Thing: one of a former Thing of that name is somebody else's."""
        found = self.configs.get(key_of(thing))
        if found is None or found["metadata"]["ownerReferences"][0]["uid"] != thing["metadata"]["uid"]:
            return None
        return found


def _wanted(thing: Object) -> Object:
    made = CONFIG_MAPS.object(key_of(thing), data={"size": str(thing["spec"]["size"])})
    made["metadata"] |= {"labels": {LABEL: "yes"}, "ownerReferences": [owner_reference(thing)]}
    return made
