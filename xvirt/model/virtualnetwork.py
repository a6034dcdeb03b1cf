"""VirtualNetwork: a libvirt network, or a bridge of the host that others made."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
from typing import ClassVar

from xvirt.model.fields import Format, Mutability, Rule, Tree, field
from xvirt.model.meta import Condition, HostState, LastError, host_states

LIVE, RESTART, FIXED = Mutability.LIVE, Mutability.RESTART, Mutability.FIXED


class NetworkMode(enum.Enum):
    """How guests reach the world."""

    NAT = "Nat"
    ROUTED = "Routed"
    ISOLATED = "Isolated"
    BRIDGE = "Bridge"


class AntiSpoofing(enum.Enum):
    """Whether guests are held to their own addresses."""

    ON = "On"
    OFF = "Off"


class NetworkUpdatePolicy(enum.Enum):
    """What happens to a change that libvirt cannot make to a running network."""

    STAGE = "Stage"
    RESTART = "Restart"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DhcpRange:
    """Addresses that DHCP hands out, both ends included."""

    start: str = field("First address.", LIVE, format=Format.IP)
    end: str = field("Last address.", LIVE, format=Format.IP)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DhcpHost:
    """One fixed lease."""

    mac: str = field("MAC address.", LIVE, format=Format.MAC)
    ip: str = field("Address that it gets.", LIVE, format=Format.IP)
    name: str | None = field("Host name that it gets.", LIVE, default=None, format=Format.DOMAIN_NAME)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dhcp:
    """DHCP service of a network."""

    ranges: tuple[DhcpRange, ...] = field("Ranges to hand out.", LIVE, default=(), max_items=16)
    hosts: tuple[DhcpHost, ...] = field("Fixed leases.", LIVE, default=(), list_key="mac", max_items=1024)


class Transport(enum.Enum):
    """Protocol of a DNS service record."""

    TCP = "tcp"
    UDP = "udp"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DnsHost:
    """Names of one address; a name with several addresses stands in several entries."""

    ip: str = field("The address.", LIVE, format=Format.IP)
    hostnames: tuple[str, ...] = field("Its names.", LIVE, format=Format.DOMAIN_NAME, min_items=1, max_items=64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DnsText:
    """One TXT record."""

    name: str = field("Name of the record.", LIVE, format=Format.DOMAIN_NAME)
    value: str = field("Its text.", LIVE, format=Format.DNS_TEXT, max_length=255)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DnsService:
    """One SRV record."""

    service: str = field("Service such as `ldap`, without underscore.", LIVE, format=Format.LABEL, max_length=63)
    protocol: Transport = field("Its protocol.", LIVE, default=Transport.TCP)
    domain: str | None = field("Domain; absent: the network's.", LIVE, default=None, format=Format.DOMAIN_NAME)
    target: str = field("Host that serves it.", LIVE, format=Format.DOMAIN_NAME)
    port: int = field("Port there.", LIVE, minimum=1, maximum=65535)
    priority: int = field("Lower ones are tried first.", LIVE, default=0, minimum=0, maximum=65535)
    weight: int = field("Share among those of one priority.", LIVE, default=0, minimum=0, maximum=65535)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DnsForwarder:
    """A server that is asked what this one does not know."""

    address: str = field("Its address.", RESTART, format=Format.IP)
    domain: str | None = field(
        "Only names below this domain are asked of it.", RESTART, default=None, format=Format.DOMAIN_NAME
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dns:
    """What the network's DNS server knows; it serves on the host's addresses of the network."""

    hosts: tuple[DnsHost, ...] = field("Names of addresses.", LIVE, default=(), list_key="ip", max_items=1024)
    texts: tuple[DnsText, ...] = field("TXT records.", LIVE, default=(), list_key="name", max_items=256)
    services: tuple[DnsService, ...] = field("SRV records.", LIVE, default=(), max_items=256)
    forwarders: tuple[DnsForwarder, ...] = field(
        "Servers to ask instead of the host's own.", RESTART, default=(), max_items=16
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Route:
    """A network of addresses that the host reaches through a guest."""

    destination: str = field("Network with prefix length.", RESTART, format=Format.INTERFACE_CIDR)
    gateway: str = field("Address, within one of the subnets, of the guest that forwards.", RESTART, format=Format.IP)
    metric: int | None = field("Lower ones win; absent: 1.", RESTART, default=None, minimum=1, maximum=65535)


def _is_inside(subnet: Subnet) -> bool:
    network = ipaddress.ip_interface(subnet.address).network
    dhcp = subnet.dhcp
    if dhcp is None:
        return True
    ends = [end for item in dhcp.ranges for end in (item.start, item.end)]
    return all(ipaddress.ip_address(text) in network for text in [*ends, *(host.ip for host in dhcp.hosts)])


def _is_ordered(subnet: Subnet) -> bool:
    ranges = subnet.dhcp.ranges if subnet.dhcp else ()
    parsed = [(ipaddress.ip_address(item.start), ipaddress.ip_address(item.end)) for item in ranges]
    return all(start.version == end.version and int(start) <= int(end) for start, end in parsed)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subnet:
    """The host's address on the network, and DHCP."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            _is_inside,
            "!has(self.dhcp) || !isCIDR(self.address) || (!has(self.dhcp.ranges) || self.dhcp.ranges.all(r,"
            " (!isIP(r.start) || cidr(self.address).containsIP(r.start)) &&"
            " (!isIP(r.end) || cidr(self.address).containsIP(r.end)))) && (!has(self.dhcp.hosts) ||"
            " self.dhcp.hosts.all(h, !isIP(h.ip) || cidr(self.address).containsIP(h.ip)))",
            "every address of dhcp must lie in the subnet of address",
            "dhcp",
        ),
        Rule(_is_ordered, "true", "a range must start below its end", "dhcp.ranges"),
    )

    address: str = field("The host's address with prefix length.", RESTART, format=Format.INTERFACE_CIDR)
    dhcp: Dhcp | None = field("DHCP service; absent: none.", LIVE, default=None)


