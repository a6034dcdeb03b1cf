"""Starts the operator: config, access to the API server, caches, lease, controllers; stops them and gives the lease back.

Machines run on without it, and without the API server; whatever it was doing, the next one finds out from what is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import os
import signal
import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

from prometheus_client import CollectorRegistry

from xvirt.client.asynchronous import AsyncNodeClient
from xvirt.client.schedule import Patience
from xvirt.client.target import Target, TlsFiles
from xvirt.model.errors import XvirtError
from xvirt.operator.config import OperatorConfig, load_config
from xvirt.operator.monitor import Monitor
from xvirt.operator.operator import NAME, Operator, OperatorParts
from xvirt.operator.runtime.access import Access, AccessFailed, find_access
from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.controller import ControllerOptions
from xvirt.operator.runtime.lease import LeaseOptions
from xvirt.operator.runtime.metrics import Metrics
from xvirt.operator.runtime.transport import AiohttpTransport
from xvirt.process.command import Program, leave

logger = logging.getLogger(__name__)

PATIENCE = Patience(call_s=15.0, repeat_within_s=2.0)
"""Of calls to nodes: short enough to leave room for a decision within a lease."""


PROGRAM = Program("xvirt-operator", "xVirt's operator for Kubernetes", Path("/etc/xvirt/operator.yaml"))


def run() -> None:
    """Entry point of `xvirt-operator`."""
    arguments = PROGRAM.read_arguments()
    try:
        config = PROGRAM.begin(arguments, load_config)
        if config is None:
            return
        asyncio.run(serve(config))
    except (XvirtError, AccessFailed) as error:
        PROGRAM.tell(error)
        leave(1)
    leave(0)


def _lose_lease(message: str) -> NoReturn:
    """No graceful end: from here on another replica decides."""
    os.write(2, f"xvirt-operator: {message}; ending at once\n".encode())
    os._exit(2)


async def serve(config: OperatorConfig) -> None:
    """Run until SIGTERM or SIGINT. Raises what ends it otherwise."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _ask_to_stop, stop, number)
    access = find_access(config.kubeconfig or "")
    metrics = Metrics(CollectorRegistry(), prefix="xvirt_operator")
    client = ApiClient(AiohttpTransport(access), manager=NAME, metrics=metrics)
    operator = Operator(operator_parts(config, access, client))
    async with _monitored(config, operator, metrics):
        try:
            await _work(operator, stop)
            await operator.release()
        finally:
            await client.close()
    logger.info("stopped")


def _ask_to_stop(stop: asyncio.Event, number: int) -> None:
    """The second signal ends the process at once."""
    stop.set()
    asyncio.get_running_loop().remove_signal_handler(number)
    signal.signal(number, signal.SIG_DFL)


async def _work(operator: Operator, stop: asyncio.Event) -> None:
    work = asyncio.create_task(operator.run(), name="operator")
    asked = asyncio.create_task(stop.wait(), name="stop")
    gc.freeze()  # what was imported lives as long as the process
    await asyncio.wait((work, asked), return_when=asyncio.FIRST_COMPLETED)
    if asked.done():
        logger.info("stopping; machines are left alone")
        work.cancel()
    asked.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


@contextlib.asynccontextmanager
async def _monitored(config: OperatorConfig, operator: Operator, metrics: Metrics) -> AsyncIterator[None]:
    if not config.listen:
        yield
        return
    monitor = Monitor(config.listen, metrics.registry, is_ready=lambda: operator.is_ready)
    await monitor.start()
    try:
        yield
    finally:
        await monitor.stop()


def operator_parts(config: OperatorConfig, access: Access, client: ApiClient) -> OperatorParts:
    """The parts of a real operator."""
    identity = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4()}"
    files = TlsFiles(Path(config.tls.ca), Path(config.tls.certificate), Path(config.tls.key))
    return OperatorParts(
        client=client,
        open_client=functools.partial(open_client, files),
        lease=LeaseOptions(config.lease.namespace or access.namespace, config.lease.name, identity),
        on_lost=_lose_lease,
        holder=config.holder_settings,
        hosts=config.host_settings,
        machine_options=ControllerOptions(workers=config.workers),
    )


def open_client(files: TlsFiles, host: str, address: str) -> AsyncNodeClient:
    """A client of one host's node plugin, whose certificate must be the host's."""
    return AsyncNodeClient(Target(f"tcp://{address}", host, files), PATIENCE)


if __name__ == "__main__":
    run()
