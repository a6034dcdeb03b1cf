"""Objects and events of a cluster, and what changes of them: one list, then a watch that goes on over the server's own time-outs."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any

from xvirt.cli.cluster.views import Object, read_event, read_view
from xvirt.model.errors import Unavailable
from xvirt.model.exchange import WatchEvent, WatchType
from xvirt.operator.refusals import translate
from xvirt.operator.runtime.api import ApiClient, Selection, WatchCall
from xvirt.operator.runtime.errors import ApiError, Gone, RetryLater
from xvirt.operator.runtime.resources import Resource, version_of

QUEUE_MAX = 1000
"""Messages that a slow reader holds back; then the watches wait for it."""

Queue = asyncio.Queue[WatchEvent | Exception]


@dataclasses.dataclass(frozen=True)
class Followed:
    """What is followed: kinds in a namespace (empty: in all)."""

    resources: Sequence[Resource]
    namespace: str = ""


async def follow_objects(client: ApiClient, followed: Followed) -> AsyncGenerator[WatchEvent, None]:
    """Objects as they are, SYNCED, then changes. Raises Unavailable where a watch breaks: begin anew and compare."""
    queue: Queue = asyncio.Queue(QUEUE_MAX)
    versions = []
    for resource in followed.resources:
        listing = await client.list_objects(resource, Selection(namespace=followed.namespace))
        versions.append(listing.resource_version)
        for item in listing.items:
            yield _message(WatchType.OBJECT, item)
    yield WatchEvent(type=WatchType.SYNCED, boot_id="", sequence=0)
    watches = [
        _watch(client, resource, WatchCall(version), followed.namespace, queue, _object_message)
        for resource, version in zip(followed.resources, versions, strict=True)
    ]
    async for message in _merge(watches, queue):
        yield message


async def follow_events(client: ApiClient, followed: Followed) -> AsyncGenerator[WatchEvent, None]:
    """What happens from now on. Raises Unavailable where the watch breaks."""
    (resource,) = followed.resources
    listing = await client.list_objects(resource, Selection(namespace=followed.namespace))
    queue: Queue = asyncio.Queue(QUEUE_MAX)
    watch = _watch(client, resource, WatchCall(listing.resource_version), followed.namespace, queue, _event_message)
    async for message in _merge([watch], queue):
        yield message


async def _merge(watches: Sequence[Coroutine[Any, Any, None]], queue: Queue) -> AsyncGenerator[WatchEvent, None]:
    tasks = [asyncio.ensure_future(watch) for watch in watches]
    try:
        while True:
            message = await queue.get()
            if isinstance(message, Exception):
                raise message
            yield message
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(
    client: ApiClient,
    resource: Resource,
    call: WatchCall,
    namespace: str,
    queue: Queue,
    read: Callable[[str, Object], WatchEvent | None],
) -> None:
    """Put messages into the queue until it breaks; the last one is why. The server ends each stream after some minutes: go on after it."""
    try:
        while True:
            async with contextlib.aclosing(client.watch(resource, call, Selection(namespace=namespace))) as events:
                async for event in events:
                    call = dataclasses.replace(call, resource_version=version_of(event.object))
                    message = read(event.type, event.object)
                    if message is not None:
                        await queue.put(message)
    except (RetryLater, Gone) as error:
        await queue.put(Unavailable(error.message, reason=error.reason))
    except ApiError as error:
        await queue.put(translate(error))


def _object_message(kind: str, item: Object) -> WatchEvent | None:
    if kind == "BOOKMARK":
        return None
    return _message(WatchType.DELETED if kind == "DELETED" else WatchType.OBJECT, item)


def _event_message(kind: str, item: Object) -> WatchEvent | None:
    event = read_event(item) if kind in ("ADDED", "MODIFIED") else None
    return None if event is None else WatchEvent(type=WatchType.EVENT, boot_id="", sequence=0, event=event)


def _message(kind: WatchType, item: Object) -> WatchEvent:
    return WatchEvent(type=kind, boot_id="", sequence=0, object=read_view(item))
