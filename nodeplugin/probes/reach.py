"""How the node reaches a guest's port: at one of the guest's own addresses, through the bridge that the guest's card is plugged into,
and through nothing else.

A guest says itself what its addresses are, and may lie. So a socket is bound to that bridge (SO_BINDTODEVICE): whatever address a guest
claims, a probe reaches only what is on the guest's own wire, which the guest reaches without us; the host's own addresses are left out.
Everything that comes back is bounded, in bytes and in time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator

from xvirt.model.machine.probe import HttpGetProbe, HttpScheme

HEAD_MAX_BYTES = 4096
"""Of an HTTP answer, of which only the first line counts."""
STATUS_GOOD = range(200, 400)


class Unwell(Exception):
    """A guest did not answer as it should; says why, for people."""


@dataclasses.dataclass(frozen=True)
class Place:
    """A guest's address, and the host's bridge of the card that has it."""

    address: str
    bridge: str

    def at(self, port: int) -> str:
        """`192.0.2.7:80`, `[2001:db8::1]:80`."""
        return f"[{self.address}]:{port}" if ":" in self.address else f"{self.address}:{port}"


def connect(place: Place, port: int, timeout_s: float) -> None:
    """Raises Unwell where no connection is accepted in time."""
    with _connected(place, port, time.monotonic() + timeout_s):
        pass


def get(place: Place, probe: HttpGetProbe, timeout_s: float) -> int:
    """Status of the answer; raises Unwell where there is none in time, or one that is none or bad."""
    deadline_s = time.monotonic() + timeout_s
    with _connected(place, probe.port, deadline_s) as plain:
        carried = _encrypted(plain, deadline_s) if probe.scheme is HttpScheme.HTTPS else plain
        with carried as stream:
            where = f"GET {probe.path} at {place.at(probe.port)}"
            try:
                _wait_at_most(stream, deadline_s)
                stream.sendall(_request(place, probe))
                line = _first_line(stream, deadline_s)
            except OSError as error:
                raise Unwell(f"{where}: {_why(error)}") from error
            status = _status(line)
    if status is None:
        raise Unwell(f"{where}: what answers is not HTTP")
    if status not in STATUS_GOOD:
        raise Unwell(f"{where}: status {status}")
    return status


@contextlib.contextmanager
def _connected(place: Place, port: int, deadline_s: float) -> Iterator[socket.socket]:
    address = ipaddress.ip_address(place.address)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    if _is_hosts_own(family, place.address):
        raise Unwell(f"{place.address} is an address of the host; a guest cannot have it")
    with socket.socket(family, socket.SOCK_STREAM) as made:
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, place.bridge.encode() + b"\0")
            _stay_on_wire(made, family)
            _wait_at_most(made, deadline_s)
            made.connect((place.address, port))
        except OSError as error:
            raise Unwell(f"connect to {place.at(port)}: {_why(error)}") from error
        yield made


def _stay_on_wire(made: socket.socket, family: int) -> None:
    """No router passes it on: on a bridge that leads to the world, a guest may claim any address of it."""
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
    else:
        made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)


def _is_hosts_own(family: int, address: str) -> bool:
    """Whether the host has this address: only then can a socket be bound to it."""
    with socket.socket(family, socket.SOCK_DGRAM) as made:
        try:
            made.bind((address, 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
        return True


def _encrypted(plain: socket.socket, deadline_s: float) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _wait_at_most(plain, deadline_s)
    try:
        return context.wrap_socket(plain)
    except (OSError, ValueError) as error:
        raise Unwell(f"no TLS: {_why(error)}") from error


def _request(place: Place, probe: HttpGetProbe) -> bytes:
    headers = {
        "host": ("Host", place.at(probe.port)),
        "user-agent": ("User-Agent", "xvirt-probe"),
        "accept": ("Accept", "*/*"),
    }
    headers |= {item.name.lower(): (item.name, item.value) for item in probe.http_headers}
    headers["connection"] = ("Connection", "close")
    lines = [f"GET {probe.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.values()), "", ""]
    return "\r\n".join(lines).encode("ascii")


def _first_line(stream: socket.socket, deadline_s: float) -> bytes:
    """Read until the end of the first line; a guest that dribbles is not waited for longer than one that is silent."""
    seen = b""
    while b"\n" not in seen and len(seen) < HEAD_MAX_BYTES:
        _wait_at_most(stream, deadline_s)
        data = stream.recv(HEAD_MAX_BYTES - len(seen))
        if not data:
            break
        seen += data
    return seen.partition(b"\n")[0]


def _status(line: bytes) -> int | None:
    words = line.split(None, 2)
    is_http = len(words) >= 2 and words[0].startswith(b"HTTP/1.") and len(words[1]) == 3 and words[1].isdigit()
    return int(words[1]) if is_http else None


def _wait_at_most(stream: socket.socket, deadline_s: float) -> None:
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    stream.settimeout(left_s)


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return type(error).__name__
