"""A console's byte stream, by libvirt."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable

import libvirt

from xvirt.model.errors import DeadlineExceeded, Unavailable

POLL_S = 0.02
WRITE_TIMEOUT_S = 5.0


@dataclasses.dataclass(frozen=True)
class OpenConsole:
    """A stream and the connection that is its alone."""

    connection: libvirt.virConnect
    stream: libvirt.virStream

    def close(self) -> None:
        """Blocks."""
        try:
            self.stream.abort()
        finally:
            self.connection.close()


def open_console(connection: libvirt.virConnect, uuid: str, *, force: bool) -> OpenConsole:
    """Open a domain's console by a connection, which is closed where that fails. Blocks."""
    try:
        stream = connection.newStream(libvirt.VIR_STREAM_NONBLOCK)
        flags = libvirt.VIR_DOMAIN_CONSOLE_FORCE if force else libvirt.VIR_DOMAIN_CONSOLE_SAFE
        domain = connection.lookupByUUIDString(uuid)
        try:
            domain.openConsole(None, stream, flags)
        except libvirt.libvirtError as error:
            if force or error.get_error_code() != libvirt.VIR_ERR_OPERATION_UNSUPPORTED:
                raise
            domain.openConsole(None, stream, 0)  # this kind of console knows no locking
    except BaseException:
        connection.close()
        raise
    return OpenConsole(connection, stream)


class LibvirtConsole:
    """Implements `nodeplugin.hypervisor.port.ConsoleStream`. The stream is polled, without blocking: a stream callback would bring each
    byte to the one event thread. One reader and one writer may use it at a time, and anybody may close it."""

    def __init__(self, stream: libvirt.virStream, give_back: Callable[[], None]) -> None:
        self._stream = stream
        self._give_back = give_back
        self._is_closed = threading.Event()
        self._closing = threading.Lock()

    def read(self, limit_bytes: int, timeout_s: float) -> bytes | None:
        deadline = time.monotonic() + timeout_s
        while not self._is_closed.is_set():
            try:
                data = self._stream.recv(limit_bytes)
            except libvirt.libvirtError:
                return None
            if isinstance(data, bytes):
                return data or None
            if time.monotonic() >= deadline:  # -2: nothing there yet
                return b""
            self._is_closed.wait(POLL_S)
        return None

    def write(self, data: bytes) -> None:
        deadline = time.monotonic() + WRITE_TIMEOUT_S
        while data and not self._is_closed.is_set():
            try:
                sent = self._stream.send(data)
            except libvirt.libvirtError as error:
                raise Unavailable(f"the console is gone: {error}", reason="ConsoleClosed") from None
            if sent > 0:
                data = data[sent:]
            elif time.monotonic() > deadline:
                raise DeadlineExceeded("the guest does not read its console", reason="ConsoleBlocked")
            else:
                self._is_closed.wait(POLL_S)

    def close(self) -> None:
        with self._closing:
            if self._is_closed.is_set():
                return
            self._is_closed.set()
        self._give_back()
