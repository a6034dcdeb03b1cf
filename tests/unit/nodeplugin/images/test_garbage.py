"""Servers that do not keep to HTTP: whatever comes ends as an error of ours, never as a bug, and leaves no image."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.unit.nodeplugin.images.conftest import Pool
from xvirt.model.errors import InternalError, XvirtError

OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "nothing": b"",
    "noise": bytes(range(256)) * 20,
    "no head": b"<html>hello</html>",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "status that is none": b"HTTP/1.1 banana\r\n\r\n",
    "status beyond all": b"HTTP/1.1 99999 X\r\n\r\n",
    "escape in the reason": b"HTTP/1.1 404 \x1b[2J\x07gone\r\nContent-Length: 0\r\n\r\n",
    "endless head line": OK + b"X: " + b"a" * 200_000,
    "too many heads": OK + b"".join(b"X-%d: a\r\n" % number for number in range(500)) + b"\r\n",
    "negative length": OK + b"Content-Length: -5\r\n\r\nabc",
    "length of letters": OK + b"Content-Length: many\r\n\r\nabc",
    "two lengths": OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "length beyond all": OK + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "negative chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n0\r\n\r\n",
    "chunk of letters": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    "huge chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nabc",
    "range unasked for": b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 5-7/8\r\nContent-Length: 3\r\n\r\nabc",
    "range of nonsense": b"HTTP/1.1 206 Partial\r\nContent-Range: apples\r\nContent-Length: 3\r\n\r\nabc",
    "416 to all": b"HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n",
    "redirect to nowhere": b"HTTP/1.1 302 Found\r\n\r\n",
    "redirect with noise": b"HTTP/1.1 302 Found\r\nLocation: http://\xff\xfe\x00[/\r\n\r\n",
    "redirect to a broken address": b"HTTP/1.1 302 Found\r\nLocation: http://[::1/\r\n\r\n",
    "redirect to a long name": b"HTTP/1.1 302 Found\r\nLocation: http://" + b"a" * 300 + b"/\r\n\r\n",
    "continue for ever": b"HTTP/1.1 100 Continue\r\n\r\n" * 5000,
    "folded etag": OK + b'ETag: "a\r\n b"\r\nContent-Length: 10\r\n\r\nabc',
    "binary etag": OK + b'ETag: "\x01\xff"\r\nContent-Length: 10\r\n\r\nabc',
}


@pytest.fixture
def speak() -> Iterator[Callable[[bytes], str]]:
    """Starts a listener that answers every connection with the same bytes and hangs up."""
    listeners: list[socket.socket] = []

    def start(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=_serve, args=(listener, answer), daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/x"

    yield start
    for listener in listeners:
        listener.close()


def _serve(listener: socket.socket, answer: bytes) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            try:
                connection.recv(65536)
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
            except OSError:
                continue


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_whatever_a_server_says_ends_as_an_error_of_ours(
    pool: Pool, speak: Callable[[bytes], str], answer: bytes
) -> None:
    error = pool.fails(pool.request(speak(answer)))
    assert isinstance(error, XvirtError)
    assert not isinstance(error, InternalError), error
    assert error.message.isprintable()
    assert "one.img" not in pool.names()
