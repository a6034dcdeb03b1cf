"""Hosts without sockets: the real node service over a hypervisor in memory, called from the operator's event loop.

What a host has taken it converges to a moment later, in virtual time. A host can be away (no answers), frozen (silence), killed and rebooted.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

from nodeplugin.hypervisor.port import VolumeFacts
from tests.unit.nodeplugin.test_adoption import UUID, define
from tests.unit.nodeplugin.world import World
from xvirt.model.errors import DeadlineExceeded, Unavailable
from xvirt.model.exchange import (
    AdoptCall,
    ApplyCall,
    ApplyResult,
    Caller,
    Document,
    DryRun,
    NodeDescription,
    ObjectRef,
    ObjectView,
    OperateCall,
    Operation,
    Token,
    WatchEvent,
    WatchType,
)

T = TypeVar("T")
CLUSTER = "00000000-0000-4000-8000-000000000001"
"""Authority: the uid of kube-system."""
OPERATOR = Caller(
    name="xvirt-operator",
    authorities=(CLUSTER,),
    namespaces=("*",),
    profiles=("restricted", "baseline", "privileged"),
)
HEARTBEAT_S = 10.0
SILENCE_S = 35.0
CONVERGE_S = 0.01


class HostWorld(World):
    """One host of a cluster."""

    authorities = ("local", CLUSTER)

    def __init__(self, directory: Path, name: str) -> None:
        self.node_name = name
        self._boots = itertools.count(1)
        super().__init__(directory)

    def next_boot_id(self) -> str:
        return f"boot-{next(self._boots)}"


class MemoryHost:
    """One host and its plugin's process. `calls` are the mutating ones that reached it, in order."""

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir()
        self.name = name
        self.world = HostWorld(directory, name)
        self.is_away = False
        self.is_frozen = False
        self.is_converging = True
        self.calls: list[tuple[str, str, int, int]] = []
        self.before_call: Callable[[str], None] = lambda _: None
        self.after_call: Callable[[str], None] = lambda _: None
        self._streams: set[asyncio.Event] = set()
        self._is_due = False

    # faults

    def go_away(self) -> None:
        """Refuse connections, and break those that there are."""
        self.is_away = True
        self._wake()

    def come_back(self) -> None:
        """Answer again."""
        self.is_away = self.is_frozen = False
        self._wake()

    def freeze(self) -> None:
        """Stop the plugin's process: connections stay, and nothing comes."""
        self.is_frozen = True

    def reboot_plugin(self) -> None:
        """Kill the plugin's process and start it anew."""
        self.world.boot()
        self._wake()
        self.converge_soon()

    def lose_store(self) -> None:
        """Kill the plugin's process, and start it anew without its store."""
        for path in self.world.directory.glob("store.db*"):
            path.unlink()
        self.world.boot()
        self._wake()
        self.converge_soon()

    def forget_everything(self) -> dict[str, VolumeFacts]:
        """The host comes back without state, definitions and volumes; the volumes, to be given back."""
        held = self.world.forget_everything()
        self._wake()
        self.converge_soon()
        return held

    def _wake(self) -> None:
        for stream in self._streams:
            stream.set()

    # the host's own work

    def converge_soon(self) -> None:
        """Let the workers run a moment later."""
        if self._is_due or not self.is_converging:
            return
        self._is_due = True
        asyncio.get_running_loop().call_later(CONVERGE_S, self.converge)

    def converge(self) -> None:
        """Let the workers run now."""
        self._is_due = False
        if not self.is_frozen:
            self.world.settle()

    # what tests look at

    def domains(self) -> dict[str, tuple[str, bool]]:
        """UUID to (name, whether it runs) of all domains."""
        return {item.uuid: (item.name, item.is_active) for item in self.world.hypervisor.list_domains()}

    def define_by_hand(self, name: str) -> str:
        """A running domain that nobody declares; its UUID."""
        define(self.world, name)
        return UUID

    def draft(self, uuid: str) -> Document:
        """The document that stands for such a domain."""
        call = AdoptCall(domain_uuid=uuid, dry_run=DryRun.PLAN, token=Token(authority=CLUSTER, epoch=0))
        return self.world.service.adopt(OPERATOR, call).object.document

    def client(self) -> MemoryClient:
        return MemoryClient(self)


class MemoryClient:
    """Implements the operator's `NodeClient`."""

    def __init__(self, host: MemoryHost) -> None:
        self._host = host

    async def apply(self, call: ApplyCall) -> ApplyResult:
        uid = call.document["metadata"].get("uid", "")
        return await self._change("apply", uid, call.token, lambda: self._service.apply(OPERATOR, call))

    async def adopt(self, call: AdoptCall) -> ApplyResult:
        return await self._change("adopt", call.domain_uuid, call.token, lambda: self._service.adopt(OPERATOR, call))

    async def delete(self, ref: ObjectRef, token: Token | None = None, *, force: bool = False) -> ObjectView:
        token = token or Token()
        return await self._change(
            "delete", ref.uid, token, lambda: self._service.delete(OPERATOR, ref, token, force=force)
        )

    async def operate(self, call: OperateCall) -> Operation:
        return await self._change("operate", call.ref.uid, call.token, lambda: self._service.operate(OPERATOR, call))

    async def node_info(self) -> NodeDescription:
        await self._reach()
        described: NodeDescription = self._service.node_info(OPERATOR)
        return described

    async def close(self) -> None:
        """Nothing to close."""

    @property
    def _service(self) -> Any:
        return self._host.world.service

    async def _reach(self) -> None:
        if self._host.is_away:
            raise Unavailable(f"host {self._host.name} cannot be reached")
        if self._host.is_frozen:
            await asyncio.sleep(15.0)
            raise DeadlineExceeded(f"host {self._host.name} has not answered")

    async def _change(self, what: str, uid: str, token: Token, act: Callable[[], T]) -> T:
        host = self._host
        await self._reach()
        host.before_call(what)
        host.calls.append((what, uid, token.epoch, token.generation))
        try:
            answer = act()
        finally:
            host.converge_soon()
        host.after_call(what)
        await asyncio.sleep(0)
        return answer

    @contextlib.asynccontextmanager
    async def watch(self, kind: str = "", namespace: str = "") -> AsyncIterator[AsyncIterator[WatchEvent]]:
        await self._reach()
        news = asyncio.Event()
        world = self._host.world
        subscription = self._service.watch(OPERATOR, kind, namespace)
        offer = subscription.offer

        def told(event: WatchEvent, ref: ObjectRef | None) -> None:
            offer(event, ref)
            news.set()

        subscription.offer = told
        self._host._streams.add(news)
        try:
            yield self._events(subscription, news, world.hub)
        finally:
            self._host._streams.discard(news)
            subscription.close()

    async def _events(self, subscription: Any, news: asyncio.Event, hub: Any) -> AsyncIterator[WatchEvent]:
        silent_s = 0.0
        while True:
            if self._host.is_away or self._host.world.hub is not hub:
                raise Unavailable(f"host {self._host.name} ended the watch", reason="WatchEnded")
            if self._host.is_frozen:
                if silent_s >= SILENCE_S:
                    raise Unavailable(f"host {self._host.name} was silent", reason="NodeSilent")
                await asyncio.sleep(1.0)
                silent_s += 1.0
                continue
            silent_s = 0.0
            while (event := subscription.next_event(0)) is not None:
                yield event
            news.clear()
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await news.wait()
            except TimeoutError:
                if not self._host.is_frozen:
                    yield WatchEvent(type=WatchType.HEARTBEAT, boot_id=hub.boot_id, sequence=0)