def _is_dhcp_single(spec: VirtualNetworkSpec) -> bool:
    versions = [ipaddress.ip_interface(item.address).version for item in spec.subnets if item.dhcp is not None]
    return len(versions) == len(set(versions))


def _are_gateways_inside(spec: VirtualNetworkSpec) -> bool:
    networks = [ipaddress.ip_interface(item.address).network for item in spec.subnets]
    return all(any(ipaddress.ip_address(route.gateway) in item for item in networks) for route in spec.routes)


def _has_one_family(spec: VirtualNetworkSpec) -> bool:
    pairs = [(ipaddress.ip_interface(item.destination), ipaddress.ip_address(item.gateway)) for item in spec.routes]
    return all(destination.version == gateway.version for destination, gateway in pairs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VirtualNetworkSpec:
    """A network that NICs are plugged into."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda spec: (spec.mode is NetworkMode.BRIDGE) == (spec.bridge is not None),
            "(self.mode == 'Bridge') == has(self.bridge)",
            "mode Bridge needs bridge, and only it may have one",
            "bridge",
        ),
        Rule(
            lambda spec: spec.mode is NetworkMode.BRIDGE or spec.vlan is None,
            "self.mode == 'Bridge' || !has(self.vlan)",
            "only mode Bridge has a VLAN; remove vlan",
            "vlan",
        ),
        Rule(
            lambda spec: spec.mode is not NetworkMode.BRIDGE or not spec.subnets,
            "self.mode != 'Bridge' || !has(self.subnets) || size(self.subnets) == 0",
            "mode Bridge leaves addresses to others; remove subnets",
            "subnets",
        ),
        Rule(
            lambda spec: spec.mode not in (NetworkMode.NAT, NetworkMode.ROUTED) or bool(spec.subnets),
            "!(self.mode in ['Nat', 'Routed']) || (has(self.subnets) && size(self.subnets) > 0)",
            "modes Nat and Routed need a subnet such as {address: 192.168.100.1/24}",
            "subnets",
        ),
        Rule(
            lambda spec: spec.mode is not NetworkMode.BRIDGE or spec.network is None,
            "self.mode != 'Bridge' || !has(self.network)",
            "a bridge of the host has no libvirt network; remove network",
            "network",
        ),
        Rule(
            _is_dhcp_single,
            "!has(self.subnets) || [4, 6].all(f, self.subnets.filter(s, has(s.dhcp) && isCIDR(s.address) &&"
            " cidr(s.address).ip().family() == f).size() <= 1)",
            "libvirt serves DHCP on one IPv4 and one IPv6 subnet of a network; remove dhcp from the others",
            "subnets",
        ),
        Rule(
            lambda spec: not spec.dns or bool(spec.subnets),
            "!has(self.dns) || (has(self.subnets) && size(self.subnets) > 0)",
            "DNS is served on the host's addresses of the network; add a subnet or remove dns",
            "dns",
        ),
        Rule(
            _are_gateways_inside,
            "!has(self.routes) || self.routes.all(r, !isIP(r.gateway) || has(self.subnets) && self.subnets.exists(s,"
            " !isCIDR(s.address) || cidr(s.address).containsIP(r.gateway)))",
            "every gateway must lie in one of the subnets",
            "routes",
        ),
        Rule(
            _has_one_family,
            "!has(self.routes) || self.routes.all(r, !isCIDR(r.destination) || !isIP(r.gateway) ||"
            " cidr(r.destination).ip().family() == ip(r.gateway).family())",
            "destination and gateway of a route must both be IPv4 or both be IPv6",
            "routes",
        ),
    )

    mode: NetworkMode = field("How guests reach the world.", FIXED, default=NetworkMode.NAT)
    bridge: str | None = field(
        "Existing bridge of the host.", FIXED, default=None, format=Format.DEVICE_NAME, max_length=15
    )
    vlan: int | None = field(
        "VLAN of the bridge that guests are in, whose frames they send and get without a tag; absent: the port's default. Needs a"
        " bridge with vlan_filtering and libvirt 11.0.",
        FIXED,
        default=None,
        minimum=1,
        maximum=4094,
    )
    subnets: tuple[Subnet, ...] = field(
        "Addresses of the host on it, with DHCP.", LIVE, default=(), list_key="address", max_items=8
    )
    dns: Dns | None = field("What the network's DNS server knows; absent: DHCP's names.", LIVE, default=None)
    routes: tuple[Route, ...] = field(
        "Networks behind guests, for the host's routing table.", RESTART, default=(), list_key="destination"
    )
    domain_name: str | None = field("DNS domain.", RESTART, default=None, format=Format.DOMAIN_NAME)
    mtu: int | None = field(
        "MTU; absent: the kernel's.", RESTART, default=None, unit="bytes", minimum=68, maximum=65535
    )
    anti_spoofing: AntiSpoofing | None = field(
        "Whether what a guest sends from another's MAC address, or from addresses that are not its own where those are known, is"
        " dropped; absent: On for mode Bridge, Off for others.",
        LIVE,
        default=None,
    )
    update_policy: NetworkUpdatePolicy = field(
        "Stage waits until no running machine uses the network; Restart restarts it at once and plugs the machines in again, which"
        " lose packets for a moment. While a domain that is not xVirt's uses it, Restart waits, too.",
        LIVE,
        default=NetworkUpdatePolicy.STAGE,
    )
    network: Tree | None = field(
        "Everything else that libvirt can do with a network: a tree laid over the generated network XML, strings only.",
        RESTART,
        default=None,
    )


def is_guarded(spec: VirtualNetworkSpec) -> bool:
    """Whether cards on the network get a filter."""
    if spec.anti_spoofing is None:
        return spec.mode is NetworkMode.BRIDGE
    return spec.anti_spoofing is AntiSpoofing.ON


def fixed_leases(spec: VirtualNetworkSpec) -> dict[str, tuple[str, ...]]:
    """Addresses of the DHCP host entries, by MAC in lower case."""
    found: dict[str, tuple[str, ...]] = {}
    for host in (host for subnet in spec.subnets if subnet.dhcp for host in subnet.dhcp.hosts):
        found[host.mac.lower()] = (*found.get(host.mac.lower(), ()), host.ip)
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class VirtualNetworkStatus:
    """A network as it is."""

    observed_generation: int = field("Generation that this status is of; -1: none yet.", LIVE, default=-1)
    printable_status: str = field("One word for a table.", LIVE, default="Pending")
    uuid: str | None = field("libvirt's UUID of the network.", LIVE, default=None, format=Format.UUID)
    network_name: str = field("libvirt's name of the network.", LIVE, default="")
    bridge: str = field("Bridge device on the host.", LIVE, default="")
    restart_required: tuple[str, ...] = field("Fields that wait until no guest uses the network.", LIVE, default=())
    hosts: tuple[HostState, ...] = host_states()
    last_error: LastError | None = field("What went wrong last.", LIVE, default=None)
    conditions: tuple[Condition, ...] = field("Conditions.", LIVE, default=(), list_key="type")
