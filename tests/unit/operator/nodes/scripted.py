"""A node whose words the test puts into its mouth, and links to such nodes in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from tests.fakes.virtualtime import VirtualTime
from xvirt.model.errors import Unavailable, XvirtError
from xvirt.model.exchange import (
    AdoptCall,
    ApplyCall,
    ApplyResult,
    Event,
    EventType,
    NodeDescription,
    ObjectRef,
    ObjectView,
    OperateCall,
    Operation,
    OperationState,
    Token,
    WatchEvent,
    WatchType,
)
from xvirt.operator.nodes.link import LinkOptions

T = TypeVar("T")


class ScriptedNode:
    """Implements `NodeClient`."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[Any] = asyncio.Queue()
        self.is_refusing = False
        self.watches = 0
        self.calls: list[tuple[str, Any]] = []
        self.running = 0
        self.running_max = 0
        self.call_s = 0.0
        self.failure: XvirtError | None = None
        self.info_failure: XvirtError | None = None
        self.is_closed = False
        self.boot_id = "boot-1"

    # what the test says

    def show(self, name: str = "web", uid: str = "u-1", generation: int = 1, kind: str = "VirtualMachine") -> None:
        self.say(WatchType.OBJECT, object=made(name, uid, generation, kind))

    def farewell(self, name: str = "web", uid: str = "u-1") -> None:
        self.say(WatchType.DELETED, object=made(name, uid))

    def sync(self) -> None:
        self.say(WatchType.SYNCED)

    def beat(self) -> None:
        self.say(WatchType.HEARTBEAT)

    def tell(self, reason: str) -> None:
        ref = ObjectRef(kind="VirtualMachine", namespace="default", name="web", uid="u-1")
        self.say(WatchType.EVENT, event=Event(ref=ref, type=EventType.WARNING, reason=reason, message="m"))

    def say(self, kind: WatchType, **content: Any) -> None:
        self.says.put_nowait(WatchEvent(type=kind, boot_id=self.boot_id, sequence=1, **content))

    def hang_up(self, error: BaseException | None = None) -> None:
        self.says.put_nowait(error or Unavailable("the watch broke", reason="WatchEnded"))

    # NodeClient

    async def apply(self, call: ApplyCall) -> ApplyResult:
        return await self._answer("apply", call, ApplyResult(object=made("web", "u-1")))

    async def adopt(self, call: AdoptCall) -> ApplyResult:
        return await self._answer("adopt", call, ApplyResult(object=made("web", "u-1")))

    async def delete(self, ref: ObjectRef, token: Token | None = None, *, force: bool = False) -> ObjectView:
        return await self._answer("delete", (ref, token, force), made("web", ref.uid))

    async def operate(self, call: OperateCall) -> Operation:
        done = Operation(id=call.operation_id, ref=call.ref, verb=call.verb, state=OperationState.PENDING)
        return await self._answer("operate", call, done)

    async def node_info(self) -> NodeDescription:
        if self.info_failure is not None:
            raise self.info_failure
        return NodeDescription(document={"status": {"cpus": 8}})

    async def _answer(self, what: str, call: Any, answer: T) -> T:
        self.calls.append((what, call))
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        try:
            await asyncio.sleep(self.call_s)
        finally:
            self.running -= 1
        if self.failure is not None:
            raise self.failure
        return answer

    @contextlib.asynccontextmanager
    async def watch(self, kind: str = "", namespace: str = "") -> AsyncIterator[AsyncIterator[WatchEvent]]:
        self.watches += 1
        if self.is_refusing:
            raise Unavailable("connection refused")
        yield self._events()

    async def _events(self) -> AsyncIterator[WatchEvent]:
        while True:
            said = await self.says.get()
            if isinstance(said, BaseException):
                raise said
            yield said

    async def close(self) -> None:
        self.is_closed = True


def made(name: str, uid: str, generation: int = 1, kind: str = "VirtualMachine") -> ObjectView:
    ref = ObjectRef(kind=kind, namespace="default", name=name, uid=uid, authority="cluster")
    return ObjectView(ref=ref, document={"status": {"name": name}}, token=Token(epoch=1, generation=generation))


def options(time: VirtualTime, **more: Any) -> LinkOptions:
    given: dict[str, Any] = {
        "authority": "cluster",
        "epoch": lambda: 7,
        "guard": lambda: 10.0,
        "now_s": time.clock.monotonic_s,
    }
    return LinkOptions(**{**given, **more})


def play(story: Callable[[VirtualTime], Coroutine[Any, Any, None]]) -> None:
    with VirtualTime() as time:
        time.run(story(time))


async def settle() -> None:
    """Let every task run that can."""
    await asyncio.sleep(0.001)
