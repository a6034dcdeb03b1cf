"""Versions of the Secrets that machines refer to, without a right to list or watch Secrets: each is read by its name, and again now and then.

Content is never kept here. What is not there yet is looked for more often; all looks together are bounded.
"""

from __future__ import annotations

import asyncio
import collections
import logging
from collections.abc import Callable, Iterable

from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.errors import ApiError, NotFound
from xvirt.operator.runtime.resources import SECRETS, Key, version_of

log = logging.getLogger(__name__)

LOOK_INTERVAL_S = 60.0
MISSING_INTERVAL_S = 5.0
LOOKS_PER_SECOND_MAX = 20
MISSING = ""
"""Version of a Secret that is not there."""


class SecretVersions:
    """Versions by key. `on_change` is told of each that changed; `is_wanted` says whether anybody still refers to one."""

    def __init__(self, client: ApiClient, on_change: Callable[[Key], None], is_wanted: Callable[[Key], bool]) -> None:
        self._client = client
        self._on_change = on_change
        self._is_wanted = is_wanted
        self._versions: dict[Key, str] = {}
        self._due: collections.OrderedDict[Key, float] = collections.OrderedDict()

    def get(self, key: Key) -> str:
        """The version seen last; MISSING where there was none, or nobody has looked."""
        return self._versions.get(key, MISSING)

    async def know(self, keys: Iterable[Key]) -> None:
        """Look at those that nobody has looked at yet. Raises ApiError."""
        for key in keys:
            if key not in self._versions:
                await self._look(key)

    async def run(self) -> None:
        """Look again at each in its time, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            for key in self._pick():
                try:
                    await self._look(key)
                except ApiError as error:
                    log.warning("secret %s: %s", key, error)
                    self._plan(key, LOOK_INTERVAL_S)

    def _pick(self) -> list[Key]:
        now_s = self._client.clock.monotonic_s()
        due = [key for key, at_s in self._due.items() if at_s <= now_s]
        for key in due:
            if not self._is_wanted(key):
                del self._due[key]
                self._versions.pop(key, None)
        return [key for key in due if key in self._due][:LOOKS_PER_SECOND_MAX]

    async def _look(self, key: Key) -> None:
        try:
            version = version_of(await self._client.get(SECRETS, key))
        except NotFound:
            version = MISSING
        known = self._versions.get(key)
        self._versions[key] = version
        self._plan(key, MISSING_INTERVAL_S if version == MISSING else LOOK_INTERVAL_S)
        if known is not None and known != version:
            self._on_change(key)

    def _plan(self, key: Key, after_s: float) -> None:
        self._due.pop(key, None)
        self._due[key] = self._client.clock.monotonic_s() + after_s
