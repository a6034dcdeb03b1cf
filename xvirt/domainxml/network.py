"""A VirtualNetwork as libvirt's network XML (https://libvirt.org/formatnetwork.html), and what of a change can be done in place."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Callable, Mapping

from lxml import etree

from xvirt.domainxml.dns import forwarders_of, host_changes, record_changes, render_dns
from xvirt.domainxml.elements import attribute, child, text_of
from xvirt.domainxml.mark import OwnershipMark, read_mark, write_mark
from xvirt.domainxml.overlay import lay_over
from xvirt.domainxml.owned import owned_of_network
from xvirt.domainxml.tree import to_text
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.identity import bridge_name, host_name, mac_address
from xvirt.model.meta import Resource
from xvirt.model.virtualnetwork import Dhcp, NetworkMode, Route, Subnet, VirtualNetworkSpec

_FORWARD = {NetworkMode.NAT: "nat", NetworkMode.ROUTED: "route"}
NO_SUBNET = -1
_RECORD_SECTIONS = {"txt": "dns-txt", "srv": "dns-srv"}
HOST_SECTION = "ip-dhcp-host"
RANGE_SECTION = "ip-dhcp-range"


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkUpdate:
    """One virNetworkUpdate: `command` is add, modify or delete; `subnet_index` counts `<ip>` elements of the running network
    (-1: none)."""

    command: str
    section: str
    subnet_index: int
    xml: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkDifference:
    """What leads from a running network to the wanted one: updates in order, and fields that need it to be restarted."""

    updates: tuple[NetworkUpdate, ...] = ()
    restart_paths: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkFacts:
    """What a network's XML says. `forward_mode` is empty for an isolated one."""

    uuid: str
    name: str
    bridge: str
    forward_mode: str
    mark: OwnershipMark | None


def read_network(root: etree._Element) -> NetworkFacts:
    """Facts of a network; never fails."""
    forward = root.find("forward")
    return NetworkFacts(
        uuid=text_of(root, "uuid").lower(),
        name=root.findtext("name") or "",
        bridge=attribute(root, "bridge", "name"),
        forward_mode=forward.get("mode", "nat") if forward is not None else "",
        mark=read_mark(root),
    )


def render_network(network: Resource, uuid: str, mark: OwnershipMark | None) -> etree._Element:
    """The network's definition.

    libvirt 9.0 keeps a network's `<metadata>` with its definition (only the API that changes it alone came with 9.7), so a `mark` is
    written where one is given; without one, ownership is the network's UUID, which is the object's uid, and its name.
    Raises InvalidSpec for mode Bridge, which has no libvirt network, for a fixed IPv6 lease, which libvirt ties to no MAC, and where
    `spec.network` contradicts another field.
    """
    spec: VirtualNetworkSpec = network.spec
    if spec.mode is NetworkMode.BRIDGE:
        raise _invalid(network, "spec.mode", "a bridge of the host is used as it is and has no libvirt network", "")
    root = etree.Element("network")
    child(root, "name", text=host_name(network.metadata.namespace, network.metadata.name))
    child(root, "uuid", text=uuid)
    if mark is not None:
        write_mark(root, mark)
    _add_forward(root, spec)
    child(root, "bridge", {"name": bridge_name(uuid), "stp": "off", "delay": "0"})
    if spec.mtu is not None:
        child(root, "mtu", {"size": str(spec.mtu)})
    child(root, "mac", {"address": mac_address(uuid, "bridge")})
    if spec.domain_name is not None:
        child(root, "domain", {"name": spec.domain_name})
    if spec.dns is not None:
        root.append(render_dns(spec.dns))
    for index, subnet in enumerate(spec.subnets):
        _add_subnet(root, network, subnet, f"spec.subnets[{index}]")
    for route in spec.routes:
        _add_route(root, route)
    if spec.network is not None:
        lay_over(root, spec.network, "spec.network", owned_of_network(root))
    return root


def bridged_network(network: Resource) -> etree._Element:
    """The network that libvirt would have for a bridge of the host, which machines use without one: for whoever judges it."""
    spec: VirtualNetworkSpec = network.spec
    root = etree.Element("network")
    child(root, "name", text=host_name(network.metadata.namespace, network.metadata.name))
    child(root, "forward", {"mode": "bridge"})
    child(root, "bridge", {"name": spec.bridge})
    if spec.vlan is not None:
        child(child(root, "vlan"), "tag", {"id": str(spec.vlan)})
    return root


def _add_forward(root: etree._Element, spec: VirtualNetworkSpec) -> None:
    if spec.mode not in _FORWARD:
        return
    forward = child(root, "forward", {"mode": _FORWARD[spec.mode]})
    has_ipv6 = any(ipaddress.ip_interface(subnet.address).version == 6 for subnet in spec.subnets)
    if spec.mode is NetworkMode.NAT and has_ipv6:
        child(forward, "nat", {"ipv6": "yes"})


def _add_subnet(root: etree._Element, network: Resource, subnet: Subnet, path: str) -> None:
    interface = ipaddress.ip_interface(subnet.address)
    family = "ipv6" if interface.version == 6 else "ipv4"
    prefix = str(interface.network.prefixlen)
    element = child(root, "ip", {"family": family, "address": str(interface.ip), "prefix": prefix})
    if subnet.dhcp is None:
        return
    if subnet.dhcp.hosts and interface.version == 6:
        message = "libvirt gives no fixed IPv6 address by MAC"
        raise _invalid(network, f"{path}.dhcp.hosts", message, "remove it or use an IPv4 subnet")
    _add_dhcp(element, subnet.dhcp)


