"""VirtualNetwork as libvirt network XML, and what of a change libvirt can take in place.

libvirt 9.0 keeps no metadata in networks; ownership is told by the UUID, which is the object's UID.
"""

from __future__ import annotations

import dataclasses
import ipaddress

from lxml import etree

from xvirt.domainxml.build import make, sub
from xvirt.domainxml.mark import OwnershipMark
from xvirt.domainxml.tree import to_text
from xvirt.model.identity import bridge_name, host_name
from xvirt.model.meta import Resource
from xvirt.model.virtualnetwork import NetworkMode, Subnet, VirtualNetworkSpec


def render_network(network: Resource, uuid: str, mark: OwnershipMark | None) -> etree._Element:
    """The network. STP and its delay are off: with libvirt's default a guest waits seconds for its first lease."""
    del mark  # no place for it before libvirt 9.7
    spec: VirtualNetworkSpec = network.spec
    if spec.mode is NetworkMode.BRIDGE:
        raise ValueError("a network of mode Bridge has no libvirt network")
    root = make("network")
    sub(root, "name", host_name(network.metadata.namespace, network.metadata.name))
    sub(root, "uuid", uuid)
    if spec.mode is NetworkMode.NAT:
        forward = sub(root, "forward", mode="nat")
        if any(ipaddress.ip_interface(item.address).version == 6 for item in spec.subnets):
            sub(forward, "nat", ipv6="yes")
    elif spec.mode is NetworkMode.ROUTED:
        sub(root, "forward", mode="route")
    sub(root, "bridge", name=bridge_name(uuid), stp="off", delay="0")
    if spec.mtu is not None:
        sub(root, "mtu", size=str(spec.mtu))
    if spec.domain_name is not None:
        sub(root, "domain", name=spec.domain_name, localOnly="yes")
    for subnet in spec.subnets:
        _render_subnet(root, subnet)
    return root


def _render_subnet(root: etree._Element, subnet: Subnet) -> None:
    interface = ipaddress.ip_interface(subnet.address)
    family = "ipv6" if interface.version == 6 else None
    element = sub(root, "ip", family=family, address=str(interface.ip), prefix=str(interface.network.prefixlen))
    if subnet.dhcp is None:
        return
    dhcp = sub(element, "dhcp")
    for item in subnet.dhcp.ranges:
        sub(dhcp, "range", start=item.start, end=item.end)
    for host in subnet.dhcp.hosts:
        mac = None if interface.version == 6 else host.mac
        sub(dhcp, "host", mac=mac, name=host.name, ip=host.ip)


@dataclasses.dataclass(frozen=True)
class NetworkUpdate:
    """One virNetworkUpdate: `command` add or delete, `section` ip-dhcp-host or ip-dhcp-range."""

    command: str
    section: str
    subnet_index: int
    xml: str


@dataclasses.dataclass(frozen=True)
class NetworkDifference:
    """What can be done in place, and the fields that need the network restarted."""

    updates: tuple[NetworkUpdate, ...] = ()
    restart_paths: tuple[str, ...] = ()


def network_changes(live: etree._Element, wanted: etree._Element) -> NetworkDifference:
    """From a network as dumped to a network as rendered."""
    restart = []
    if _get(live, "forward", "mode") != _get(wanted, "forward", "mode"):
        restart.append("spec.mode")
    if _get(live, "mtu", "size") != _get(wanted, "mtu", "size"):
        restart.append("spec.mtu")
    if _get(live, "domain", "name") != _get(wanted, "domain", "name"):
        restart.append("spec.domainName")
    old, new = live.findall("ip"), wanted.findall("ip")
    if [_subnet(item) for item in old] != [_subnet(item) for item in new] or any(
        (one.find("dhcp") is None) != (two.find("dhcp") is None) for one, two in zip(old, new, strict=True)
    ):
        restart.append("spec.subnets")
    if restart:
        return NetworkDifference(restart_paths=tuple(restart))
    updates = [
        update
        for index, (one, two) in enumerate(zip(old, new, strict=True))
        for section, tag in (("ip-dhcp-range", "range"), ("ip-dhcp-host", "host"))
        for update in _updates(one, two, index, (section, tag))
    ]
    return NetworkDifference(updates=tuple(updates))


def _get(root: etree._Element, path: str, name: str) -> str | None:
    element = root.find(path)
    return element.get(name) if element is not None else None


def _subnet(element: etree._Element) -> str:
    prefix = element.get("prefix") or element.get("netmask") or ""
    return str(ipaddress.ip_interface(f"{element.get('address')}/{prefix}" if prefix else element.get("address", "")))


def _updates(old: etree._Element, new: etree._Element, index: int, section: tuple[str, str]) -> list[NetworkUpdate]:
    name, tag = section
    before = {_key(item): item for item in old.iterfind(f"dhcp/{tag}")}
    after = {_key(item): item for item in new.iterfind(f"dhcp/{tag}")}
    gone = [NetworkUpdate("delete", name, index, to_text(item)) for key, item in before.items() if key not in after]
    come = [NetworkUpdate("add", name, index, to_text(item)) for key, item in after.items() if key not in before]
    return [*gone, *come]


def _key(element: etree._Element) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((str(name), str(value).lower()) for name, value in element.attrib.items()))
