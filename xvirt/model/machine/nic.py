"""Network cards of a VirtualMachine, declared and reported."""

from __future__ import annotations

import dataclasses
import enum
from typing import ClassVar

from xvirt.model import limits
from xvirt.model.fields import Format, Mutability, Rule, field
from xvirt.model.quantity import ByteSize

LIVE, RESTART, FIXED = Mutability.LIVE, Mutability.RESTART, Mutability.FIXED


class NicModel(enum.Enum):
    """Emulated network card."""

    VIRTIO = "virtio"
    E1000E = "e1000e"
    E1000 = "e1000"
    RTL8139 = "rtl8139"


class LinkState(enum.Enum):
    """Whether the cable is plugged in."""

    UP = "Up"
    DOWN = "Down"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrafficLimit:
    """How fast one direction of a card may be."""

    average: ByteSize = field(
        "Bytes per second in the long run; rounded up to whole kilobytes (1000 bytes).",
        LIVE,
        unit="bytes",
        minimum=1000,
        maximum=limits.NIC_RATE_MAX_BYTES,
    )
    peak: ByteSize | None = field(
        "Bytes per second while `burst` lasts; absent: `average`.",
        LIVE,
        default=None,
        unit="bytes",
        minimum=1000,
        maximum=limits.NIC_RATE_MAX_BYTES,
    )
    burst: ByteSize | None = field(
        "Bytes that may pass at `peak`; rounded up to whole KiB; absent: libvirt's.",
        LIVE,
        default=None,
        unit="bytes",
        minimum=1024,
        maximum=limits.NIC_BURST_MAX_BYTES,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class NicBandwidth:
    """Limits of a card, as the guest sees them."""

    inbound: TrafficLimit | None = field("What the guest receives; absent: not limited.", LIVE, default=None)
    outbound: TrafficLimit | None = field("What the guest sends; absent: not limited.", LIVE, default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nic:
    """One network card."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda nic: nic.queues is None or nic.model is NicModel.VIRTIO,
            "!has(self.queues) || !has(self.model) || self.model == 'virtio'",
            "only model virtio has queues; remove queues or use virtio",
            "queues",
        ),
        Rule(
            lambda nic: sum(item is not None for item in (nic.network, nic.libvirt_network, nic.bridge)) == 1,
            "(has(self.network) ? 1 : 0) + (has(self.libvirtNetwork) ? 1 : 0) + (has(self.bridge) ? 1 : 0) == 1",
            "give exactly one of network, libvirtNetwork and bridge",
            "network",
        ),
        Rule(
            lambda nic: not nic.adopted or nic.mac is not None,
            "!has(self.adopted) || !self.adopted || has(self.mac)",
            "an adopted NIC is known by its MAC; give it",
            "mac",
        ),
    )

    name: str = field("Name of the card in this machine.", FIXED, format=Format.LABEL, max_length=63)
    network: str | None = field(
        "VirtualNetwork that it is plugged into.",
        LIVE,
        default=None,
        format=Format.LABEL,
        max_length=63,
        references="VirtualNetwork",
    )
    libvirt_network: str | None = field(
        "Network of libvirt's that is not xVirt's, by its name there. Needs policy profile privileged.",
        LIVE,
        default=None,
        max_length=253,
    )
    bridge: str | None = field(
        "Bridge of the host. Needs policy profile privileged.",
        LIVE,
        default=None,
        format=Format.DEVICE_NAME,
        max_length=15,
    )
    mac: str | None = field(
        "MAC address; absent: derived from the machine's UID and this name.", FIXED, default=None, format=Format.MAC
    )
    addresses: tuple[str, ...] = field(
        "Addresses that the guest may use where the network has antiSpoofing; those of its fixed leases are known. None at all: any.",
        LIVE,
        default=(),
        format=Format.IP,
        max_items=64,
    )
    model: NicModel = field("Emulated card.", RESTART, default=NicModel.VIRTIO)
    link_state: LinkState = field("Whether the cable is plugged in.", LIVE, default=LinkState.UP)
    bandwidth: NicBandwidth | None = field("Limits of its traffic; absent: none.", LIVE, default=None)
    queues: int | None = field(
        "Queues of a virtio card, at best one per vCPU; absent: one.", RESTART, default=None, minimum=1, maximum=256
    )
    mtu: int | None = field(
        "MTU that the card offers its guest and its tap has; absent: the network's.",
        RESTART,
        default=None,
        unit="bytes",
        minimum=68,
        maximum=65535,
    )
    boot_order: int | None = field("Place in the boot order.", RESTART, default=None, minimum=1, maximum=64)
    adopted: bool = field(
        "Whether the domain had it before xVirt: it is known by its MAC and has no alias of xVirt's.",
        FIXED,
        default=False,
    )


class AddressSource(enum.Enum):
    """Who said so."""

    LEASE = "lease"
    AGENT = "agent"
    ARP = "arp"


@dataclasses.dataclass(frozen=True, kw_only=True)
class NicAddress:
    """One address of a NIC."""

    address: str = field("IPv4 or IPv6 address.", LIVE, format=Format.IP)
    prefix: int = field("Prefix length.", LIVE, default=0, minimum=0, maximum=128)
    source: AddressSource = field("Who said so.", LIVE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NicStatus:
    """One NIC as it is."""

    name: str = field("Declared name; empty for a NIC that was not declared.", LIVE, default="")
    mac: str = field("MAC address.", LIVE, format=Format.MAC)
    network: str = field("libvirt network or bridge.", LIVE, default="")
    device: str = field("Host's tap device.", LIVE, default="")
    addresses: tuple[NicAddress, ...] = field("Addresses.", LIVE, default=())
