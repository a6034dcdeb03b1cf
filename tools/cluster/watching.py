"""List and watch on aiohttp, as much of it as the fake kubelet needs."""

from __future__ import annotations

import asyncio
import json
import urllib.parse
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

Json = dict[str, Any]
_LIST_LIMIT = "500"
_WATCH_S = 240
_RELIST_PAUSE_S = 0.3
_READ_BUFFER_BYTES = 4 << 20
_CALL_TIMEOUT_S = 30.0


class AsyncApi:
    """Calls of one identity, on one event loop."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Json:
        """One request. Raises aiohttp.ClientError, also for answers of 400 and above; TimeoutError."""
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type} if data is not None else {}
        timeout = aiohttp.ClientTimeout(total=_CALL_TIMEOUT_S)
        async with self._session.request(method, path, data=data, headers=headers, timeout=timeout) as answer:
            answer.raise_for_status()
            parsed: Json = await answer.json()
            return parsed

    async def follow(self, path: str, **selectors: str) -> AsyncIterator[tuple[str, Json]]:
        """(ADDED, MODIFIED or DELETED, object) for ever, and (SYNCED, {}) when all that is there was told: at the beginning, and after any
        trouble, when what went meanwhile is told as DELETED."""
        known: dict[str, Json] = {}
        while True:
            try:
                items, version = await self._list(path, selectors)
                there = {item["metadata"]["uid"]: item for item in items}
                for uid in known.keys() - there.keys():
                    yield "DELETED", known[uid]
                known = there
                for item in items:
                    yield "ADDED", item
                yield "SYNCED", {}
                async for word, item in self._watch(path, selectors, version):
                    if word == "DELETED":
                        known.pop(item["metadata"]["uid"], None)
                    else:
                        known[item["metadata"]["uid"]] = item
                    yield word, item
            except (aiohttp.ClientError, TimeoutError, ValueError, OSError):
                await asyncio.sleep(_RELIST_PAUSE_S)

    async def _list(self, path: str, selectors: dict[str, str]) -> tuple[list[Json], str]:
        items: list[Json] = []
        more: dict[str, str] = {}
        while True:
            page = await self.call("GET", f"{path}?{_query(selectors, limit=_LIST_LIMIT, **more)}")
            items += page["items"]
            token = page["metadata"].get("continue", "")
            if not token:
                return items, page["metadata"]["resourceVersion"]
            more = {"continue": token}

    async def _watch(self, path: str, selectors: dict[str, str], version: str) -> AsyncIterator[tuple[str, Json]]:
        """Ends where the server ends it, which it does after `_WATCH_S`."""
        query = _query(selectors, watch="1", resourceVersion=version, timeoutSeconds=str(_WATCH_S))
        timeout = aiohttp.ClientTimeout(total=None, sock_read=_WATCH_S + 30)
        async with self._session.get(f"{path}?{query}", timeout=timeout, read_bufsize=_READ_BUFFER_BYTES) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise ValueError(event["object"].get("message", ""))
                yield event["type"], event["object"]


def _query(selectors: dict[str, str], **more: str) -> str:
    return urllib.parse.urlencode({**selectors, **more})
