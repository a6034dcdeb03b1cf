"""The operator's line to one host: a watch that keeps its views true, and calls that carry the leader's token.

           +--silence, an end, an error--> pause 0.2 s .. 10 s --+
           v                                                      |
    CONNECTING --snapshot whole--> SYNCED                         |
           |                                                      |
           `--not heard for 40 s--> LOST --snapshot whole--> SYNCED

What is lost is not gone: the last views stay until a whole snapshot replaces them. Callbacks only enqueue keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from xvirt.model.errors import NotFound, Unavailable, XvirtError
from xvirt.model.exchange import (
    AdoptCall,
    ApplyCall,
    ApplyResult,
    Event,
    NodeDescription,
    ObjectRef,
    ObjectView,
    OperateCall,
    Operation,
    SecretContent,
    Token,
    WatchEvent,
    WatchType,
)
from xvirt.operator.nodes.state import Reach, Session
from xvirt.operator.nodes.views import NodeView, NodeViews, read_view

log = logging.getLogger(__name__)

T = TypeVar("T")

LOST_AFTER_S = 40.0
"""Not heard for so long, a host is lost: a plugin that is restarted is back by then."""
FIRST_LOST_AFTER_S = 12.0
"""The same for a host that this operator has never heard."""
PAUSE_FIRST_S = 0.2
PAUSE_MAX_S = 10.0
INFO_INTERVAL_S = 20.0
CALLS_MAX = 6
"""Calls of one node at once: below what a node takes of one client, so that the command line finds room, too."""


class NodeClient(Protocol):
    """What a link asks of its client (`xvirt.client.asynchronous`)."""

    async def apply(self, call: ApplyCall) -> ApplyResult: ...

    async def adopt(self, call: AdoptCall) -> ApplyResult: ...

    async def delete(self, ref: ObjectRef, token: Token | None = None, *, force: bool = False) -> ObjectView: ...

    async def operate(self, call: OperateCall) -> Operation: ...

    async def node_info(self) -> NodeDescription: ...

    def watch(
        self, kind: str = "", namespace: str = ""
    ) -> contextlib.AbstractAsyncContextManager[AsyncIterator[WatchEvent]]: ...

    async def close(self) -> None: ...


class Listener(Protocol):
    """Who is told. Neither method may wait."""

    def views_changed(self, host: str, views: Sequence[NodeView]) -> None:
        """These have changed or are gone; what is there now is in the link."""

    def reach_changed(self, host: str) -> None:
        """It was found, lost or is being looked for."""

    def facts_changed(self, host: str) -> None:
        """It was asked about itself."""

    def event_seen(self, host: str, event: Event) -> None:
        """A node tells of one of its objects."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinkOptions:
    """What all links share.

    `authority`: the cluster's. `epoch`: the leader's, asked for each call. `guard`: seconds that are left to change anything in; it raises
    where there are none. `now_s`: monotonic.
    """

    authority: str
    epoch: Callable[[], int]
    guard: Callable[[], float]
    now_s: Callable[[], float]
    lost_after_s: float = LOST_AFTER_S
    first_lost_after_s: float = FIRST_LOST_AFTER_S
    info_interval_s: float = INFO_INTERVAL_S
    chance: random.Random = dataclasses.field(default_factory=random.Random)


@dataclasses.dataclass(frozen=True, slots=True)
class HostFacts:
    """What a node said of itself last. `failed_since_s`: since when it has not answered that question; None while it does."""

    description: NodeDescription | None = None
    heard_s: float = 0.0
    failed_since_s: float | None = None
    failure: str = ""


