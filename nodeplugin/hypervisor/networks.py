"""Networks, by libvirt."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import libvirt

from nodeplugin.hypervisor.access import LibvirtAccess
from nodeplugin.hypervisor.calls import Lane, LaneKind
from nodeplugin.hypervisor.domains import definition_uuid
from nodeplugin.hypervisor.port import NetworkChange, NetworkCommand, NetworkRecord, NetworkSection

T = TypeVar("T")
Item = TypeVar("Item")

_COMMANDS = {
    NetworkCommand.ADD: libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST,
    NetworkCommand.MODIFY: libvirt.VIR_NETWORK_UPDATE_COMMAND_MODIFY,
    NetworkCommand.DELETE: libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE,
}
_SECTIONS = {
    NetworkSection.DHCP_HOST: libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST,
    NetworkSection.DHCP_RANGE: libvirt.VIR_NETWORK_SECTION_IP_DHCP_RANGE,
    NetworkSection.DNS_HOST: libvirt.VIR_NETWORK_SECTION_DNS_HOST,
    NetworkSection.DNS_TXT: libvirt.VIR_NETWORK_SECTION_DNS_TXT,
    NetworkSection.DNS_SRV: libvirt.VIR_NETWORK_SECTION_DNS_SRV,
}


class LibvirtNetworks(LibvirtAccess):
    """Implements `nodeplugin.hypervisor.port.Networks`."""

    def _on_network(self, action: str, uuid: str, work: Callable[[libvirt.virNetwork], T]) -> T:
        return self._link.call(
            f"{action} network {uuid}",
            lambda connection: work(connection.networkLookupByUUIDString(uuid)),
            Lane(LaneKind.HOST, uuid),
            timeout_s=self._options.host_timeout_s,
        )

    def list_networks(self) -> list[NetworkRecord]:
        def work(connection: libvirt.virConnect) -> list[NetworkRecord]:
            return present(connection.listAllNetworks(), _read_network, libvirt.VIR_ERR_NO_NETWORK)

        return self._link.call("list networks", work, Lane(LaneKind.READ, "networks"))

    def define_network(self, xml: str) -> None:
        uuid = definition_uuid(xml)
        flags = libvirt.VIR_NETWORK_DEFINE_VALIDATE
        action, lane = f"define network {uuid}", Lane(LaneKind.HOST, uuid)
        self._link.call(action, lambda connection: connection.networkDefineXMLFlags(xml, flags), lane)

    def start_network(self, uuid: str) -> None:
        self._on_network("start", uuid, lambda network: network.create())

    def stop_network(self, uuid: str) -> None:
        self._on_network("stop", uuid, lambda network: network.destroy())

    def undefine_network(self, uuid: str) -> None:
        self._on_network("undefine", uuid, lambda network: network.undefine())

    def autostart_network(self, uuid: str) -> None:
        self._on_network("autostart", uuid, lambda network: network.setAutostart(1))

    def update_network(self, uuid: str, change: NetworkChange) -> None:
        flags = libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE | libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG
        command, section = _COMMANDS[change.command], _SECTIONS[change.section]
        self._on_network(
            "update", uuid, lambda network: network.update(command, section, change.subnet_index, change.xml, flags)
        )

    def live_network_xml(self, uuid: str) -> str:
        text: str = self._on_network("read", uuid, lambda network: network.XMLDesc(0))
        return text

    def has_network_port(self, uuid: str, port_id: str) -> bool:
        def work(network: libvirt.virNetwork) -> bool:
            try:
                network.portLookupByUUIDString(port_id)
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_NO_NETWORK_PORT:
                    raise
                return False
            return True

        return self._on_network("look up a port of", uuid, work)

    def list_filters(self) -> frozenset[str]:
        def work(connection: libvirt.virConnect) -> frozenset[str]:
            return frozenset(connection.listNWFilters())

        return self._link.call("list network filters", work, Lane(LaneKind.READ, "filters"))

    def define_filter(self, xml: str) -> None:
        lane = Lane(LaneKind.HOST, "filters")
        self._link.call("define a network filter", lambda connection: connection.nwfilterDefineXML(xml), lane)


def present(items: Iterable[Item], read: Callable[[Item], T], gone: int) -> list[T]:
    """Read each; one that vanished since it was listed (libvirt says `gone`) is left out. Any other error is raised: a list that
    lacks what could not be read would say that it is not there."""
    found = []
    for item in items:
        try:
            found.append(read(item))
        except libvirt.libvirtError as error:
            if error.get_error_code() != gone:
                raise
    return found


def _read_network(network: libvirt.virNetwork) -> NetworkRecord:
    try:
        bridge = network.bridgeName()
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_NETWORK:
            raise
        bridge = ""  # this kind of network has none
    return NetworkRecord(
        uuid=network.UUIDString(),
        name=network.name(),
        is_active=bool(network.isActive()),
        is_autostarted=bool(network.isPersistent() and network.autostart()),
        bridge=bridge,
        xml=network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE),
    )
