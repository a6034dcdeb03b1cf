"""An HTTP server whose faults are planned answer by answer."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path


class Framing(enum.Enum):
    """How the end of the body is told."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


class Ranges(enum.Enum):
    """What a Range request gets."""

    SERVED = "served"
    IGNORED = "ignored"
    WRONG = "wrong"
    """206 with other bytes than asked for."""
    UNCONDITIONAL = "unconditional"
    """206 also where If-Range names other content."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer. `cut_after`: bytes of the body before the connection breaks; `stall_after`: before nothing more comes until the
    server ends; `trickle`: one byte at a time, slowly; `surplus`: sent after the promised length."""

    status: int = 200
    content: bytes | None = None
    etag: str | None = None
    location: str | None = None
    framing: Framing = Framing.LENGTH
    ranges: Ranges = Ranges.SERVED
    cut_after: int | None = None
    stall_after: int | None = None
    trickle: bool = False
    head_stalls: bool = False
    surplus: bytes = b""


class FaultServer:
    """Serves `content` with a strong ETag. Answers follow `replies`, of which the last is for all that come later."""

    def __init__(self, content: bytes, replies: list[Reply] | None = None, port: int = 0) -> None:
        self.content = content
        self.replies = replies or [Reply()]
        self.ranges: list[str | None] = []
        """The Range header of each request, in order."""
        self.conditions: list[str | None] = []
        """If-Range, likewise."""
        self.released = threading.Event()
        self.stalled = threading.Event()
        """Set once an answer stalls."""
        self._lock = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.scheme = "http"

    @property
    def url(self) -> str:
        """URL of the content."""
        return f"{self.scheme}://127.0.0.1:{self.port}/image.qcow2"

    def use_tls(self, certificate: Path, key: Path) -> None:
        """Speak HTTPS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.scheme = "https"

    @contextlib.contextmanager
    def running(self) -> Iterator[FaultServer]:
        """Serve until the end of the block."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """One request."""
        with self._lock:
            number = len(self.ranges)
            self.ranges.append(handler.headers.get("Range"))
            self.conditions.append(handler.headers.get("If-Range"))
            reply = self.replies[min(number, len(self.replies) - 1)]
        handler.close_connection = True
        with contextlib.suppress(OSError):
            self._answer(handler, reply)

    def _answer(self, handler: http.server.BaseHTTPRequestHandler, reply: Reply) -> None:
        if reply.head_stalls:
            self._stall()
            return
        content = self.content if reply.content is None else reply.content
        etag = '"one"' if reply.etag is None else reply.etag
        start, status = self._find_start(handler, reply, content, etag), reply.status
        handler.send_response(206 if start and status == 200 else status)
        if reply.location is not None:
            handler.send_header("Location", reply.location)
        if etag:
            handler.send_header("ETag", etag)
        if start:
            told = start + 1 if reply.ranges is Ranges.WRONG else start
            handler.send_header("Content-Range", f"bytes {told}-{len(content) - 1}/{len(content)}")
        body = content[start:] if status == 200 else b""
        if reply.framing is Framing.LENGTH:
            handler.send_header("Content-Length", str(len(body)))
        elif reply.framing is Framing.CHUNKED:
            handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        self._send(handler, reply, body)

    def _find_start(self, handler: http.server.BaseHTTPRequestHandler, reply: Reply, content: bytes, etag: str) -> int:
        wanted = handler.headers.get("Range")
        if wanted is None or reply.ranges is Ranges.IGNORED:
            return 0
        condition = handler.headers.get("If-Range")
        if condition is not None and condition != etag and reply.ranges is not Ranges.UNCONDITIONAL:
            return 0
        return int(wanted.removeprefix("bytes=").removesuffix("-"))

    def _send(self, handler: http.server.BaseHTTPRequestHandler, reply: Reply, body: bytes) -> None:
        if reply.trickle:
            for index in range(len(body)):
                handler.wfile.write(body[index : index + 1])
                if self.released.wait(0.01):
                    return
            return
        limit = next((item for item in (reply.cut_after, reply.stall_after) if item is not None), None)
        part = body if limit is None else body[:limit]
        if reply.framing is Framing.CHUNKED:
            if part:
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            if limit is None:
                handler.wfile.write(b"0\r\n\r\n")
        else:
            handler.wfile.write(part + reply.surplus)
        handler.wfile.flush()
        if reply.stall_after is not None:
            self._stall()
        if limit is not None:
            handler.connection.shutdown(socket.SHUT_RDWR)

    def _stall(self) -> None:
        self.stalled.set()
        self.released.wait()