class NodeLink:
    """One host. `run` never returns; cancel it, then `close`."""

    def __init__(self, host: str, address: str, client: NodeClient, options: LinkOptions, listener: Listener) -> None:
        self.host = host
        self.address = address
        self.views = NodeViews()
        self.facts = HostFacts()
        self.last_failure = ""
        self._client = client
        self._options = options
        self._listener = listener
        self._reach = Reach.CONNECTING
        self._session = Session()
        self._heard_s: float | None = None
        self._began_s = options.now_s()
        self._slots = asyncio.Semaphore(CALLS_MAX)
        self._timer: asyncio.TimerHandle | None = None
        self._look = asyncio.Event()

    # what is known

    @property
    def reach(self) -> Reach:
        """How well the host is known at present."""
        return self._reach

    @property
    def session(self) -> Session:
        """The node's life that the views are of."""
        return self._session

    @property
    def silent_for_s(self) -> float:
        """Seconds since the node last said anything; since this link began, where it never did."""
        since_s = self._began_s if self._heard_s is None else self._heard_s
        return self._options.now_s() - since_s

    # calls: each carries the leader's token, and leaves only while this process leads

    def token(self, generation: int = 0) -> Token:
        """The fencing token of a call about an object of this generation."""
        return Token(authority=self._options.authority, epoch=self._options.epoch(), generation=generation)

    async def apply(
        self,
        document: Mapping[str, Any],
        *,
        generation: int,
        profile: str,
        secrets: Sequence[SecretContent] = (),
        seen_volumes: Sequence[str] = (),
    ) -> ApplyResult:
        """Give the node a document. Raises the node's errors, and Unavailable where it cannot be reached."""
        call = ApplyCall(
            document=document,
            token=self.token(generation),
            secrets=tuple(secrets),
            profile=profile,
            seen_volumes=tuple(seen_volumes),
        )
        return await self._ask(lambda: self._client.apply(call))

    async def adopt(
        self,
        document: Mapping[str, Any],
        *,
        generation: int,
        profile: str,
        domain_uuid: str,
        secrets: Sequence[SecretContent] = (),
    ) -> ApplyResult:
        """Have the node take over a domain by a document, as it is."""
        call = AdoptCall(
            domain_uuid=domain_uuid,
            document=document,
            token=self.token(generation),
            secrets=tuple(secrets),
            profile=profile,
        )
        return await self._ask(lambda: self._client.adopt(call))

    async def delete(self, uid: str, *, generation: int = 0, is_forced: bool = False) -> bool:
        """Have the node let go of an object; False where it has none of that uid."""
        token = self.token(generation)
        try:
            await self._ask(lambda: self._client.delete(ObjectRef(uid=uid), token, force=is_forced))
        except NotFound:
            return False
        return True

    async def operate(self, call: OperateCall) -> Operation:
        """One act, with this leader's token."""
        made = dataclasses.replace(call, token=self.token())
        return await self._ask(lambda: self._client.operate(made))

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        async with self._slots:
            left_s = self._options.guard()
            try:
                async with asyncio.timeout(left_s):
                    return await ask()
            except TimeoutError:
                message = f"host {self.host} has not answered while this operator leads"
                raise Unavailable(message, reason="NodeSilent") from None

    # following

    async def run(self) -> None:
        """Follow the node until cancelled."""
        self._arm()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow_for_ever())
                tasks.create_task(self._ask_for_ever())
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def close(self) -> None:
        """Give the connection up."""
        await self._client.close()

    def look(self) -> None:
        """Ask the node about itself soon."""
        self._look.set()

    async def _follow_for_ever(self) -> None:
        pause_s = PAUSE_FIRST_S
        while True:
            before = self._session
            try:
                await self._follow()
            except XvirtError as error:
                self.last_failure = error.message
            except Exception as error:
                # One host must not be able to end the operator, whatever it says.
                log.exception("host %s", self.host)
                self.last_failure = f"{type(error).__name__}: {error}"
            if self._session != before:
                pause_s = PAUSE_FIRST_S
            self._disconnect()
            await asyncio.sleep(pause_s * self._options.chance.uniform(1.0, 1.3))
            pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def _follow(self) -> None:
        """One watch: a snapshot, then deltas, until it breaks."""
        snapshot: list[NodeView] | None = []
        async with self._client.watch() as events:
            async for event in events:
                self._heard_s = self._options.now_s()
                if event.type is WatchType.SYNCED and snapshot is not None:
                    self._sync(event.boot_id, snapshot)
                    snapshot = None
                elif snapshot is not None and event.object is not None:
                    snapshot.append(read_view(event.object))
                elif snapshot is None:
                    self._take(event)

    def _take(self, event: WatchEvent) -> None:
        if event.type is WatchType.OBJECT and event.object is not None:
            self._tell(self.views.put(read_view(event.object)))
        elif event.type is WatchType.DELETED and event.object is not None:
            known = self.views.drop(event.object.ref.uid)
            self._tell((known,) if known is not None else ())
        elif event.type is WatchType.EVENT and event.event is not None:
            self._listener.event_seen(self.host, event.event)

    def _tell(self, views: Sequence[NodeView]) -> None:
        if views:
            self._listener.views_changed(self.host, views)

    def _sync(self, boot_id: str, snapshot: list[NodeView]) -> None:
        changed = self.views.replace(snapshot)
        self._session = Session(boot_id, self._session.number + 1)
        self.last_failure = ""
        log.info("host %s: %d objects", self.host, len(self.views))
        self._move(Reach.SYNCED)
        self._tell(changed)
        self.look()

    def _disconnect(self) -> None:
        if self._reach is Reach.SYNCED:
            log.warning("host %s: %s", self.host, self.last_failure or "the watch ended")
            self._move(Reach.CONNECTING)
        self._arm()

    def _arm(self) -> None:
        """Look whether the host is lost at the moment at which it would be."""
        if self._timer is not None:
            self._timer.cancel()
        if self._reach is not Reach.CONNECTING:
            return
        left_s = self._patience_s() - self.silent_for_s
        self._timer = asyncio.get_running_loop().call_later(max(left_s, 0.001), self._judge)

    def _patience_s(self) -> float:
        return self._options.first_lost_after_s if self._heard_s is None else self._options.lost_after_s

    def _judge(self) -> None:
        if self._reach is not Reach.CONNECTING:
            return
        if self.silent_for_s >= self._patience_s():
            log.error("host %s is lost: %s", self.host, self.last_failure or "no answer")
            self._move(Reach.LOST)
        else:
            self._arm()

    def _move(self, reach: Reach) -> None:
        if reach is not self._reach:
            self._reach = reach
            self._listener.reach_changed(self.host)

    async def _ask_for_ever(self) -> None:
        while True:
            if self._reach is Reach.SYNCED:
                await self._ask_about_itself()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.info_interval_s):
                    await self._look.wait()
            self._look.clear()

    async def _ask_about_itself(self) -> None:
        now_s = self._options.now_s()
        try:
            description = await self._client.node_info()
        except XvirtError as error:
            since_s = self.facts.failed_since_s if self.facts.failed_since_s is not None else now_s
            self.facts = dataclasses.replace(self.facts, failed_since_s=since_s, failure=error.message)
        else:
            self.facts = HostFacts(description, self._options.now_s())
        self._listener.facts_changed(self.host)
