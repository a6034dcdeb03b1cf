"""The monitoring port: /metrics, /livez and /readyz by plain HTTP, reading only.

Bounded like every other door of the node: so many requests at once, so long for each, GET alone, and nothing but these paths.
"""

from __future__ import annotations

import dataclasses
import http.server
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from xvirt.model.errors import InvalidSpec, Problem, Unavailable, XvirtError

logger = logging.getLogger(__name__)

REQUESTS_MAX = 8
REQUEST_TIMEOUT_S = 10.0
TEXT = "text/plain; charset=utf-8"


@dataclasses.dataclass(frozen=True)
class Answer:
    """A status code, a content type, a body."""

    code: int
    content_type: str
    body: bytes


Page = Callable[[Mapping[str, str]], Answer]
"""A page by the request's headers."""


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that must be so."""

    name: str
    is_passed: Callable[[], bool]
    remedy: str


def health_page(checks: tuple[Check, ...]) -> Page:
    """200 where all checks pass, else 503; a line for each, as Kubernetes' `?verbose` writes them."""

    def page(headers: Mapping[str, str]) -> Answer:
        lines, is_well = [], True
        for check in checks:
            is_passed = _passes(check)
            is_well = is_well and is_passed
            lines.append(f"[+]{check.name} ok" if is_passed else f"[-]{check.name} failed: {check.remedy}")
        lines.append("healthy" if is_well else "unhealthy")
        return Answer(200 if is_well else 503, TEXT, ("\n".join(lines) + "\n").encode())

    return page


def _passes(check: Check) -> bool:
    try:
        return check.is_passed()
    except XvirtError as error:
        logger.warning("check %s: %s", check.name, error.message)
        return False


class Monitor:
    """The port. `address` is `host:port` (`[::1]:9177` for IPv6)."""

    def __init__(self, address: str, pages: Mapping[str, Page]) -> None:
        host, port = split_address(address)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._server = _Server(family, (host, port), pages)
        except OSError as error:
            raise Unavailable(
                f"cannot listen on {address} for metrics: {error.strerror}; free it, or set metricsListen in the node's config"
                ' to another address ("" for none)'
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="monitor", daemon=True)

    @property
    def port(self) -> int:
        """The port it has (that the system chose, where 0 was asked for)."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more; requests that run are not waited for."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


def split_address(address: str) -> tuple[str, int]:
    """Host and port. Raises InvalidSpec."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        problem = Problem("", f"{address[:100]!r} is no address:port", "write 127.0.0.1:9177 or [::1]:9177")
        raise InvalidSpec([problem])
    return host, int(port)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, family: socket.AddressFamily, address: tuple[str, int], pages: Mapping[str, Page]) -> None:
        self.address_family = family
        self.pages = pages
        self._places = threading.BoundedSemaphore(REQUESTS_MAX)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("monitoring request of %s ended early", client_address, exc_info=True)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_TIMEOUT_S
    server_version = "xvirt-node"
    sys_version = ""

    def do_GET(self) -> None:
        page = self.server.pages.get(urlsplit(self.path).path)
        if page is None:
            self._send(Answer(404, TEXT, f"there are {', '.join(sorted(self.server.pages))}\n".encode()))
            return
        try:
            answer = page({name.lower(): value for name, value in self.headers.items()})
        except Exception as error:  # a bug here must not look like a broken network
            logger.exception("bug in %s", self.path[:100])
            answer = Answer(500, TEXT, f"{type(error).__name__}; the node's log tells more\n".encode())
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.code)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        logger.debug("monitor: " + format, *args)
