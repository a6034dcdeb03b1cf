"""Events for people: aggregated, bounded, and never in a reconcile's way."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.clock import format_micro_time
from xvirt.operator.runtime.errors import ApiError
from xvirt.operator.runtime.resources import EVENTS, Key, Object, key_of, uid_of, version_of

log = logging.getLogger(__name__)

QUEUE_MAX = 1000
"""Events that wait to be sent; more are dropped and counted."""
PASSING_MAX = 500
"""Of those, passing news and counts: warnings and what happened for good find room whatever else happens."""
KNOWN_MAX = 4000
"""(object, reason, message) that are remembered, to count what is said again."""
SAME_WITHIN_S = 600.0
"""Said again within this time, an event is counted instead of made anew."""
COUNT_INTERVAL_S = 60.0
"""How often a growing count is written."""
OBJECT_BURST_MAX = 10
OBJECT_REFILL_S = 60.0
"""Different events of one object: a burst, then one in this time; passing news count apart from all others."""
SENDERS = 4
SEND_INTERVAL_S = 0.1
"""Of one sender, after each event: 40 a second at most, and no fewer than a slow API server lets through."""
NOTE_BYTES_MAX = 1024


@dataclasses.dataclass
class _Series:
    """One (object, type, reason, message): what was stored of it, and how often it was said."""

    document: Object
    first_s: float
    count: int = 1
    written: int = 0
    written_s: float = 0.0
    last: str = ""


class Recorder:
    """Makes events.k8s.io/v1 Events. `record` only notes; `run` sends until cancelled.

    Two queues: passing news and counts are sent when nothing else waits.
    """

    def __init__(self, client: ApiClient, controller: str, instance: str) -> None:
        """`controller` is a name like `xvirt.io/operator`, `instance` the process."""
        self._client = client
        self._controller = controller
        self._instance = instance[:128]
        self._series: collections.OrderedDict[tuple[str, ...], _Series] = collections.OrderedDict()
        self._tokens: collections.OrderedDict[tuple[str, bool], tuple[float, float]] = collections.OrderedDict()
        self._due: collections.OrderedDict[tuple[str, ...], None] = collections.OrderedDict()
        self._due_later: collections.OrderedDict[tuple[str, ...], None] = collections.OrderedDict()
        self._wake = asyncio.Event()
        self._number = 0

    def record(
        self,
        about: Mapping[str, Any],
        kind: str,
        reason: str,
        message: str,
        action: str = "Reconcile",
        *,
        regarding: Mapping[str, Any] | None = None,
        is_passing: bool = False,
    ) -> None:
        """Tell of an object. `kind` is Normal or Warning, `reason` and `action` CamelCase, stable, for machines. `regarding`: what the
        Event stands with instead, where the object's own namespace takes none. `is_passing`: it may be lost where much happens at once."""
        now_s = self._client.clock.monotonic_s()
        name = (uid_of(about), kind, reason, message)
        series = self._series.get(name)
        if series is not None and now_s - series.first_s < SAME_WITHIN_S:
            series.count += 1
            series.last = format_micro_time(self._client.clock.wall())
            self._client.metrics.events.labels("counted").inc()
            return
        who = uid_of(about) or str(key_of(about))
        if not self._has_room(is_passing=is_passing) or not self._take_token((who, is_passing), now_s):
            self._client.metrics.events.labels("dropped").inc()
            return
        document = self._document(regarding or about, kind, reason, message, action)
        if regarding is not None:
            document["related"] = _reference(about)
        self._series[name] = _Series(document, now_s)
        self._series.move_to_end(name)
        while len(self._series) > KNOWN_MAX:
            self._series.popitem(last=False)
        (self._due_later if is_passing else self._due)[name] = None
        self._wake.set()

    def _has_room(self, *, is_passing: bool) -> bool:
        has_any = len(self._due) + len(self._due_later) < QUEUE_MAX
        return has_any and not (is_passing and len(self._due_later) >= PASSING_MAX)

    def _take_token(self, whose: tuple[str, bool], now_s: float) -> bool:
        tokens, since_s = self._tokens.pop(whose, (float(OBJECT_BURST_MAX), now_s))
        tokens = min(OBJECT_BURST_MAX, tokens + (now_s - since_s) / OBJECT_REFILL_S)
        is_free = tokens >= 1
        self._tokens[whose] = (tokens - 1 if is_free else tokens, now_s)
        while len(self._tokens) > KNOWN_MAX:
            self._tokens.popitem(last=False)
        return is_free

    def _document(self, about: Mapping[str, Any], kind: str, reason: str, message: str, action: str) -> Object:
        key = key_of(about)
        self._number += 1
        wall = self._client.clock.wall()
        stem = key.name[:200].rstrip(".-")
        made = EVENTS.object(
            Key(key.namespace or "default", f"{stem}.{int(wall.timestamp() * 1e6):x}{self._number % 4096:03x}")
        )
        return made | {
            "eventTime": format_micro_time(wall),
            "type": kind,
            "reason": reason[:128],
            "action": action[:128],
            "note": message.encode()[:NOTE_BYTES_MAX].decode(errors="ignore"),
            "regarding": _reference(about),
            "reportingController": self._controller,
            "reportingInstance": self._instance,
        }

    async def run(self) -> None:
        """Send what was noted until cancelled; what cannot be sent is dropped and counted."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._count_for_ever())
            for _ in range(SENDERS):
                tasks.create_task(self._send_for_ever())

    async def _send_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            while due := self._due or self._due_later:
                name, _ = due.popitem(last=False)
                series = self._series.get(name)
                if series is not None:
                    await self._send(series)
                    await asyncio.sleep(SEND_INTERVAL_S)
            self._wake.clear()

    async def _count_for_ever(self) -> None:
        while True:
            await asyncio.sleep(COUNT_INTERVAL_S)
            now_s = self._client.clock.monotonic_s()
            for name, series in self._series.items():
                if not self._has_room(is_passing=True):
                    break
                if series.count > series.written > 0 and now_s - series.written_s >= COUNT_INTERVAL_S:
                    self._due_later[name] = None
                    self._wake.set()

    async def _send(self, series: _Series) -> None:
        count = series.count
        told = {"series": {"count": count, "lastObservedTime": series.last}} if count > 1 else {}
        try:
            if series.written == 0:
                await self._client.create(EVENTS, series.document | told)
            else:
                await self._client.merge_patch(EVENTS, key_of(series.document), told)
        except ApiError as error:
            self._client.metrics.events.labels("failed").inc()
            log.info("event not sent: %s", error)
            return
        series.written = count
        series.document = {"metadata": series.document["metadata"]}  # its counts are written by name
        series.written_s = self._client.clock.monotonic_s()
        self._client.metrics.events.labels("sent").inc()


def _reference(about: Mapping[str, Any]) -> Object:
    key = key_of(about)
    found = {
        "apiVersion": about.get("apiVersion"),
        "kind": about.get("kind"),
        "name": key.name,
        "namespace": key.namespace,
        "uid": uid_of(about),
        "resourceVersion": version_of(about),
    }
    return {name: value for name, value in found.items() if value}
