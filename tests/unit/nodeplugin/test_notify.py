"""What systemd is told."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from nodeplugin.notify import Watchdog, notify, watchdog_interval_s

WAIT_S = 30.0


@pytest.fixture
def systemd(tmp_path: Path) -> socket.socket:
    """systemd's end."""
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.settimeout(WAIT_S)
    receiver.bind(str(tmp_path / "notify"))
    return receiver


def test_systemd_is_told_by_one_datagram(systemd: socket.socket) -> None:
    notify("READY=1", {"NOTIFY_SOCKET": systemd.getsockname()})
    assert systemd.recv(100) == b"READY=1"
    systemd.close()


def test_an_abstract_socket_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(WAIT_S)
        name = f"xvirt-test-{os.getpid()}"
        receiver.bind("\0" + name)
        notify("STOPPING=1", {"NOTIFY_SOCKET": "@" + name})
        assert receiver.recv(100) == b"STOPPING=1"


def test_nobody_is_told_where_nobody_asked_and_a_dead_socket_does_no_harm(tmp_path: Path) -> None:
    notify("READY=1", {})
    notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "nothing")})
    notify("READY=1", {"NOTIFY_SOCKET": "vsock:2:1234"})


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "7"}, 30.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdogs_interval_is_half_of_what_systemd_waits(
    environment: dict[str, str], interval: float | None
) -> None:
    assert watchdog_interval_s(environment, pid=7) == interval


def test_the_watchdog_says_nothing_while_the_plugin_is_dead(
    monkeypatch: pytest.MonkeyPatch, systemd: socket.socket
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
    answers, asked = iter([False, True]), threading.Event()

    def is_alive() -> bool:
        found = next(answers, None)
        if found is None:
            asked.set()
            return False
        return found

    watchdog = Watchdog(0.001, is_alive)
    watchdog.start()
    assert asked.wait(WAIT_S)
    watchdog.stop()
    assert systemd.recv(100) == b"WATCHDOG=1"
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(100)
    systemd.close()
