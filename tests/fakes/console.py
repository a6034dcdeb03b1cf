"""A serial console in memory: what is written comes back, as from a shell's echo."""

from __future__ import annotations

import queue

from tests.fakes.domain import FakeDomain
from xvirt.model.errors import Refused


class FakeConsole:
    """Implements `nodeplugin.hypervisor.port.ConsoleStream`."""

    def __init__(self, domain: FakeDomain) -> None:
        self._domain = domain
        self._output: queue.Queue[bytes | None] = queue.Queue()
        self.is_closed = False

    @classmethod
    def open(cls, domain: FakeDomain, *, force: bool) -> FakeConsole:
        """Open; with `force` whoever had it loses it. Raises Refused."""
        earlier = domain.console
        if earlier is not None and not earlier.is_closed:
            if not force:
                message = (
                    f"open console of domain {domain.uuid}: libvirt says: Active console session exists for this domain"
                )
                raise Refused(message, reason="LibvirtRefused")
            earlier.close()
        domain.console = cls(domain)
        return domain.console

    def print(self, data: bytes) -> None:
        """The guest writes."""
        self._output.put(data)

    def read(self, limit_bytes: int, timeout_s: float) -> bytes | None:
        if self.is_closed:
            return None
        try:
            data = self._output.get(timeout=timeout_s)
        except queue.Empty:
            return b""
        if data is not None and len(data) > limit_bytes:
            rest, data = data[limit_bytes:], data[:limit_bytes]
            self._output.queue.appendleft(rest)
        return data

    def write(self, data: bytes) -> None:
        if not self.is_closed:
            self._output.put(data)

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._output.put(None)
