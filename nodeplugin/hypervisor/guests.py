"""What the host knows of running domains, by libvirt: whether QEMU answers, leases, the agent's channel, statistics, console."""

from __future__ import annotations

import contextlib

import libvirt
from lxml import etree

from nodeplugin.hypervisor.access import LibvirtAccess
from nodeplugin.hypervisor.addresses import read_addresses
from nodeplugin.hypervisor.calls import Lane, LaneKind
from nodeplugin.hypervisor.console import LibvirtConsole, OpenConsole, open_console
from nodeplugin.hypervisor.port import ConsoleStream, InterfaceAddress, XmlView
from xvirt.model.errors import Refused, Unsupported, XvirtError

AGENT_CHANNEL = "org.qemu.guest_agent.0"


class LibvirtGuests(LibvirtAccess):
    """The rest of `nodeplugin.hypervisor.port.Domains`."""

    def ping_monitor(self, uuid: str) -> None:
        def work(domain: libvirt.virDomain) -> None:
            # query-balloon, by a call that has a name: a raw monitor command would taint the domain. Without a balloon libvirt asks
            # QEMU nothing, and query-blockstats is the next that it asks of every domain.
            if "actual" not in domain.memoryStats():
                domain.connect().domainListGetStats([domain], libvirt.VIR_DOMAIN_STATS_BLOCK, 0)

        self._on_domain("ask the monitor of", uuid, work, timeout_s=self._options.ping_timeout_s)

    def guest_addresses(self, uuid: str) -> list[InterfaceAddress]:
        found: dict[tuple[str, str], InterfaceAddress] = {}
        answers = [
            self._addresses_from(uuid, libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE, "lease"),
            self._addresses_from(uuid, libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP, "arp"),
        ]
        for answer in answers:
            for item in answer:
                found.setdefault((item.mac, item.address), item)
        return list(found.values())

    def _addresses_from(self, uuid: str, source: int, name: str) -> list[InterfaceAddress]:
        try:
            answer = self._on_domain(
                f"read addresses ({name}) of",
                uuid,
                lambda domain: domain.interfaceAddresses(source, 0),
                kind=LaneKind.READ,
            )
        except (Refused, Unsupported):  # not running, or this source knows nothing of such a NIC
            return []
        return read_addresses(answer, name)

    def is_agent_connected(self, uuid: str) -> bool:
        root = etree.fromstring(self.domain_xml(uuid, XmlView.CURRENT).encode())
        targets = root.iterfind("devices/channel/target")
        return any(item.get("name") == AGENT_CHANNEL and item.get("state") == "connected" for item in targets)

    def domain_stats(self, uuid: str) -> dict[str, object]:
        flags = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT

        def work(domain: libvirt.virDomain) -> dict[str, object]:
            rows = domain.connect().domainListGetStats([domain], 0, flags)
            return dict(rows[0][1]) if rows else {}

        return self._on_domain("read statistics of", uuid, work)

    def console_stream(self, uuid: str, *, force: bool) -> ConsoleStream:
        timeout_s = self._options.console_timeout_s

        def work(_: libvirt.virConnect) -> OpenConsole:
            return open_console(self._link.open_another(), uuid, force=force)

        def give_back(console: OpenConsole) -> None:
            with contextlib.suppress(XvirtError):
                # A lane of its own: a later console of the same domain must not wait for this one's end.
                own_lane = Lane(LaneKind.CONSOLE, f"{uuid} #{id(console)}")
                action = f"close console of domain {uuid}"
                self._link.call(action, lambda _: console.close(), own_lane, timeout_s=timeout_s)

        action, lane = f"open console of domain {uuid}", Lane(LaneKind.CONSOLE, uuid)
        console = self._link.call(action, work, lane, timeout_s=timeout_s, discard=OpenConsole.close)
        return LibvirtConsole(console.stream, lambda: give_back(console))
