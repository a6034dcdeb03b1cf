"""Bytes over HTTP. The only module that knows aiohttp; tests put a scripted server in its place."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import Any, Protocol

import aiohttp
from yarl import URL

from xvirt.operator.runtime.access import Access
from xvirt.operator.runtime.errors import OutcomeUnknown, Unreachable

CONNECT_TIMEOUT_S = 5.0
IDLE_CONNECTION_S = 60.0
"""Below the API server's 90 s, so that it is not the server that closes a connection while a write is on its way."""
CONNECTIONS_MAX = 256
READ_BUFFER_BYTES = 1 << 20
ANSWER_BYTES_MAX = 64 << 20
"""A page of 500 objects of the largest size that etcd takes would be larger; none has that."""
KEEPALIVE_IDLE_S = 30
KEEPALIVE_INTERVAL_S = 15
KEEPALIVE_PROBES_MAX = 3
UNACKNOWLEDGED_MAX_MS = 30_000


@dataclasses.dataclass(frozen=True)
class Request:
    """One HTTP request. `before_send` is called once a connection is there, right before the first byte; what it raises stops the request."""

    method: str
    path: str
    query: Mapping[str, str] = dataclasses.field(default_factory=dict)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes | None = None
    before_send: Callable[[], object] | None = None


@dataclasses.dataclass(frozen=True)
class Answer:
    """One whole answer; the names of headers are in lower case."""

    code: int
    headers: Mapping[str, str]
    body: bytes


class Stream(Protocol):
    """An answer whose body comes in pieces of any size."""

    @property
    def code(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body until its end. Raises OutcomeUnknown where the connection breaks."""


class Transport(Protocol):
    """One API server. Raises Unreachable where nothing was sent, OutcomeUnknown where no answer came. Deadlines are the caller's."""

    async def send(self, request: Request) -> Answer:
        """Send and read the whole answer."""

    def stream(self, request: Request) -> AbstractAsyncContextManager[Stream]:
        """Send and read the answer piece by piece."""

    async def close(self) -> None:
        """Close every connection."""


class AiohttpTransport:
    """One aiohttp session with the credentials of an `Access`. Made and used in one event loop."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request) -> Answer:
        async with self.stream(request) as stream:
            parts, size = [], 0
            async for chunk in stream.chunks():
                parts.append(chunk)
                size += len(chunk)
                if size > ANSWER_BYTES_MAX:
                    raise OutcomeUnknown(
                        f"{request.method} {request.path}: an answer of more than {ANSWER_BYTES_MAX} bytes"
                    )
            return Answer(stream.code, stream.headers, b"".join(parts))

    @contextlib.asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[Stream]:
        what = f"{request.method} {request.path}"
        access = self._access
        try:
            headers = dict(request.headers)
            authorization = await access.authorization()
            if authorization:
                headers["Authorization"] = authorization
            options: dict[str, Any] = {"data": request.body, "ssl": access.tls(), "allow_redirects": False}
            if access.server_name:
                options["server_hostname"] = access.server_name
            context = self._opened().request(
                request.method,
                URL(access.server + request.path, encoded=True).with_query(dict(request.query)),
                headers=headers,
                trace_request_ctx=request.before_send,
                **options,
            )
        except OSError as error:
            raise Unreachable(f"{what}: credentials cannot be read: {error}") from error
        with _translated(what):
            async with context as response:
                if response.status == 401:
                    access.forget()
                yield _HttpStream(response)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_connection_reuseconn.append(_ask_before_send)
            trace.on_connection_create_end.append(_ask_before_send)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS_MAX, keepalive_timeout=IDLE_CONNECTION_S, socket_factory=_open_socket
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
                read_bufsize=READ_BUFFER_BYTES,
                auto_decompress=True,
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[trace],
                headers={"Accept-Encoding": "identity"},
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


class _HttpStream:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.code = response.status
        self.headers = {name.lower(): value for name, value in response.headers.items()}

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.content.iter_any():
            yield chunk


@contextlib.contextmanager
def _translated(what: str) -> Any:
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
        raise Unreachable(f"{what}: the API server cannot be reached: {error}") from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        raise OutcomeUnknown(f"{what}: the connection broke: {error or type(error).__name__}") from error


async def _ask_before_send(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx()


def _open_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES_MAX)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MAX_MS)
    return made
