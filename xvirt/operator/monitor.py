"""The monitoring port: /metrics, /livez and /readyz by plain HTTP, reading only, on the operator's own event loop: one that hangs answers
nothing, and its pod is restarted."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from xvirt.model.errors import Unavailable

_METRICS_TYPE = "text/plain; version=0.0.4"


class Monitor:
    """The port. `address` is `host:port` (`[::1]:9178` for IPv6)."""

    def __init__(self, address: str, registry: CollectorRegistry, *, is_ready: Callable[[], bool]) -> None:
        self._address = address
        self._registry = registry
        self._is_ready = is_ready
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Answer. Raises Unavailable where the address is taken."""
        application = web.Application(client_max_size=1024)
        application.router.add_get("/livez", self._livez)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        host, _, port = self._address.rpartition(":")
        try:
            await web.TCPSite(self._runner, host.removeprefix("[").removesuffix("]"), int(port)).start()
        except OSError as error:
            await self.stop()
            raise Unavailable(
                f"cannot listen on {self._address}: {error.strerror}; free it, or set listen in the operator's config"
                ' to another address ("" for none)'
            ) from error

    async def stop(self) -> None:
        """Answer no more."""
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port it has (that the system chose, where 0 was asked for)."""
        assert self._runner is not None
        return int(self._runner.addresses[0][1])

    async def _livez(self, _: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self._is_ready():
            return web.Response(text="ready\n")
        return web.Response(status=503, text="not ready: not every cache is whole and fresh\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": _METRICS_TYPE})
