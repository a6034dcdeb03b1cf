"""One process's line to an API server, which can be cut: then nothing it sends arrives, and nothing is answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.fakes.apiserver import FakeApiServer
from xvirt.operator.runtime.transport import Answer, Request, Stream


class Line:
    """Implements the runtime's `Transport`."""

    def __init__(self, server: FakeApiServer) -> None:
        self._server = server
        self.is_cut = False

    async def send(self, request: Request) -> Answer:
        if self.is_cut:
            await asyncio.get_running_loop().create_future()
        return await self._server.send(request)

    @contextlib.asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Stream]:
        if self.is_cut:
            await asyncio.get_running_loop().create_future()
        async with self._server.stream(request) as stream:
            yield stream

    async def close(self) -> None:
        """Nothing to close."""
