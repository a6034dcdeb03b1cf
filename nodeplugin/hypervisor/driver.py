"""A host's hypervisor, by libvirt: `LibvirtHypervisor` implements `nodeplugin.hypervisor.port.Hypervisor`."""

from __future__ import annotations

import time
from typing import Any
from xml.etree import ElementTree

import libvirt

from nodeplugin.hypervisor.connection import Connection
from nodeplugin.hypervisor.domains import LibvirtDomains
from nodeplugin.hypervisor.events import register_events
from nodeplugin.hypervisor.networks import LibvirtNetworks, LibvirtPools
from nodeplugin.hypervisor.port import EventListener, HostFacts

PROBE_TIMEOUT_S = 90.0
"""The first question for capabilities starts QEMU; on a host with the KVM cache trap that takes up to a minute."""


class LibvirtHypervisor(LibvirtDomains, LibvirtNetworks, LibvirtPools):
    """All ports over one connection."""

    def __init__(self, uri: str) -> None:
        self._link = Connection(uri)
        self._facts: HostFacts | None = None
        register_events(self._link)
        self._link.start()

    def facts(self) -> HostFacts:
        if self._facts is None:
            self._facts = self._link.call("read the host's facts", _read_facts, timeout_s=PROBE_TIMEOUT_S)
        return self._facts

    def subscribe(self, listener: EventListener) -> None:
        self._link.subscribe(listener)

    def is_connected(self) -> bool:
        return self._link.is_connected()

    def close(self) -> None:
        self._link.close()


def _read_facts(connection: libvirt.virConnect) -> HostFacts:
    began = time.monotonic()
    capabilities = ElementTree.fromstring(connection.getCapabilities())
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
