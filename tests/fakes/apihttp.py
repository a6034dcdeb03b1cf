"""The API server in memory behind HTTP on loopback, for what only a real connection shows."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Protocol

from aiohttp import web

from xvirt.operator.runtime.errors import ApiError
from xvirt.operator.runtime.transport import Answer, Request, Stream


class Served(Protocol):
    """What `FakeApiServer` has of a `Transport`."""

    async def send(self, request: Request) -> Answer:
        """Send and read the whole answer."""

    def stream(self, request: Request) -> contextlib.AbstractAsyncContextManager[Stream]:
        """Send and read the answer piece by piece."""


@contextlib.asynccontextmanager
async def serve(
    server: Served, tls: ssl.SSLContext | None = None, seen: list[web.Request] | None = None
) -> AsyncIterator[str]:
    """`http://127.0.0.1:port` (https with `tls`) while the block runs; `seen` takes each request as it came."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if seen is not None:
            seen.append(request)
        asked = Request(request.method, request.path, dict(request.query), dict(request.headers), await request.read())
        try:
            if "watch" in asked.query:
                return await _stream(server, request, asked)
            answer = await server.send(asked)
            return web.Response(status=answer.code, body=answer.body, headers=dict(answer.headers))
        except ApiError:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"{'https' if tls else 'http'}://{host}:{port}"
    finally:
        await runner.cleanup()


async def _stream(server: Served, request: web.Request, asked: Request) -> web.StreamResponse:
    async with server.stream(asked) as stream:
        response = web.StreamResponse(status=stream.code, headers=dict(stream.headers))
        await response.prepare(request)
        async for chunk in stream.chunks():
            try:
                await response.write(chunk)
            except ConnectionError:  # the reader has gone away
                break
        with contextlib.suppress(ConnectionError):
            await response.write_eof()
        return response
