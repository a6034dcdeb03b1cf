"""A process that writes as fast as it can while it leads: `python -m tests.cluster.lease_writer KUBECONFIG NAMESPACE IDENTITY`.

Exits with 17 where it lost the lease. SIGTERM releases it and exits with 0.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from xvirt.operator.runtime.access import from_kubeconfig
from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.errors import ApiError, LeaseLost
from xvirt.operator.runtime.lease import Lease, LeaseOptions
from xvirt.operator.runtime.resources import CONFIG_MAPS, Key
from xvirt.operator.runtime.transport import AiohttpTransport

LOST = 17
WRITERS = 4
OPTIONS = {"duration_s": 3, "renew_deadline_s": 2.0, "retry_s": 0.4, "call_timeout_s": 1.0, "watchdog_interval_s": 0.05}
LEASE = "writers"
TARGET = "written"


async def _write(client: ApiClient, lease: Lease, namespace: str) -> None:
    """Patch until cancelled. What the API server refuses is tried again; a guard that refuses is tried again, too: it must hold."""
    count = 0
    while True:
        count += 1
        try:
            data = {"writer": lease.holder, "epoch": str(lease.epoch), "count": str(count)}
            await client.merge_patch(CONFIG_MAPS, Key(namespace, TARGET), {"data": data})
        except LeaseLost:
            await asyncio.sleep(0)
        except ApiError:
            await asyncio.sleep(0.01)


async def main(kubeconfig: str, namespace: str, identity: str) -> None:
    client = ApiClient(AiohttpTransport(from_kubeconfig(Path(kubeconfig))), manager=identity)
    lease = Lease(client, LeaseOptions(namespace, LEASE, identity, **OPTIONS), lambda _: os._exit(LOST))  # type: ignore[arg-type]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    renewing = asyncio.create_task(lease.run())
    await lease.acquired()
    writers = [asyncio.create_task(_write(client.guarded(lease.guard), lease, namespace)) for _ in range(WRITERS)]
    await stop.wait()
    for writer in writers:
        writer.cancel()
    await asyncio.gather(*writers, return_exceptions=True)
    await lease.release()
    await renewing
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
