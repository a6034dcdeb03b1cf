"""GET over HTTP and HTTPS for a server that nobody vouches for.

http.client rather than a larger library: each connection must go to the very address that was judged (a name that resolves to another
one a moment later would slip through), redirects are judged one by one, proxies and credentials of the environment must not be used,
and the head as a whole has a deadline. All of that replaces what a larger library does by itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import ipaddress
import queue
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Iterator

from nodeplugin.images.policy import ImagePolicy, port_of, split_url
from nodeplugin.images.port import Trust, show_url
from nodeplugin.images.task import Task
from xvirt import __version__
from xvirt.model.errors import Refused, RetryLater

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_VALIDATOR_MAX = 1024
_CHALLENGE_MAX = 4096
_ANSWERED = frozenset({200, 206, 416})
NETWORK_ERRORS = (OSError, http.client.HTTPException)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gate:
    """What is allowed, on whose behalf, and which authorities vouch for servers."""

    policy: ImagePolicy = dataclasses.field(default_factory=ImagePolicy)
    trust: Trust = Trust.LISTED
    ca_bundle: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """A GET. `authorization` is sent to the URL's own scheme, host and port alone, never to where it redirects."""

    url: str
    offset: int = 0
    validator: str = ""
    accept: str = "*/*"
    authorization: str = ""

    def headers(self, target: urllib.parse.SplitResult) -> dict[str, str]:
        """What is sent to one of the places on the way."""
        sent = {
            "Accept": self.accept,
            "Accept-Encoding": "identity",
            "User-Agent": f"xvirt-node/{__version__}",
            "Connection": "close",
        }
        own = urllib.parse.urlsplit(self.url)
        if self.authorization and (own.scheme, own.netloc) == (target.scheme, target.netloc):
            sent["Authorization"] = self.authorization
        if self.offset:
            sent["Range"] = f"bytes={self.offset}-"
            if self.validator:
                sent["If-Range"] = self.validator
        return sent


class Unauthorized(Exception):
    """The server asks who it is; `challenge` is its WWW-Authenticate, `refusal` what is told where nobody can answer that.

    Not one of the errors that leave the node: whoever fetches answers it or raises the refusal.
    """

    def __init__(self, message: str, challenge: str) -> None:
        super().__init__(message)
        self.refusal = Refused(message, reason="Unauthorized")
        self.challenge = challenge


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer's head, and its body to be read. `validator` is a strong ETag or else Last-Modified: the same as before means the same
    content. `start` and `total_bytes` are of the whole content; `is_framed`: whether its end can be told from a broken connection."""

    status: int
    start: int
    total_bytes: int | None
    validator: str
    is_framed: bool
    body: http.client.HTTPResponse


@contextlib.contextmanager
def get(request: Request, gate: Gate, task: Task) -> Iterator[Answer]:
    """The answer to a GET, from `request.offset` on. Raises PolicyRefused and Refused (do not repeat), RetryLater."""
    url = request.url
    deadline = _HeadDeadline(task)
    connection: http.client.HTTPConnection | None = None
    try:
        with translated(url, task), deadline:
            connection, response = _Follower(gate, task, deadline).follow(request)
            answer = _read_head(url, response)
        yield answer
    finally:
        if connection is not None:
            connection.close()
        task.let_go()


class _HeadDeadline:
    """Ends the connection that is open when the time is over, and refuses those that come after: redirects begin new ones."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._is_over = threading.Event()
        self._timer = threading.Timer(task.limits.head_timeout_s, self._end)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self._is_over.set()
        self._task.hang_up()

    def check(self) -> None:
        """Raises TimeoutError."""
        if self._is_over.is_set():
            raise TimeoutError


