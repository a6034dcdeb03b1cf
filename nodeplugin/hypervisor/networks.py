"""Networks and pools, by libvirt."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import libvirt

from nodeplugin.hypervisor.connection import Connection
from nodeplugin.hypervisor.port import NetworkChange, NetworkCommand, NetworkRecord, NetworkSection, PoolRecord

NETWORK_TIMEOUT_S = 30.0
"""Starting a network starts dnsmasq and loads firewall rules."""

_COMMANDS = {
    NetworkCommand.ADD: libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST,
    NetworkCommand.MODIFY: libvirt.VIR_NETWORK_UPDATE_COMMAND_MODIFY,
    NetworkCommand.DELETE: libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE,
}
_SECTIONS = {
    NetworkSection.DHCP_HOST: libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST,
    NetworkSection.DHCP_RANGE: libvirt.VIR_NETWORK_SECTION_IP_DHCP_RANGE,
}
_POOL_PATH = re.compile(r"<target>.*?<path>([^<]*)</path>", re.DOTALL)


class LibvirtNetworks:
    """Implements `nodeplugin.hypervisor.port.Networks`."""

    _link: Connection

    def _on_network(self, action: str, uuid: str, work: Any) -> Any:
        return self._link.call(
            f"{action} network {uuid}",
            lambda connection: work(connection.networkLookupByUUIDString(uuid)),
            timeout_s=NETWORK_TIMEOUT_S,
        )

    def list_networks(self) -> list[NetworkRecord]:
        def work(connection: libvirt.virConnect) -> list[NetworkRecord]:
            found = []
            for network in connection.listAllNetworks():
                with contextlib.suppress(libvirt.libvirtError):  # gone between the two calls
                    found.append(_network(network))
            return found

        return self._link.call("list networks", work)

    def define_network(self, xml: str) -> None:
        flags = libvirt.VIR_NETWORK_DEFINE_VALIDATE
        self._link.call("define network", lambda connection: connection.networkDefineXMLFlags(xml, flags))

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
        # libvirt-python passes command and section the way round that the daemon reads them.
        self._on_network(
            "update", uuid, lambda network: network.update(command, section, change.subnet_index, change.xml, flags)
        )

    def live_network_xml(self, uuid: str) -> str:
        text: str = self._on_network("read", uuid, lambda network: network.XMLDesc(0))
        return text


def _network(network: libvirt.virNetwork) -> NetworkRecord:
    try:
        bridge = network.bridgeName()
    except libvirt.libvirtError:
        bridge = ""
    return NetworkRecord(
        uuid=network.UUIDString(),
        name=network.name(),
        is_active=bool(network.isActive()),
        is_autostarted=bool(network.autostart()),
        bridge=bridge,
        xml=network.XMLDesc(libvirt.VIR_NETWORK_XML_INACTIVE),
    )


class LibvirtPools:
    """Implements `nodeplugin.hypervisor.port.Pools`."""

    _link: Connection

    def _on_pool(self, action: str, uuid: str, work: Any) -> Any:
        return self._link.call(
            f"{action} pool {uuid}",
            lambda connection: work(connection.storagePoolLookupByUUIDString(uuid)),
            timeout_s=NETWORK_TIMEOUT_S,
        )

    def list_pools(self) -> list[PoolRecord]:
        def work(connection: libvirt.virConnect) -> list[PoolRecord]:
            found = []
            for pool in connection.listAllStoragePools():
                with contextlib.suppress(libvirt.libvirtError):
                    found.append(_pool(pool))
            return found

        return self._link.call("list pools", work)

    def define_pool(self, xml: str) -> None:
        self._link.call("define pool", lambda connection: connection.storagePoolDefineXML(xml, 0))

    def start_pool(self, uuid: str) -> None:
        def work(pool: libvirt.virStoragePool) -> None:
            with contextlib.suppress(libvirt.libvirtError):  # the directory exists already
                pool.build(0)
            pool.create(0)

        self._on_pool("start", uuid, work)

    def stop_pool(self, uuid: str) -> None:
        self._on_pool("stop", uuid, lambda pool: pool.destroy())

    def undefine_pool(self, uuid: str) -> None:
        self._on_pool("undefine", uuid, lambda pool: pool.undefine())

    def autostart_pool(self, uuid: str, *, enabled: bool) -> None:
        self._on_pool("autostart", uuid, lambda pool: pool.setAutostart(int(enabled)))

    def refresh_pool(self, uuid: str) -> None:
        self._on_pool("refresh", uuid, lambda pool: pool.refresh(0))


def _pool(pool: libvirt.virStoragePool) -> PoolRecord:
    xml = pool.XMLDesc(0)
    _, capacity, _, available = pool.info()
    match = _POOL_PATH.search(xml)
    return PoolRecord(
        uuid=pool.UUIDString(),
        name=pool.name(),
        is_active=bool(pool.isActive()),
        is_autostarted=bool(pool.autostart()),
        path=match.group(1) if match else "",
        capacity_bytes=capacity,
        available_bytes=available,
        xml=xml,
    )
