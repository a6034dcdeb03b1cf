"""How the API server is known, kept true: it publishes it in a ConfigMap, which is read again each minute."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from xvirt.gateway.authentication import CONFIG_MAP, FrontProxy, read_front_proxy
from xvirt.gateway.cluster import ask
from xvirt.model.errors import XvirtError
from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.resources import CONFIG_MAPS, Key

log = logging.getLogger(__name__)

REREAD_S = 60.0
RETRY_S = 2.0
STALE_AFTER_S = 600.0
"""Not read for so long, this replica says that it is not ready: it could not ask who may, either."""


class Trust:
    """The newest front proxy that was read. `changed` is called with each one that differs."""

    def __init__(self, client: ApiClient, front_proxy: FrontProxy, changed: Callable[[FrontProxy], None]) -> None:
        self.front_proxy = front_proxy
        self._client = client
        self._changed = changed
        self._read_at_s = time.monotonic()

    @property
    def age_s(self) -> float:
        """Seconds since it was read."""
        return time.monotonic() - self._read_at_s

    async def run(self) -> None:
        """Read it again and again; what cannot be read leaves the last one in force."""
        pause_s = REREAD_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = REREAD_S if await self.reread() else RETRY_S

    async def reread(self) -> bool:
        """Read it now; False where that failed."""
        try:
            found = await fetch_front_proxy(self._client)
        except XvirtError as error:
            log.warning("%s; going on with what was read %.0f s ago", error.message, self.age_s)
            return False
        self._read_at_s = time.monotonic()
        if found != self.front_proxy:
            self.front_proxy = found
            self._changed(found)
        return True


async def fetch_front_proxy(client: ApiClient) -> FrontProxy:
    """Read it once. Raises XvirtError."""
    return read_front_proxy(
        await ask(client.get(CONFIG_MAPS, Key(*CONFIG_MAP)), "the API server's own names cannot be read")
    )


async def wait_for_front_proxy(client: ApiClient) -> FrontProxy:
    """Read it as soon as the API server answers."""
    while True:
        try:
            return await fetch_front_proxy(client)
        except XvirtError as error:
            log.warning("%s; trying again", error.message)
            await asyncio.sleep(RETRY_S)
