"""A host's hypervisor, by libvirt: `LibvirtHypervisor` implements `nodeplugin.hypervisor.port.Hypervisor`."""

from __future__ import annotations

import time
from typing import Any

import libvirt
from lxml import etree

from nodeplugin.hypervisor.agents import LibvirtAgents
from nodeplugin.hypervisor.calls import Lane, LaneKind
from nodeplugin.hypervisor.connection import Connection, HypervisorOptions, is_event_loop_turning
from nodeplugin.hypervisor.disks import LibvirtDisks
from nodeplugin.hypervisor.domains import LibvirtDomains
from nodeplugin.hypervisor.events import register_events
from nodeplugin.hypervisor.networks import LibvirtNetworks
from nodeplugin.hypervisor.pools import LibvirtPools
from nodeplugin.hypervisor.port import EventKind, EventListener, HostFacts, HypervisorEvent
from nodeplugin.hypervisor.statistics import LibvirtStatistics
from nodeplugin.telemetry import SILENT, Telemetry

_DEFAULTS = HypervisorOptions()


class LibvirtHypervisor(LibvirtDomains, LibvirtDisks, LibvirtAgents, LibvirtNetworks, LibvirtPools, LibvirtStatistics):
    """All ports over one connection. Opening is tried again for ever: look at `is_connected`, or wait for CONNECTED."""

    def __init__(self, uri: str, *, options: HypervisorOptions = _DEFAULTS, telemetry: Telemetry = SILENT) -> None:
        self._link = Connection(uri, options, telemetry)
        self._facts: HostFacts | None = None
        self._link.subscribe(self._forget_facts)
        register_events(self._link)
        self._link.start()

    def facts(self) -> HostFacts:
        found = self._facts
        if found is None:
            lane = Lane(LaneKind.READ, "host")
            found = self._link.call("read the host's facts", _read_facts, lane, timeout_s=self._options.facts_timeout_s)
            self._facts = found
        return found

    def _forget_facts(self, event: HypervisorEvent) -> None:
        if event.kind is EventKind.CONNECTED:  # perhaps another version of libvirt
            self._facts = None

    def lost_threads(self) -> int:
        """Threads whose call has not come back in time."""
        return self._link.lost_threads()

    def subscribe(self, listener: EventListener) -> None:
        self._link.subscribe(listener)

    def is_connected(self) -> bool:
        return self._link.is_connected()

    def is_delivering(self) -> bool:
        return is_event_loop_turning(self._options.event_loop_timeout_s)

    def close(self) -> None:
        self._link.close()


def _read_facts(connection: libvirt.virConnect) -> HostFacts:
    began = time.monotonic()
    capabilities = etree.fromstring(connection.getCapabilities().encode())
    probe_seconds = time.monotonic() - began
    info: list[Any] = connection.getInfo()
    types = {item.get("type") for item in capabilities.iterfind("guest/arch/domain")}
    return HostFacts(
        host_uuid=capabilities.findtext("host/uuid") or "",
        hostname=connection.getHostname(),
        libvirt_version=_version(connection.getLibVersion()),
        qemu_version=_version(connection.getVersion()),
        architecture=str(info[0]),
        cpus=int(info[2]),
        memory_bytes=int(info[1]) << 20,
        offers_kvm="kvm" in types,
        probe_seconds=probe_seconds,
    )


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"
