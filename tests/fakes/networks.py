"""Networks and pools in memory."""

from __future__ import annotations

import copy

from lxml import etree

from nodeplugin.hypervisor.port import (
    EventKind,
    NetworkChange,
    NetworkCommand,
    NetworkRecord,
    NetworkSection,
    PoolRecord,
)
from tests.fakes import domain as xml_work
from tests.fakes.base import FakeBase, FakeThing
from tests.fakes.faults import mutating, reading
from xvirt.model.errors import Conflict, NotFound, Refused, Unsupported

POOL_CAPACITY_BYTES = 1 << 40


def _refused(kind: str, uuid: str, message: str) -> Refused:
    return Refused(f"{kind} {uuid}: libvirt says: {message}", reason="LibvirtRefused")


def _get(things: dict[str, FakeThing], kind: str, uuid: str) -> FakeThing:
    if uuid not in things:
        raise NotFound(f"{kind} {uuid}: libvirt says: no {kind} with matching uuid '{uuid}'")
    return things[uuid]


def _define(things: dict[str, FakeThing], kind: str, xml: str) -> FakeThing:
    root = xml_work.parse(xml, kind, f"define {kind}")
    uuid, name = (root.findtext("uuid") or "").strip().lower(), root.findtext("name") or ""
    if not name or "/" in name:
        raise xml_work.invalid(f"define {kind} {uuid}", f"name {name!r} is not allowed")
    for other in things.values():
        if (other.name == name) != (other.uuid == uuid):
            message = f"define {kind} {uuid}: libvirt says: {kind} '{other.name}' already exists with uuid {other.uuid}"
            raise Conflict(message, reason="NameTaken")
    known = things.get(uuid)
    if known is None:
        known = things[uuid] = FakeThing(uuid, name, root)
    known.config, known.is_persistent = root, True
    return known


class FakeNetworks(FakeBase):
    """Implements `nodeplugin.hypervisor.port.Networks`."""

    @reading
    def list_networks(self) -> list[NetworkRecord]:
        return [
            NetworkRecord(
                uuid=network.uuid,
                name=network.name,
                is_active=network.is_active,
                is_autostarted=network.is_autostarted,
                bridge=str(network.config.xpath("string(bridge/@name)")),
                xml=xml_work.to_text(network.config),
            )
            for network in self._networks.values()
        ]

    @mutating
    def define_network(self, xml: str) -> None:
        network = _define(self._networks, "network", xml)
        self.tell(EventKind.NETWORK, network.uuid, "0/0")

    @mutating
    def start_network(self, uuid: str) -> None:
        network = _get(self._networks, "network", uuid)
        if network.is_active:
            raise _refused("network", uuid, "network is already active")
        network.live = copy.deepcopy(network.config)
        self.tell(EventKind.NETWORK, uuid, "2/0")

    @mutating
    def stop_network(self, uuid: str) -> None:
        network = _get(self._networks, "network", uuid)
        if not network.is_active:
            raise _refused("network", uuid, "network is not active")
        network.live = None
        self._ports.pop(uuid, None)
        if not network.is_persistent:
            del self._networks[uuid]
        self.tell(EventKind.NETWORK, uuid, "3/0")

    @mutating
    def undefine_network(self, uuid: str) -> None:
        network = _get(self._networks, "network", uuid)
        network.is_persistent = network.is_autostarted = False
        if not network.is_active:
            del self._networks[uuid]
        self.tell(EventKind.NETWORK, uuid, "1/0")

    @mutating
    def autostart_network(self, uuid: str) -> None:
        _get(self._networks, "network", uuid).is_autostarted = True

    @mutating
    def update_network(self, uuid: str, change: NetworkChange) -> None:
        network = _get(self._networks, "network", uuid)
        if network.live is None:
            raise _refused("network", uuid, "network is not running")
        for root in (network.live, network.config):
            _apply_change(root, change, uuid)

    @reading
    def live_network_xml(self, uuid: str) -> str:
        network = _get(self._networks, "network", uuid)
        return xml_work.to_text(network.config if network.live is None else network.live)

    @reading
    def has_network_port(self, uuid: str, port_id: str) -> bool:
        _get(self._networks, "network", uuid)
        return port_id in self._ports.get(uuid, ())

    @reading
    def list_filters(self) -> frozenset[str]:
        return frozenset(self._filters)

    @mutating
    def define_filter(self, xml: str) -> None:
        root = xml_work.parse(xml, "filter", "define network filter")
        self._filters[root.get("name", "")] = root

    def _restart_networks(self) -> None:
        for network in self._networks.values():
            network.live = copy.deepcopy(network.config) if network.is_autostarted else None