@contextlib.contextmanager
def translated(url: str, task: Task) -> Iterator[None]:
    """Errors of the network as ours. A connection that was ended because the task was cancelled raises Cancelled."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        message = f"{show_url(url)}: the server's certificate is not trusted: {error.verify_message}"
        raise Refused(
            f"{message}; `images.caBundle` of the node's config may name its CA", reason="UntrustedServer"
        ) from error
    except TimeoutError as error:
        task.check()
        raise RetryLater(f"{show_url(url)}: the server does not answer in time", reason="DownloadStalled") from error
    except NETWORK_ERRORS as error:
        task.check()
        text = "".join(sign for sign in (str(error) or type(error).__name__)[:300] if sign.isprintable())
        raise RetryLater(f"{show_url(url)} cannot be read: {text}", reason="DownloadFailed") from error


class _Follower:
    """One GET, wherever it is redirected to."""

    def __init__(self, gate: Gate, task: Task, deadline: _HeadDeadline) -> None:
        self._gate = gate
        self._task = task
        self._deadline = deadline

    def follow(self, request: Request) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """The connection, and the first answer that is no redirect."""
        current = request.url
        for _ in range(self._task.limits.redirects_max + 1):
            parts = split_url(current)
            connection = self._connect(parts)
            try:
                target = parts.path or "/"
                connection.request(
                    "GET", f"{target}?{parts.query}" if parts.query else target, headers=request.headers(parts)
                )
                response = connection.getresponse()
            except BaseException:
                connection.close()
                raise
            if response.status not in _REDIRECTS:
                return connection, response
            location = response.headers.get("Location")
            connection.close()
            current = _judge_redirect(current, location, response.status)
        times = self._task.limits.redirects_max
        raise Refused(f"{show_url(request.url)} is redirected more than {times} times", reason="RedirectLoop")

    def _connect(self, parts: urllib.parse.SplitResult) -> http.client.HTTPConnection:
        host, port = parts.hostname or "", port_of(parts)
        addresses = _resolve(host, port, self._task)
        for address in addresses:
            judged = ipaddress.ip_address(address.partition("%")[0])
            self._gate.policy.check_address(parts, judged, self._gate.trust)
        connection = http.client.HTTPConnection(host, port)
        connected = _dial(addresses, port, self._task)
        try:
            self._deadline.check()
            if parts.scheme == "https":
                connected = _make_context(self._gate).wrap_socket(connected, server_hostname=host)
        except BaseException:
            connected.close()
            raise
        connection.sock = connected
        connection.auto_open = 0  # never a second connection, which would look the name up again
        return connection


def _make_context(gate: Gate) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if gate.ca_bundle:
        try:
            context.load_verify_locations(gate.ca_bundle)
        except OSError as error:
            message = f"`images.caBundle` {gate.ca_bundle} of the node's config cannot be read: {error}"
            raise RetryLater(message, reason="CaBundleUnreadable") from error
    return context


def _judge_redirect(current: str, location: str | None, status: int) -> str:
    shown = show_url(current)
    if not location:
        raise Refused(f"{shown} answers {status} without a place to go to", reason="DownloadFailed")
    try:
        target = urllib.parse.urljoin(current, location)
        parts = urllib.parse.urlsplit(target)
    except ValueError as error:
        raise Refused(f"{shown} redirects to {show_url(location)}, which is no URL", reason="RedirectDenied") from error
    if parts.scheme not in ("http", "https"):
        raise Refused(f"{shown} redirects to {show_url(target)}, which is not http", reason="RedirectDenied")
    if parts.scheme == "http" and urllib.parse.urlsplit(current).scheme == "https":
        raise Refused(f"{shown} redirects from https to {show_url(target)}", reason="RedirectDenied")
    return target


def _resolve(host: str, port: int, task: Task) -> list[str]:
    """Addresses of a host. In a thread of its own, for the system's resolver has no deadline."""
    found: queue.Queue[list[str] | Exception] = queue.Queue()

    def look_up() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.put(list(dict.fromkeys(str(row[4][0]) for row in rows)))
        except (OSError, UnicodeError) as error:
            found.put(error)

    threading.Thread(target=look_up, name="image-dns", daemon=True).start()
    try:
        result = found.get(timeout=task.limits.dns_timeout_s)
    except queue.Empty:
        raise RetryLater(f"name {host} was not resolved in time", reason="DownloadStalled") from None
    if isinstance(result, UnicodeError):
        raise Refused(f"{host} is no name of a host", reason="BadSource") from result
    if isinstance(result, Exception):
        raise RetryLater(f"name {host} cannot be resolved: {result}", reason="DownloadFailed") from result
    return result


def _dial(addresses: list[str], port: int, task: Task) -> socket.socket:
    failure: OSError = OSError("the name has no address")
    for address in addresses:
        task.check()
        try:
            connected = socket.create_connection((address, port), timeout=task.limits.connect_timeout_s)
        except OSError as error:
            failure = error
            continue
        connected.settimeout(task.limits.stall_timeout_s)
        task.follow(connected)
        return connected
    raise failure


def _read_head(url: str, response: http.client.HTTPResponse) -> Answer:
    status = response.status
    if status not in _ANSWERED:
        reason = "".join(sign for sign in response.reason[:100] if sign.isprintable())
        message = f"{show_url(url)} answers {status} {reason}"
        if status == 401:
            raise Unauthorized(message, (response.headers.get("WWW-Authenticate") or "")[:_CHALLENGE_MAX])
        if status in _RETRIED:
            raise RetryLater(message, reason="DownloadFailed")
        raise Refused(message, reason="DownloadFailed")
    if len(set(response.headers.get_all("Content-Length") or ())) > 1:
        raise Refused(f"{show_url(url)} tells two lengths", reason="DownloadFailed")
    start, total = 0, response.length
    if status == 206:
        start, total = _parse_content_range(response.headers.get("Content-Range") or "")
    etag = response.headers.get("ETag") or ""
    validator = etag if etag.startswith('"') else response.headers.get("Last-Modified") or ""
    return Answer(
        status=status,
        start=start,
        total_bytes=total,
        validator=validator if len(validator) <= _VALIDATOR_MAX and validator.isprintable() else "",
        is_framed=response.length is not None or bool(response.chunked),
        body=response,
    )


def _parse_content_range(text: str) -> tuple[int, int | None]:
    """`bytes 10-99/100` -> (10, 100); (-1, None) for anything that fits no request of ours."""
    unit, _, rest = text.partition(" ")
    span, _, total = rest.partition("/")
    first = span.partition("-")[0]
    if unit != "bytes" or not (first.isascii() and first.isdigit()):
        return -1, None
    return int(first), int(total) if total.isascii() and total.isdigit() else None
