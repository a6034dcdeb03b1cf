"""Starts the gateway: config, API server, listener; ends it once nobody sends requests any more."""

from __future__ import annotations

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # before gRPC is imported

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xvirt.gateway.authorization import authorize
from xvirt.gateway.config import GatewayConfig, load_config
from xvirt.gateway.listener import listen, monitor
from xvirt.gateway.machines import Machines
from xvirt.gateway.metrics import GatewayMetrics
from xvirt.gateway.nodes import NodeClients, tls_opener
from xvirt.gateway.server import Doors, Gateway
from xvirt.gateway.subresources import Acts
from xvirt.gateway.tls import Listening
from xvirt.gateway.trust import STALE_AFTER_S, Trust, wait_for_front_proxy
from xvirt.model.errors import XvirtError
from xvirt.operator.runtime.access import AccessFailed, find_access
from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.metrics import Metrics
from xvirt.operator.runtime.resources import Key
from xvirt.operator.runtime.transport import AiohttpTransport
from xvirt.process.command import Program
from xvirt.process.config import ClientTlsConfig
from xvirt.wire.certificates import TlsFiles

log = logging.getLogger(__name__)

NAME = "xvirt-gateway"


PROGRAM = Program(NAME, "xVirt's aggregated API: acts upon machines of a cluster", Path("/etc/xvirt/gateway.yaml"))


def run() -> None:
    """Entry point of `xvirt-gateway`."""
    arguments = PROGRAM.read_arguments()
    try:
        config = PROGRAM.begin(arguments, load_config)
        if config is None:
            return
        asyncio.run(serve(config))
    except (XvirtError, AccessFailed) as error:
        PROGRAM.tell(error)
        sys.exit(1)


async def serve(config: GatewayConfig) -> None:
    """Run until SIGTERM or SIGINT; the second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        stop.set()
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    async with contextlib.AsyncExitStack() as stack:
        await _serve(config, stop, stack)


async def _serve(config: GatewayConfig, stop: asyncio.Event, stack: contextlib.AsyncExitStack) -> None:
    metrics = Metrics(prefix="xvirt_gateway")
    client = ApiClient(AiohttpTransport(find_access(config.kubeconfig or "")), manager=NAME, metrics=metrics)
    stack.push_async_callback(client.close)
    waiting = asyncio.ensure_future(wait_for_front_proxy(client))
    if not await _wait(stop, waiting):
        return
    trusted = waiting.result()
    listening = Listening(Path(config.tls.certificate), Path(config.tls.key), trusted.ca)
    trust = Trust(client, trusted, lambda found: listening.trust(found.ca))
    nodes = NodeClients(tls_opener(node_files(config.nodes)))
    stack.push_async_callback(nodes.close)
    why_not_ready = _readiness(trust, stop)
    doors = Doors(
        front_proxy=lambda: trust.front_proxy,
        authorize=lambda user, target, verbs: authorize(client, user, target, verbs),
        why_not_ready=why_not_ready,
    )
    acts = Acts(Machines(client, Key(config.lease.namespace, config.lease.name)), nodes)
    gateway = Gateway(doors, acts.table(), GatewayMetrics(metrics.registry))
    await stack.enter_async_context(listen(config.listen, gateway.serve, listening))
    if config.metrics_listen:
        pages = monitor(metrics.registry, why_not_ready)
        await stack.enter_async_context(listen(config.metrics_listen, pages))
    log.info("serves on %s", config.listen)
    await _wait(stop, asyncio.ensure_future(trust.run()))
    log.info("stopping in %d s", config.drain_seconds)
    await asyncio.sleep(config.drain_seconds)


def node_files(config: ClientTlsConfig) -> TlsFiles:
    """The files to call nodes with."""
    return TlsFiles(Path(config.ca), Path(config.certificate), Path(config.key))


def _readiness(trust: Trust, stop: asyncio.Event) -> Callable[[], str]:
    def why_not_ready() -> str:
        if stop.is_set():
            return "it is stopping"
        return f"the API server has not answered for {trust.age_s:.0f} s" if trust.age_s > STALE_AFTER_S else ""

    return why_not_ready


async def _wait(stop: asyncio.Event, work: asyncio.Future[Any]) -> bool:
    """Wait for work to end; False where a stop was asked for first, which ends it. Raises what the work raised."""
    asked = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((asked, work), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
        return work.done()
    finally:
        asked.cancel()
        work.cancel()


if __name__ == "__main__":
    run()
