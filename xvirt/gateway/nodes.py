"""Clients of the nodes: one for each host and address, kept while it is used, the longest unused given up first."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable

from xvirt.client.asynchronous import AsyncNodeClient
from xvirt.client.schedule import Patience
from xvirt.client.target import Target
from xvirt.model.errors import DeadlineExceeded, Forbidden, InternalError, Unavailable
from xvirt.wire.certificates import TlsFiles
from xvirt.wire.status import UNREACHABLE

CLIENTS_MAX = 256
"""Hosts with a connection that nobody uses at the moment."""
PATIENCE = Patience(call_s=10.0, repeat_within_s=2.0)
"""Below the API server's minute, and what somebody at a terminal waits."""
HOST_UNREACHABLE = "HostUnreachable"
HOST_SILENT = "HostSilent"

Opener = Callable[[str, str], AsyncNodeClient]
"""Host and address (`host:port`) to a client."""


@dataclasses.dataclass
class _Entry:
    client: AsyncNodeClient
    users: int = 0


class NodeClients:
    """Made and used in one event loop."""

    def __init__(self, opener: Opener, idle_max: int = CLIENTS_MAX) -> None:
        self._opener = opener
        self._idle_max = idle_max
        self._entries: dict[tuple[str, str], _Entry] = {}

    @contextlib.asynccontextmanager
    async def borrow(self, host: str, address: str) -> AsyncIterator[AsyncNodeClient]:
        """The client of a host. What the node raises is told as the host's: Unavailable with reason HostUnreachable where it cannot be
        reached, DeadlineExceeded where it says nothing, InternalError where it refuses the gateway itself."""
        key = (host, address)
        entry = self._entries.pop(key, None) or _Entry(self._opener(host, address))
        self._entries[key] = entry  # the youngest stands last
        entry.users += 1
        try:
            yield entry.client
        except Unavailable as error:
            if error.reason == UNREACHABLE:
                remedy = (
                    f"the machine may run on undisturbed; look at the host, and at `kubectl get virtualhost {host}`"
                )
                raise Unavailable(
                    f"host {host} cannot be reached; {remedy} ({error.message})", reason=HOST_UNREACHABLE
                ) from error
            raise Unavailable(f"host {host}: {error.message}", reason=error.reason) from error
        except DeadlineExceeded as error:
            remedy = "whether it was done is not known; repeating it under the same operationId is safe"
            raise DeadlineExceeded(f"host {host} has not answered in time; {remedy}", reason=HOST_SILENT) from error
        except Forbidden as error:
            raise InternalError(f"host {host} refuses the gateway: {error.message}", reason="GatewayRefused") from error
        finally:
            entry.users -= 1
            await self._give_up_idle()

    async def _give_up_idle(self) -> None:
        idle = [key for key, entry in self._entries.items() if not entry.users]
        for key in idle[: max(0, len(idle) - self._idle_max)]:
            await self._entries.pop(key).client.close()

    async def close(self) -> None:
        """Close every connection; calls that run end with Unavailable."""
        entries, self._entries = list(self._entries.values()), {}
        await asyncio.gather(*(entry.client.close() for entry in entries))


def tls_opener(files: TlsFiles) -> Opener:
    """Clients over mutual TLS; the host's name must stand in its certificate. The opener raises InvalidSpec for files of no use."""
    return lambda host, address: AsyncNodeClient(Target(f"tcp://{address}", host, files), PATIENCE)
