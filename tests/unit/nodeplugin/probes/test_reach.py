"""What a probe sends and takes: bounded in bytes and time, to the guest's own wire and nowhere else. Over loopback, with real sockets."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nodeplugin.probes import reach
from nodeplugin.probes.reach import HEAD_MAX_BYTES, Place, Unwell, connect, get
from xvirt.model.machine.probe import HttpGetProbe, HttpHeader, HttpScheme

HERE = Place("127.0.0.1", "lo")
PATIENT_S = 20.0
"""Ends a test that hangs; nothing is measured by it."""


@pytest.fixture(autouse=True)
def loopback_is_a_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' server has an address of the host, which a guest never has."""
    monkeypatch.setattr(reach, "_is_hosts_own", lambda family, address: False)


Behaviour = Callable[[socket.socket], None]


@contextlib.contextmanager
def served(behaviour: Behaviour, host: str = "127.0.0.1") -> Iterator[int]:
    """A server that does one thing with each connection; its port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    taken, _ = listener.accept()
                except OSError:
                    return
                with taken, contextlib.suppress(OSError):
                    behaviour(taken)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENT_S)


def answers(text: bytes, seen: list[bytes] | None = None) -> Behaviour:
    def behaviour(taken: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += taken.recv(4096)
        if seen is not None:
            seen.append(request)
        taken.sendall(text)

    return behaviour


def test_a_port_that_accepts_is_well_and_one_that_does_not_is_not() -> None:
    with served(lambda taken: None) as port:
        connect(HERE, port, PATIENT_S)
    with pytest.raises(Unwell, match=rf"connect to 127.0.0.1:{port}: connection refused"):
        connect(HERE, port, PATIENT_S)


def test_ipv6_is_asked_alike() -> None:
    with served(answers(b"HTTP/1.1 204 No Content\r\n\r\n"), "::1") as port:
        assert get(Place("::1", "lo"), HttpGetProbe(port=port), PATIENT_S) == 204


@pytest.mark.parametrize("status", [200, 204, 302, 399])
def test_a_status_below_400_is_well(status: int) -> None:
    with served(answers(b"HTTP/1.1 %d x\r\nLocation: http://127.0.0.1:1/\r\n\r\n" % status)) as port:
        assert get(HERE, HttpGetProbe(port=port), PATIENT_S) == status, "a redirect counts, and is not followed"


@pytest.mark.parametrize("status", [100, 199, 400, 500, 999])
def test_another_status_is_not(status: int) -> None:
    with served(answers(b"HTTP/1.0 %d x\r\n\r\n" % status)) as port, pytest.raises(Unwell, match=f"status {status}"):
        get(HERE, HttpGetProbe(port=port), PATIENT_S)


@pytest.mark.parametrize("text", [b"", b"\n", b"SSH-2.0-x\r\n", b"HTTP/1.1\r\n", b"HTTP/1.1 2000 x\r\n", b"\xff\x00\n"])
def test_what_is_not_http_is_not_well(text: bytes) -> None:
    with served(answers(text)) as port, pytest.raises(Unwell, match="not HTTP"):
        get(HERE, HttpGetProbe(port=port), PATIENT_S)


def test_a_guest_that_sends_without_end_is_read_to_a_limit() -> None:
    sent: list[int] = []

    def flood(taken: socket.socket) -> None:
        while True:
            sent.append(taken.send(b"HTTP/1.1 " + b"x" * 65536))

    with served(flood) as port, pytest.raises(Unwell, match="not HTTP"):
        get(HERE, HttpGetProbe(port=port), PATIENT_S)
    assert HEAD_MAX_BYTES == 4096


def test_a_guest_that_dribbles_is_given_no_more_time_than_one_that_is_silent() -> None:
    end = threading.Event()

    def dribble(taken: socket.socket) -> None:
        while not end.wait(0.05):
            taken.sendall(b"H")

    with served(dribble) as port:
        with pytest.raises(Unwell, match="no answer in time"):
            get(HERE, HttpGetProbe(port=port), 0.3)
        end.set()


def test_the_request_is_whole_and_a_declared_header_replaces_ours() -> None:
    seen: list[bytes] = []
    headers = (HttpHeader(name="host", value="web.example"), HttpHeader(name="X-Probe", value="1"))
    with served(answers(b"HTTP/1.1 200 OK\r\n\r\n", seen)) as port:
        get(HERE, HttpGetProbe(port=port, path="/healthz?full=1", http_headers=headers), PATIENT_S)
    assert seen == [
        b"GET /healthz?full=1 HTTP/1.1\r\nhost: web.example\r\nUser-Agent: xvirt-probe\r\nAccept: */*\r\n"
        b"X-Probe: 1\r\nConnection: close\r\n\r\n"
    ]


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "server.pem"
    subject = ["-subj", "/CN=guest", "-days", "1", "-nodes", "-newkey", "rsa:2048"]
    subprocess.run(
        ["openssl", "req", "-x509", *subject, "-keyout", str(path), "-out", str(tmp_path / "cert.pem")],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + (tmp_path / "cert.pem").read_bytes())
    return path


def test_https_is_spoken_without_looking_at_the_certificate(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def behaviour(taken: socket.socket) -> None:
        with context.wrap_socket(taken, server_side=True) as stream:
            stream.recv(4096)
            stream.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    with served(behaviour) as port:
        assert get(HERE, HttpGetProbe(port=port, scheme=HttpScheme.HTTPS), PATIENT_S) == 200
    with served(lambda taken: None) as port, pytest.raises(Unwell, match="no TLS"):
        get(HERE, HttpGetProbe(port=port, scheme=HttpScheme.HTTPS), PATIENT_S)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_an_address_of_the_host_is_never_asked(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    asked: list[int] = []
    with (
        served(lambda taken: asked.append(1), address) as port,
        pytest.raises(Unwell, match="is an address of the host"),
    ):
        connect(Place(address, "lo"), port, PATIENT_S)
    assert asked == []


def test_what_is_not_on_the_guests_wire_is_not_reached() -> None:
    """However a guest lies about its address: the server listens, and a socket bound to another device cannot get there."""
    with pytest.raises(Unwell, match=r"connect to 127.0.0.1:9: no such device"):
        connect(Place("127.0.0.1", "no-such-bridge"), 9, PATIENT_S)
    with pytest.raises(Unwell):
        connect(Place("192.0.2.77", "lo"), 9, 0.5)
