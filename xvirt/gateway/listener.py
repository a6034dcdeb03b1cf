"""Listeners: so many connections at once, and none that says nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from xvirt.gateway.tls import Listening
from xvirt.model.errors import Unavailable

CONNECTIONS_MAX = 1024
FIRST_REQUEST_TIMEOUT_S = 20.0
"""A connection that has brought no whole head of a request by then is closed."""
HANDSHAKE_TIMEOUT_S = 10.0
KEEPALIVE_TIMEOUT_S = 120.0
"""Above the 90 s after which Go's clients drop an idle connection: they, not we, end it, so that no request meets its end."""
HEADERS_MAX = 1024
"""Each group of a user is a header of its own."""
STOP_GRACE_S = 10.0

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Server(web.Server):
    def __init__(self, handle: Handle) -> None:
        super().__init__(self._serve, keepalive_timeout=KEEPALIVE_TIMEOUT_S, max_headers=HEADERS_MAX, access_log=None)
        self._handle = handle
        self._silent: dict[object, asyncio.TimerHandle] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """aiohttp's own hook."""
        super().connection_made(handler, transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._silent[handler] = loop.call_later(FIRST_REQUEST_TIMEOUT_S, transport.abort)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """aiohttp's own hook."""
        self._heard(handler)
        super().connection_lost(handler, exc)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self._heard(request.protocol)
        return await self._handle(request)

    def _heard(self, handler: web.RequestHandler) -> None:
        timer = self._silent.pop(handler, None)
        if timer is not None:
            timer.cancel()


@contextlib.asynccontextmanager
async def listen(address: str, handle: Handle, listening: Listening | None = None) -> AsyncIterator[int]:
    """Serve on `host:port` while the block runs; the port. Without `listening` over plain HTTP. Raises Unavailable."""
    host, _, port = address.rpartition(":")
    server = _Server(handle)
    tls: dict[str, Any] = {}
    if listening is not None:
        tls = {"ssl": listening.context, "ssl_handshake_timeout": HANDSHAKE_TIMEOUT_S}
    try:
        opened = await asyncio.get_running_loop().create_server(server, host.strip("[]"), int(port), **tls)
    except OSError as error:
        raise Unavailable(f"cannot listen on {address}: {error.strerror or error}") from error
    try:
        yield int(opened.sockets[0].getsockname()[1])
    finally:
        opened.close()
        server.pre_shutdown()
        await server.shutdown(STOP_GRACE_S)


def monitor(registry: CollectorRegistry, why_not_ready: Callable[[], str]) -> Handle:
    """/metrics, /livez and /readyz."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="this is read by GET\n")
        if path == "/metrics":
            kind = "text/plain; version=0.0.4; charset=utf-8"
            return web.Response(body=generate_latest(registry), headers={"Content-Type": kind})
        if path not in ("/livez", "/readyz"):
            return web.Response(status=404, text="there are /metrics, /livez and /readyz\n")
        why = why_not_ready() if path == "/readyz" else ""
        return web.Response(status=503 if why else 200, text=f"{why or 'ok'}\n")

    return handle
