"""VirtualNetwork: a libvirt network, or a bridge of the host that others made."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
from typing import ClassVar

from xvirt.model.fields import Format, Mutability, Rule, field
from xvirt.model.meta import Condition, LastError

LIVE, RESTART, FIXED = Mutability.LIVE, Mutability.RESTART, Mutability.FIXED


class NetworkMode(enum.Enum):
    """How guests reach the world."""

    NAT = "Nat"
    ROUTED = "Routed"
    ISOLATED = "Isolated"
    BRIDGE = "Bridge"


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
            "!has(self.dhcp) || (!has(self.dhcp.ranges) || self.dhcp.ranges.all(r, cidr(self.address).containsIP(r.start)"
            " && cidr(self.address).containsIP(r.end))) && (!has(self.dhcp.hosts) || self.dhcp.hosts.all(h,"
            " cidr(self.address).containsIP(h.ip)))",
            "every address of dhcp must lie in the subnet of address",
            "dhcp",
        ),
        Rule(_is_ordered, "true", "a range must start below its end", "dhcp.ranges"),
    )

    address: str = field("The host's address with prefix length.", RESTART, format=Format.INTERFACE_CIDR)
    dhcp: Dhcp | None = field("DHCP service; absent: none.", LIVE, default=None)


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
    )

    mode: NetworkMode = field("How guests reach the world.", FIXED, default=NetworkMode.NAT)
    bridge: str | None = field(
        "Existing bridge of the host.", FIXED, default=None, format=Format.DEVICE_NAME, max_length=15
    )
    subnets: tuple[Subnet, ...] = field(
        "Addresses of the host on it, with DHCP.", LIVE, default=(), list_key="address", max_items=8
    )
    domain_name: str | None = field("DNS domain.", RESTART, default=None, format=Format.DOMAIN_NAME)
    mtu: int | None = field(
        "MTU; absent: the kernel's.", RESTART, default=None, unit="bytes", minimum=68, maximum=65535
    )
    update_policy: NetworkUpdatePolicy = field(
        "Stage waits until no running machine uses the network; Restart restarts it at once and plugs the machines in again, which"
        " lose packets for a moment. While a domain that is not xVirt's uses it, Restart waits, too.",
        LIVE,
        default=NetworkUpdatePolicy.STAGE,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VirtualNetworkStatus:
    """A network as it is."""

    observed_generation: int = field("Generation that this status is of; -1: none yet.", LIVE, default=-1)
    printable_status: str = field("One word for a table.", LIVE, default="Pending")
    uuid: str | None = field("libvirt's UUID of the network.", LIVE, default=None, format=Format.UUID)
    network_name: str = field("libvirt's name of the network.", LIVE, default="")
    bridge: str = field("Bridge device on the host.", LIVE, default="")
    restart_required: tuple[str, ...] = field("Fields that wait until no guest uses the network.", LIVE, default=())
    last_error: LastError | None = field("What went wrong last.", LIVE, default=None)
    conditions: tuple[Condition, ...] = field("Conditions.", LIVE, default=(), list_key="type")
