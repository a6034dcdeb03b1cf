"""Both clients behind one face, so that one test asks both: the asyncio one is driven from a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, Protocol, Self, TypeVar

from xvirt.client.asynchronous import AsyncConsoleSession, AsyncNodeClient
from xvirt.client.blocking import NodeClient
from xvirt.client.schedule import PATIENCE, Patience
from xvirt.client.target import Target

T = TypeVar("T")
PATIENCE_S = 60.0
"""A wait that ends the test when what it waits for does not come; nothing is measured by it."""


class Connect(Protocol):
    """Makes a client of either sort; the fixture closes it."""

    def __call__(self, target: Target, patience: Patience = PATIENCE) -> NodeClient: ...


class DrivenConsole:
    """An AsyncConsoleSession, driven."""

    def __init__(self, driven: DrivenClient, session: AsyncConsoleSession) -> None:
        self._driven, self._session = driven, session

    def __enter__(self) -> Self:
        self._driven.run(self._session.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._driven.run(self._session.close())

    def read(self) -> bytes | None:
        return self._driven.run(self._session.read())

    def write(self, data: bytes) -> None:
        self._driven.run(self._session.write(data))


class DrivenClient:
    """An AsyncNodeClient, driven."""

    def __init__(self, target: Target, patience: Patience = PATIENCE) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            self.client = self.run(self._make(target, patience))
        except BaseException:
            self.end()
            raise

    async def _make(self, target: Target, patience: Patience) -> AsyncNodeClient:
        return AsyncNodeClient(target, patience)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        return lambda *args, **kwargs: self.run(method(*args, **kwargs))

    @contextlib.contextmanager
    def watch(self, *args: Any) -> Iterator[Iterator[Any]]:
        manager = self.client.watch(*args)
        events = self.run(_coroutine(manager.__aenter__()))
        try:
            yield self._iterate(events)
        finally:
            self.run(_coroutine(manager.__aexit__(None, None, None)))

    def console(self, *args: Any, **kwargs: Any) -> DrivenConsole:
        return DrivenConsole(self, self.client.console(*args, **kwargs))

    def console_log(self, *args: Any, **kwargs: Any) -> Iterator[bytes]:
        return self._iterate(self.client.console_log(*args, **kwargs))

    def _iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        while True:
            try:
                yield self.run(_coroutine(anext(items)))
            except StopAsyncIteration:
                return

    def close(self) -> None:
        self.run(self.client.close())

    def end(self) -> None:
        """End the loop, after `close`."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()


async def _coroutine(work: Any) -> Any:
    return await work


CLIENTS: dict[str, Any] = {"blocking": NodeClient, "asyncio": DrivenClient}
