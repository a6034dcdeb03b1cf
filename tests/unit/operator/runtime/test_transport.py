"""HTTP as it really is: large answers, broken connections, and the guard at the last moment."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from tests.fakes.apihttp import serve
from tests.fakes.apiserver import FakeApiServer
from tests.unit.operator.runtime.api_cases import THINGS, config, thing
from xvirt.operator.runtime import transport as transport_module
from xvirt.operator.runtime.access import Access
from xvirt.operator.runtime.api import ApiClient, WatchCall
from xvirt.operator.runtime.clock import SystemClock
from xvirt.operator.runtime.errors import ApiError, LeaseLost, OutcomeUnknown, Unreachable
from xvirt.operator.runtime.resources import CONFIG_MAPS, Key
from xvirt.operator.runtime.transport import AiohttpTransport, Request

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def _served(handler: Handler) -> AsyncIterator[AiohttpTransport]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    transport = AiohttpTransport(Access(f"http://{host}:{port}"))
    try:
        yield transport
    finally:
        await transport.close()
        await runner.cleanup()


def test_objects_of_the_largest_size_come_through_lists_and_watches() -> None:
    async def main() -> None:
        server = FakeApiServer(SystemClock())
        large = "x" * 1_400_000
        for name in ("one", "two", "three"):
            server.write(CONFIG_MAPS, config("ns", name, text=large))
        async with serve(server) as address:
            client = ApiClient(AiohttpTransport(Access(address)), manager="test")
            assert [len(item["data"]["text"]) for item in (await client.list_objects(CONFIG_MAPS)).items] == [
                1_400_000
            ] * 3
            seen = 0
            async with contextlib.aclosing(client.watch(CONFIG_MAPS, WatchCall(has_initial_events=True))) as events:
                async for event in events:
                    if event.type == "BOOKMARK":
                        break
                    assert len(event.object["data"]["text"]) == 1_400_000
                    seen += 1
            assert seen == 3
            await client.close()

    asyncio.run(main())


def test_an_answer_beyond_the_limit_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "ANSWER_BYTES_MAX", 1000)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1001)

    async def main() -> None:
        async with _served(answer) as transport:
            with pytest.raises(OutcomeUnknown, match="an answer of more than 1000 bytes"):
                await transport.send(Request("GET", "/"))

    asyncio.run(main())


def test_nobody_at_the_address_means_that_nothing_was_sent() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as held:
            port = held.getsockname()[1]
        transport = AiohttpTransport(Access(f"http://127.0.0.1:{port}"))
        with pytest.raises(Unreachable, match="GET /version: the API server cannot be reached"):
            await transport.send(Request("GET", "/version"))
        await transport.close()

    asyncio.run(main())


@pytest.mark.parametrize("is_begun", [False, True], ids=["before the answer", "within the answer"])
def test_a_connection_that_breaks_leaves_the_outcome_unknown(is_begun: bool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        assert request.transport is not None
        if is_begun:
            response.content_length = 100
            await response.prepare(request)
            await response.write(b"half")
        request.transport.abort()
        return response

    async def main() -> None:
        async with _served(answer) as transport:
            with pytest.raises(OutcomeUnknown, match="POST /x: the connection broke"):
                await transport.send(Request("POST", "/x", body=b"{}"))

    asyncio.run(main())


def test_fault_13_the_guard_is_asked_when_the_connection_is_there_and_stops_the_first_byte() -> None:
    came: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        came.append(request.path)
        return web.json_response({})

    async def main() -> None:
        asked: list[str] = []

        def guard() -> None:
            asked.append("asked")
            if len(asked) % 2 == 0:
                raise LeaseLost("too late")

        async with _served(answer) as transport:
            # Twice each: a new connection, then one that is used again.
            for number in range(4):
                request = Request("POST", f"/{number}", body=b"{}", before_send=guard)
                with contextlib.suppress(LeaseLost):
                    await transport.send(request)
            await transport.send(Request("GET", "/read"))
        assert len(asked) == 4
        assert came == ["/0", "/2", "/read"]

    asyncio.run(main())


def test_fault_13_the_guard_is_asked_again_where_a_broken_connection_is_replaced() -> None:
    """aiohttp repeats a PUT by itself when an idle connection turns out to be closed."""
    came: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        came.append(request.path)
        if request.path == "/first":
            return web.json_response({})
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def main() -> None:
        asked: list[str] = []

        def guard() -> None:
            asked.append("asked")
            if len(asked) > 1:
                raise LeaseLost("too late")

        async with _served(answer) as transport:
            await transport.send(Request("GET", "/first"))
            with pytest.raises((LeaseLost, OutcomeUnknown)):
                await transport.send(Request("PUT", "/again", body=b"{}", before_send=guard))
        assert len(came) == 1 + min(len(asked), 1)

    asyncio.run(main())


def test_a_redirection_is_not_followed() -> None:
    came: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        came.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async def main() -> None:
        async with _served(answer) as transport:
            client = ApiClient(transport, manager="test")
            with pytest.raises(ApiError, match="302"):
                await client.get(THINGS, Key("ns", "one"))
        assert came == ["/apis/example.xvirt.io/v1/namespaces/ns/things/one"]

    asyncio.run(main())


def test_selectors_and_names_arrive_as_they_were_meant() -> None:
    came: list[tuple[str, dict[str, str]]] = []

    async def answer(request: web.Request) -> web.Response:
        came.append((request.raw_path.partition("?")[0], dict(request.query)))
        return web.json_response({"metadata": {}})

    async def main() -> None:
        async with _served(answer) as transport:
            client = ApiClient(transport, manager="me & you")
            await client.create(THINGS, thing("ns"))
            await client.get(THINGS, Key("ns", "a+b c&d"))
            query = {"labelSelector": "a in (b,c),d!=e", "x": "+ &=/"}
            await transport.send(Request("GET", "/raw", query))
        assert came[0][1]["fieldManager"] == "me & you"
        assert came[1][0] == "/apis/example.xvirt.io/v1/namespaces/ns/things/a%2Bb%20c%26d"
        assert came[2][1] == query

    asyncio.run(main())


def test_sockets_find_out_by_themselves_that_the_other_end_is_gone() -> None:
    address = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))
    with transport_module._open_socket(address) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle_s = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        interval_s = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
        probes = made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
        assert idle_s + interval_s * probes <= 90
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
