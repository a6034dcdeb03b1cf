"""Keeps a cache true to the API server: one snapshot, then a watch from there, and everything that goes wrong with the two.

    snapshot --ok--> watch --the server ends it--> watch again from the last version
       ^              |--410----------------------> snapshot
       |              |--ERROR, EOF at once, silence, a broken connection--> pause, then watch again
       `--- pause <---'   a snapshot that fails: pause, then snapshot again

Pauses grow from 0.8 s to 30 s with jitter, and start over once a watch has lived for a minute. However it fails, requests stay below one per
second. A snapshot comes by WatchList (`sendInitialEvents`) where the server has it, else in pages. Nothing is deleted from the cache but by a
DELETED event or by a whole snapshot that lacks it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import math
import random
from collections.abc import AsyncIterator

from xvirt.operator.runtime.api import EVERYTHING, ApiClient, Selection, WatchCall
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.errors import (
    ApiError,
    Forbidden,
    Gone,
    NotFound,
    OutcomeUnknown,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from xvirt.operator.runtime.resources import Object, version_of

log = logging.getLogger(__name__)

_NEVER_WHOLE = "NeverWhole"
_INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclasses.dataclass(frozen=True)
class ReflectorOptions:
    """How patient a reflector is. Seconds; pairs are the ends of a random choice."""

    watch_s: tuple[float, float] = (240.0, 300.0)
    silence_s: tuple[float, float] = (90.0, 150.0)
    pause_first_s: float = 0.8
    pause_max_s: float = 30.0
    pause_min_s: float = 1.0
    """Between two openings of a watch, whatever the reason."""
    healthy_after_s: float = 60.0
    snapshot_timeout_s: float = 120.0
    snapshot_every_s: tuple[float, float] = (2700.0, 3600.0)
    """Though nothing went wrong, in case an event was lost on its way. What has not changed costs no memory."""


REFLECTOR_OPTIONS = ReflectorOptions()


class Reflector:
    """Follows one selection of one kind into a cache. `run` never returns; cancel it."""

    def __init__(
        self,
        client: ApiClient,
        cache: Cache,
        selection: Selection = EVERYTHING,
        *,
        options: ReflectorOptions = REFLECTOR_OPTIONS,
        chance: random.Random | None = None,
    ) -> None:
        self._client = client
        self._cache = cache
        self._selection = selection
        self._options = options
        self._chance = chance or random.Random()
        self._version = ""
        self._failures = 0
        self._snapshot_at_s = -math.inf
        self._snapshot_due_s = math.inf
        self._has_watch_list = True
        self._synced = asyncio.Event()
        self._heard_at_s = client.clock.monotonic_s()

    @property
    def name(self) -> str:
        return self._cache.resource.plural

    @property
    def has_synced(self) -> bool:
        """Whether the cache has held a whole snapshot once."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Wait for the first whole snapshot."""
        await self._synced.wait()

    def silent_for_s(self) -> float:
        """Seconds since the server last said anything about this selection: above 150 the cache may be old."""
        return self._client.clock.monotonic_s() - self._heard_at_s

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            opened_s = self._client.clock.monotonic_s()
            cause = "ended"
            try:
                if self._version:
                    await self._follow()
                else:
                    await self._start()
            except Gone:
                self._version, cause = "", "gone"
                # The server answers, and a snapshot was not tried for long: it is worth a try soon.
                if opened_s - self._snapshot_at_s >= self._options.healthy_after_s:
                    self._failures = 0
            except ApiError as error:
                cause = error.reason
                log.warning("watch of %s: %s", self.name, error)
            now_s = self._client.clock.monotonic_s()
            lived_s = now_s - opened_s
            if now_s >= self._snapshot_due_s:
                self._version = ""
            self._client.metrics.watch_restarts.labels(self.name, cause).inc()
            await asyncio.sleep(self._pause_s(lived_s, is_clean=cause == "ended"))

    def _pause_s(self, lived_s: float, *, is_clean: bool) -> float:
        options = self._options
        if lived_s >= options.healthy_after_s:
            self._failures = 0
            if is_clean:
                return 0.0
        first_s = min(options.pause_first_s * 2.0 ** min(self._failures, 16), options.pause_max_s / 2)
        self._failures += 1
        return max(first_s * self._chance.uniform(1.0, 2.0), options.pause_min_s - lived_s)

    async def _start(self) -> None:
        """Snapshot and watch in one stream where the server can, else one after the other."""
        self._snapshot_at_s = self._client.clock.monotonic_s()
        self._cache.expect_snapshot()
        if self._has_watch_list:
            try:
                await self._follow(has_initial_events=True)
            except (Gone, Unreachable, TooManyRequests, Unauthorized, Forbidden, NotFound):
                raise
            except ApiError as error:
                if self._version:
                    raise
                log.info("%s: no list by watch, taking pages: %s", self.name, error)
                # A connection that broke says nothing about what the server can do.
                self._has_watch_list = isinstance(error, OutcomeUnknown) and error.reason != _NEVER_WHOLE
            else:
                return
        listing = await self._client.list_objects(self._cache.resource, self._selection, shape=self._cache.shape)
        self._take(listing.items, listing.resource_version, "pages")
        await self._follow()

    def _take(self, items: list[Object], version: str, how: str) -> None:
        self._cache.replace(items, version)
        self._version = version
        self._snapshot_due_s = self._snapshot_at_s + self._chance.uniform(*self._options.snapshot_every_s)
        self._hear()
        self._client.metrics.lists.labels(self.name, how).inc()
        self._synced.set()

    def _hear(self) -> None:
        self._heard_at_s = self._client.clock.monotonic_s()
        self._client.metrics.last_event.labels(self.name).set(self._client.clock.wall().timestamp())
        self._client.metrics.cached.labels(self.name).set(len(self._cache))

    async def _follow(self, *, has_initial_events: bool = False) -> None:
        """One watch until its end. With initial events, they are the snapshot that the cache is replaced by."""
        options = self._options
        call = WatchCall(
            resource_version="" if has_initial_events else self._version,
            timeout_s=self._chance.uniform(*options.watch_s),
            silence_s=self._chance.uniform(*options.silence_s),
            has_initial_events=has_initial_events,
            on_open=self._hear,
        )
        first: dict[str, Object] | None = {} if has_initial_events else None
        async with contextlib.AsyncExitStack() as stack:
            limit = await stack.enter_async_context(_limit(options.snapshot_timeout_s if has_initial_events else None))
            events = self._client.watch(self._cache.resource, call, self._selection)
            await stack.enter_async_context(contextlib.aclosing(events))
            async for event in events:
                if first is not None:
                    first = self._collect(first, event.type, event.object)
                    if first is None:
                        limit.reschedule(None)
                    continue
                self._apply(event.type, event.object)
        if first is not None:
            raise OutcomeUnknown(f"{self.name}: the stream ended within its initial events")

    def _collect(self, first: dict[str, Object], kind: str, item: Object) -> dict[str, Object] | None:
        """One of the initial events; None when they are whole and taken."""
        if kind != "BOOKMARK":
            if kind == "DELETED":
                first.pop(item["metadata"]["uid"], None)
            else:
                first[item["metadata"]["uid"]] = self._cache.shape(item)
            return first
        if (item["metadata"].get("annotations") or {}).get(_INITIAL_EVENTS_END) != "true":
            return first
        self._take(list(first.values()), version_of(item), "stream")
        return None

    def _apply(self, kind: str, item: Object) -> None:
        self._version = version_of(item)
        if kind == "DELETED":
            self._cache.delete(item)
        elif kind != "BOOKMARK":
            self._cache.put(self._cache.shape(item))
        self._hear()


@contextlib.asynccontextmanager
async def _limit(timeout_s: float | None) -> AsyncIterator[asyncio.Timeout]:
    try:
        async with asyncio.timeout(timeout_s) as limit:
            yield limit
    except TimeoutError as error:
        raise OutcomeUnknown(f"no whole snapshot within {timeout_s:g} s", reason=_NEVER_WHOLE) from error
