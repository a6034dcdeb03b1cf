"""What the parts of `FakeHypervisor` share: state, one lock, events."""

from __future__ import annotations

import dataclasses
import itertools
import threading
import uuid as uuids
from collections.abc import Callable
from typing import TypeVar

from lxml import etree

from nodeplugin.hypervisor.port import EventKind, EventListener, HypervisorEvent
from tests.fakes.domain import FakeDomain, refused
from tests.fakes.faults import Faults
from tests.fakes.volumes import FakeVolumes
from xvirt.model.errors import Busy, DeadlineExceeded, NotFound, Unavailable

R = TypeVar("R")


@dataclasses.dataclass
class FakeThing:
    """One network or pool: `live` while it is active."""

    uuid: str
    name: str
    config: etree._Element
    live: etree._Element | None = None
    is_autostarted: bool = False
    is_persistent: bool = True

    @property
    def is_active(self) -> bool:
        """Whether it was started."""
        return self.live is not None


class FakeBase:
    """One lock for all calls; events go to listeners after each call, in the caller's thread."""

    def __init__(self, volumes: FakeVolumes | None, faults: Faults | None) -> None:
        self.faults = faults or Faults()
        self._volumes = volumes
        self._lock = threading.RLock()
        self._domains: dict[str, FakeDomain] = {}
        self._networks: dict[str, FakeThing] = {}
        self._filters: dict[str, etree._Element] = {}
        self._ports: dict[str, set[str]] = {}
        """Ports of active networks: where running domains' NICs are plugged in."""
        self._pools: dict[str, FakeThing] = {}
        self._ids = itertools.count(1)
        self._listeners: list[EventListener] = []
        self._pending: list[HypervisorEvent] = []
        self._is_connected = True

    def guarded(self, call: Callable[[], R]) -> R:
        """Run one call of a port."""
        with self._lock:
            if not self._is_connected:
                raise Unavailable("libvirt cannot be reached; is libvirtd running?", reason="HypervisorUnavailable")
            result = call()
        self._flush()
        return result

    def _get(self, uuid: str) -> FakeDomain:
        domain = self._domains.get(uuid)
        if domain is None:
            raise NotFound(f"domain {uuid}: libvirt says: no domain with matching uuid '{uuid}'")
        return domain

    def _running(self, uuid: str) -> FakeDomain:
        """An active domain whose monitor is about to be asked."""
        domain = self._get(uuid)
        if not domain.is_active:
            raise refused(uuid, "domain is not running")
        if domain.is_hung and domain.has_missed_deadline:
            raise Busy(f"domain {uuid}: an earlier call has not come back", reason="DomainNotResponding")
        if domain.is_hung:
            domain.has_missed_deadline = True
            raise DeadlineExceeded(f"domain {uuid}: no answer in time", reason="HypervisorTimeout")
        return domain

    def plug_in(self, nic: etree._Element) -> None:
        """What libvirt does with a running NIC on a network: a new port there, and the network's bridge."""
        source = nic.find("source[@network]")
        if source is None:
            return
        for network in self._networks.values():
            if network.name == source.get("network") and network.live is not None:
                port = str(uuids.UUID(int=next(self._ids)))
                self._ports.setdefault(network.uuid, set()).add(port)
                source.set("portid", port)
                source.set("bridge", str(network.live.xpath("string(bridge/@name)")))

    def tell(self, kind: EventKind, subject: str, detail: str) -> None:
        """Note an event; it is delivered when the call ends."""
        self._pending.append(HypervisorEvent(kind=kind, subject=subject, detail=detail))

    def behind(self, work: Callable[[], None]) -> None:
        """Change something that is not the node's doing."""
        with self._lock:
            work()
        self._flush()

    def _flush(self) -> None:
        while self._pending:
            event = self._pending.pop(0)
            for listener in list(self._listeners):
                listener(event)
