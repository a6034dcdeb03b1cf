"""Tells systemd how the service is: one datagram for each message (sd_notify(3)), nothing where nobody asked for it."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)


def notify(message: str, environment: Mapping[str, str] = os.environ) -> None:
    """Send `READY=1`, `STOPPING=1`, `WATCHDOG=1` or `STATUS=...` to the socket in NOTIFY_SOCKET."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(1.0)
            sender.sendto(message.encode(), target)
    except OSError as error:
        logger.warning("systemd cannot be told %s: %s", message.partition("\n")[0], error.strerror)


def watchdog_interval_s(environment: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """Half of the time that systemd waits (WATCHDOG_USEC), as sd_watchdog_enabled(3) advises; None where it does not watch."""
    if environment.get("WATCHDOG_PID", str(pid or os.getpid())) != str(pid or os.getpid()):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 2e6 if text.isdigit() and int(text) > 0 else None


class Watchdog:
    """Tells systemd that the plugin is alive for as long as it is; systemd restarts it where that stops coming."""

    def __init__(self, interval_s: float, is_alive: Callable[[], bool]) -> None:
        self._interval_s = interval_s
        self._is_alive = is_alive
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Say no more."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            if self._is_alive():
                notify("WATCHDOG=1")
            else:
                logger.error("a thread of the plugin is dead or hangs; systemd is to restart it (machines go on)")