def _apply_change(root: etree._Element, change: NetworkChange, uuid: str) -> None:
    if change.section.value.startswith("dns-"):
        _apply_dns_change(root, change, uuid)
        return
    subnets = root.findall("ip")
    if change.subnet_index >= len(subnets):
        raise _refused("network", uuid, f"couldn't find an <ip> with index {change.subnet_index}")
    dhcp = subnets[change.subnet_index].find("dhcp")
    if dhcp is None:
        dhcp = etree.SubElement(subnets[change.subnet_index], "dhcp")
    wanted = etree.fromstring(change.xml)
    keys = ("mac", "name") if change.section is NetworkSection.DHCP_HOST else ("start", "end")
    same = [item for item in dhcp.iterfind(str(wanted.tag)) if _is_same(item, wanted, keys)]
    if change.command is NetworkCommand.ADD and same:
        raise _refused("network", uuid, "there is an existing dhcp host entry that matches")
    if change.command is not NetworkCommand.ADD and not same:
        raise _refused("network", uuid, "couldn't locate a matching dhcp entry")
    for item in same:
        dhcp.remove(item)
    if change.command is not NetworkCommand.DELETE:
        dhcp.append(wanted)


def _apply_dns_change(root: etree._Element, change: NetworkChange, uuid: str) -> None:
    dns = root.find("dns")
    if dns is None:
        dns = etree.SubElement(root, "dns")
    wanted = etree.fromstring(change.xml)
    same = [item for item in dns.iterfind(str(wanted.tag)) if _is_same_record(item, wanted, change.command)]
    if change.command is NetworkCommand.MODIFY:
        raise Unsupported(f"network {uuid}: libvirt says: DNS records cannot be modified, only added or deleted")
    if change.command is NetworkCommand.ADD and same:
        raise _refused("network", uuid, "there is already at least one DNS record with a matching field")
    if change.command is NetworkCommand.DELETE and len(same) != 1:
        raise _refused("network", uuid, f"{len(same)} matching DNS records were found")
    for item in same:
        dns.remove(item)
    if change.command is NetworkCommand.ADD:
        dns.append(wanted)


def _is_same_record(item: etree._Element, wanted: etree._Element, command: NetworkCommand) -> bool:
    if wanted.tag == "host":
        names = {name.text for name in item.iterfind("hostname")} if command is NetworkCommand.DELETE else set()
        return item.get("ip") == wanted.get("ip") or any(name.text in names for name in wanted.iterfind("hostname"))
    keys = ("name",) if wanted.tag == "txt" else ("service", "protocol", "domain", "target", "port")
    return all(item.get(key) == wanted.get(key) for key in keys)


def _is_same(item: etree._Element, wanted: etree._Element, keys: tuple[str, ...]) -> bool:
    return all(item.get(key) == wanted.get(key) for key in keys if wanted.get(key) is not None)


class FakePools(FakeBase):
    """Implements `nodeplugin.hypervisor.port.Pools`."""

    @reading
    def list_pools(self) -> list[PoolRecord]:
        return [self._pool_record(pool) for pool in self._pools.values()]

    def _pool_record(self, pool: FakeThing) -> PoolRecord:
        path = pool.config.findtext("target/path") or ""
        used = self._volumes.used_bytes(path) if self._volumes is not None else 0
        return PoolRecord(
            uuid=pool.uuid,
            name=pool.name,
            is_active=pool.is_active,
            is_autostarted=pool.is_autostarted,
            path=path,
            type=pool.config.get("type", ""),
            capacity_bytes=POOL_CAPACITY_BYTES if pool.is_active else 0,
            available_bytes=POOL_CAPACITY_BYTES - used if pool.is_active else 0,
            xml=xml_work.to_text(pool.config),
        )

    @mutating
    def define_pool(self, xml: str) -> None:
        pool = _define(self._pools, "pool", xml)
        self.tell(EventKind.POOL, pool.uuid, "0/0")

    @mutating
    def start_pool(self, uuid: str) -> None:
        pool = _get(self._pools, "pool", uuid)
        if pool.is_active:
            raise _refused("pool", uuid, "storage pool is already active")
        pool.live = copy.deepcopy(pool.config)
        self.tell(EventKind.POOL, uuid, "2/0")

    @mutating
    def stop_pool(self, uuid: str) -> None:
        pool = _get(self._pools, "pool", uuid)
        if not pool.is_active:
            raise _refused("pool", uuid, "storage pool is not active")
        pool.live = None
        self.tell(EventKind.POOL, uuid, "3/0")

    @mutating
    def undefine_pool(self, uuid: str) -> None:
        pool = _get(self._pools, "pool", uuid)
        if pool.is_active:
            raise _refused("pool", uuid, "storage pool is still active")
        del self._pools[uuid]
        self.tell(EventKind.POOL, uuid, "1/0")

    @mutating
    def autostart_pool(self, uuid: str, *, enabled: bool) -> None:
        _get(self._pools, "pool", uuid).is_autostarted = enabled

    @mutating
    def refresh_pool(self, uuid: str) -> None:
        if not _get(self._pools, "pool", uuid).is_active:
            raise _refused("pool", uuid, "storage pool is not active")

    def _restart_pools(self) -> None:
        for pool in self._pools.values():
            pool.live = copy.deepcopy(pool.config) if pool.is_autostarted else None
