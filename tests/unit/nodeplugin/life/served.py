"""A node in memory that serves: the real gRPC server over Unix sockets, one per authority, each behind a wire that can be cut. Its
workers take their keys from the real queues, woken by the real events, but in one thread and in a time of their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nodeplugin.converge.queue import WorkQueue
from nodeplugin.hypervisor.port import HypervisorEvent
from nodeplugin.server import NodeServer
from nodeplugin.server_options import ServerOptions
from tests.fakes.faults import PluginKilled
from tests.unit.client.relay import Relay
from tests.unit.nodeplugin.life.watcher import Watcher
from tests.unit.nodeplugin.world import World
from xvirt.client.blocking import NodeClient
from xvirt.client.schedule import Patience
from xvirt.client.target import Target
from xvirt.model.errors import Unavailable
from xvirt.model.exchange import Caller
from xvirt.wire.status import UNREACHABLE

AUTHORITIES = ("local", "cluster", "stack")
PATIENCE = Patience(call_s=60.0, repeat_within_s=30.0)
VISITS_MAX = 4000
LONG_S = 420.0
"""Longer than any back-off, grace period and look at what runs."""


class Door:
    """The service as the servers see it: whichever process is the present one; and what happens right after it has done a call."""

    def __init__(self, world: ServedWorld) -> None:
        self._world = world
        self.afterwards: Callable[[], None] | None = None

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            if self._world.is_down:
                raise Unavailable("there is no process", reason=UNREACHABLE)
            result = getattr(self._world.service, name)(*arguments, **more)
            then, is_change = self.afterwards, name in ("apply", "delete", "operate")
            if then is not None and is_change:
                self.afterwards = None
                then()
            return result

        return call


@dataclasses.dataclass
class Seat:
    """One authority: its listener, wire and client."""

    authority: str
    server: NodeServer
    relay: Relay
    client: NodeClient
    watcher: Watcher


class ServedWorld(World):
    """`World` over the RPC. Times of the wall clock are a second for each virtual one, and jump with `wall_offset_s`."""

    authorities = AUTHORITIES

    def __init__(self, directory: Path) -> None:
        self.door = Door(self)
        self.is_deaf = False
        """libvirt's events are lost."""
        self.is_down = True
        super().__init__(directory)
        self.seats = {name: self._seat(name) for name in AUTHORITIES}

    def die(self) -> None:
        """The process ends."""
        self.is_down = True
        self.hypervisor._listeners.clear()
        self.store.close()
        self.cut()

    def boot(self) -> None:
        self.is_down = True
        self.hypervisor._listeners.clear()
        super().boot()
        self.hypervisor.subscribe(self._hear)
        self.is_down = False
        self.images.subscribe(self.converger.enqueue)
        self.converger.enqueue_all()

    def restart(self) -> None:
        """The process ends and a new one comes; its readers notice."""
        self.die()
        self.boot()

    def cut(self) -> None:
        """All connections break."""
        for seat in getattr(self, "seats", {}).values():
            seat.relay.cut()

    def close(self) -> None:
        """End everything."""
        for seat in self.seats.values():
            seat.watcher.close()
            seat.client.close()
            seat.relay.close()
            seat.server.stop(0.0)
        self.store.close()

    def _hear(self, event: HypervisorEvent) -> None:
        if not self.is_deaf:
            self.converger._on_event(event)

    def _seat(self, authority: str) -> Seat:
        caller = Caller(name=authority, authorities=(authority,), namespaces=("*",), profiles=("restricted",))
        inner = self.directory / f"{authority}.sock"
        server = NodeServer(self.door, ServerOptions(unix_socket=inner, local_caller=caller))
        server.start()
        relay = Relay(self.directory / f"{authority}.relay", inner)
        client = NodeClient(Target(relay.address), PATIENCE)
        return Seat(authority, server, relay, client, Watcher(NodeClient(Target(relay.address), PATIENCE)))

    # time

    def settle(self, horizon_s: float = LONG_S) -> None:
        """Do what is due, and what becomes due, for so long."""
        end_s = self.clock.now + horizon_s
        for _ in range(VISITS_MAX):
            due = self._take(end_s)
            if due is None:
                self.clock.now = end_s
                return
            queue, uid = due
            try:
                (self.converger._wake if queue is self.converger._wakes else self.converger.work)(uid)
            except PluginKilled:
                self.deaths += 1
                self.restart()
            finally:
                queue.done(uid)
        raise AssertionError(f"no end after {VISITS_MAX} visits: {self._fingerprint()}")

    def _take(self, end_s: float) -> tuple[WorkQueue, str] | None:
        queues = (self.converger._wakes, self.converger._resource_queue, self.converger._machine_queue)
        times = [min(queue._due.values(), default=end_s + 1) for queue in queues]
        first = min(times)
        if first > end_s:
            return None
        self.clock.now = max(self.clock.now, first)
        queue = queues[times.index(first)]
        uid = queue.take()
        assert uid is not None
        return queue, uid
