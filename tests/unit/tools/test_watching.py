"""The list and watch of tools: what went while no watch was open is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from tools.cluster.watching import AsyncApi


def _item(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": "1"}}


class _Collection:
    """Answers lists with `items`, and watches with one event each, after which they end."""

    def __init__(self, *steps: tuple[list[str], tuple[str, str]]) -> None:
        self._steps = iter(steps)
        self._event = ("", "")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            names, self._event = next(self._steps)
            return web.json_response({"items": [_item(name) for name in names], "metadata": {"resourceVersion": "1"}})
        word, name = self._event
        line = json.dumps({"type": word, "object": _item(name)})
        return web.Response(text=f"{line}\n")


async def _follow(collection: _Collection) -> AsyncIterator[tuple[str, str]]:
    app = web.Application()
    app.router.add_get("/things", collection.answer)
    async with TestServer(app) as server, aiohttp.ClientSession(server.make_url("/")) as session:
        async for word, item in AsyncApi(session).follow("/things"):
            yield word, item.get("metadata", {}).get("name", "")


def test_what_went_while_no_watch_was_open_is_told_when_one_is_again() -> None:
    async def main() -> None:
        seen = []
        collection = _Collection(
            (["one", "two"], ("ADDED", "three")),
            (["two", "four"], ("DELETED", "two")),
            (["four"], ("MODIFIED", "four")),
        )
        async for event in _follow(collection):
            seen.append(event)
            if event == ("MODIFIED", "four"):
                break
        assert seen[:4] == [("ADDED", "one"), ("ADDED", "two"), ("SYNCED", ""), ("ADDED", "three")]
        assert sorted(seen[4:6]) == [("DELETED", "one"), ("DELETED", "three")]
        assert seen[6:] == [
            ("ADDED", "two"),
            ("ADDED", "four"),
            ("SYNCED", ""),
            ("DELETED", "two"),
            ("ADDED", "four"),
            ("SYNCED", ""),
            ("MODIFIED", "four"),
        ]

    asyncio.run(asyncio.wait_for(main(), 20.0))