def _add_route(root: etree._Element, route: Route) -> None:
    destination = ipaddress.ip_interface(route.destination)
    attributes = {
        "family": "ipv6" if destination.version == 6 else "ipv4",
        "address": str(destination.network.network_address),
        "prefix": str(destination.network.prefixlen),
        "gateway": route.gateway,
        "metric": str(route.metric) if route.metric is not None else None,
    }
    child(root, "route", attributes)


def _add_dhcp(element: etree._Element, declared: Dhcp) -> None:
    dhcp = child(element, "dhcp")
    for item in declared.ranges:
        child(dhcp, "range", {"start": item.start, "end": item.end})
    for host in declared.hosts:
        child(dhcp, "host", {"mac": host.mac, "name": host.name, "ip": host.ip})


def _invalid(network: Resource, path: str, message: str, remedy: str) -> InvalidSpec:
    return InvalidSpec([Problem(path, message, remedy)], network.key)


# what changed


def network_changes(live_root: etree._Element, wanted_root: etree._Element) -> NetworkDifference:
    """From a running network to the wanted one. What libvirt adds by itself is no change."""
    paths = tuple(path for path, read in _SETTINGS.items() if read(live_root) != read(wanted_root))
    if "spec.subnets" in paths:
        return NetworkDifference(restart_paths=paths)
    live = {_subnet_key(item): (index, item) for index, item in enumerate(live_root.iterfind("ip"))}
    updates = _dns_updates(live_root, wanted_root)
    for wanted in wanted_root.iterfind("ip"):
        index, found = live[_subnet_key(wanted)]
        updates += _range_updates(found, wanted, index)
        updates += _host_updates(found, wanted, index)
    order = ("delete", "modify", "add")
    updates.sort(key=lambda update: order.index(update.command))
    return NetworkDifference(updates=tuple(updates), restart_paths=paths)


def _dns_updates(live: etree._Element, wanted: etree._Element) -> list[NetworkUpdate]:
    updates = [_update(command, "dns-host", NO_SUBNET, item) for command, item in host_changes(live, wanted)]
    for tag, section in _RECORD_SECTIONS.items():
        updates += [_update(command, section, NO_SUBNET, item) for command, item in record_changes(live, wanted, tag)]
    return updates


def _subnet_key(element: etree._Element) -> str:
    """Address with prefix, whether written as prefix or as netmask (libvirt's own default files)."""
    suffix = element.get("prefix") or element.get("netmask") or ""
    text = f"{element.get('address', '')}/{suffix}" if suffix else element.get("address", "")
    try:
        return str(ipaddress.ip_interface(text))
    except ValueError:
        return text


def _route_key(element: etree._Element) -> tuple[str, str, str]:
    return _subnet_key(element), element.get("gateway", ""), element.get("metric", "")


def _forward_key(root: etree._Element) -> tuple[str, str]:
    return read_network(root).forward_mode, attribute(root, "forward/nat", "ipv6")


_SETTINGS: dict[str, Callable[[etree._Element], object]] = {
    "spec.mode": _forward_key,
    "spec.bridge": lambda root: attribute(root, "bridge", "name"),
    "spec.mtu": lambda root: attribute(root, "mtu", "size"),
    "spec.domainName": lambda root: attribute(root, "domain", "name"),
    "spec.dns.forwarders": forwarders_of,
    "spec.routes": lambda root: sorted(_route_key(item) for item in root.iterfind("route")),
    "spec.subnets": lambda root: sorted(_subnet_key(item) for item in root.iterfind("ip")),
    "spec.network": lambda root: _overlay_of(root),
}


def _overlay_of(root: etree._Element) -> object:
    """What the document in the network's mark lays over it: libvirt adds too much of its own for the XML to tell."""
    mark = read_mark(root)
    spec = mark.document.get("spec") if mark is not None and mark.document is not None else None
    return spec.get("network") if isinstance(spec, Mapping) else None


def _range_updates(live: etree._Element, wanted: etree._Element, index: int) -> list[NetworkUpdate]:
    """libvirt cannot modify a range, only add and delete one."""
    before = {_range_key(item): item for item in live.iterfind("dhcp/range")}
    after = {_range_key(item): item for item in wanted.iterfind("dhcp/range")}
    gone = [_update("delete", RANGE_SECTION, index, item) for key, item in before.items() if key not in after]
    new = [_update("add", RANGE_SECTION, index, item) for key, item in after.items() if key not in before]
    return gone + new


def _range_key(element: etree._Element) -> tuple[str, ...]:
    ends = (element.get("start", ""), element.get("end", ""))
    try:
        return tuple(str(ipaddress.ip_address(end)) for end in ends)
    except ValueError:
        return ends


def _host_updates(live: etree._Element, wanted: etree._Element, index: int) -> list[NetworkUpdate]:
    before = {item.get("mac", "").lower(): item for item in live.iterfind("dhcp/host")}
    after = {item.get("mac", "").lower(): item for item in wanted.iterfind("dhcp/host")}
    updates = [_update("delete", HOST_SECTION, index, item) for mac, item in before.items() if mac not in after]
    for mac, item in after.items():
        if mac not in before:
            updates.append(_update("add", HOST_SECTION, index, item))
        elif (item.get("ip"), item.get("name")) != (before[mac].get("ip"), before[mac].get("name")):
            updates.append(_update("modify", HOST_SECTION, index, item))
    return updates


def _update(command: str, section: str, index: int, element: etree._Element) -> NetworkUpdate:
    return NetworkUpdate(command=command, section=section, subnet_index=index, xml=to_text(element).strip())
