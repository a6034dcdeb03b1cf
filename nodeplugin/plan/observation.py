"""What a plan looks at: facts read from the host, without handles, clocks or calls."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from lxml import etree

from nodeplugin.hypervisor.port import DomainRecord, NetworkRecord, PoolRecord, PoolSpace, VolumeFacts
from nodeplugin.images.port import TransferFacts
from nodeplugin.plan.outcome import Obstacle
from nodeplugin.plan.place import PoolPlace
from xvirt.domainxml.facts import DomainFacts


@dataclasses.dataclass(frozen=True)
class Definition:
    """One domain XML, parsed once."""

    root: etree._Element
    facts: DomainFacts


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResolvedNetwork:
    """What a NIC plugs into: a libvirt network or a bridge of the host. `is_guarded` and `leases` as in `NetworkBacking`."""

    network: str | None = None
    bridge: str | None = None
    vlan: int | None = None
    is_guarded: bool = False
    leases: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResolvedVolume:
    """A volume that exists and is ready to be used."""

    path: str
    format: str
    capacity_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class References:
    """Everything that a machine's or disk's document names, resolved on this host, or why it cannot be yet.

    Keys are the names in the document: networks, images, disks, pools.
    """

    networks: Mapping[str, ResolvedNetwork | Obstacle] = dataclasses.field(default_factory=dict)
    images: Mapping[str, ResolvedVolume | Obstacle] = dataclasses.field(default_factory=dict)
    disks: Mapping[str, ResolvedVolume | Obstacle] = dataclasses.field(default_factory=dict)
    pools: Mapping[str, PoolPlace | Obstacle] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostUse:
    """What the host's other domains use: MAC -> domain name, volume path -> names of domains (its own excluded). `open_paths` are those
    that a running domain may write to at this moment."""

    macs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    paths: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    writable_paths: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    open_paths: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeSettings:
    """Settings of the node that shape a definition."""

    node_name: str
    domain_type: str
    architecture: str
    seed_directory: str
    log_directory: str
    nvram_directory: str = "/var/lib/libvirt/qemu/nvram"
    """Where libvirt keeps UEFI variables of a domain that names no file for them (qemu:///system)."""
    default_pool: str = "default"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What a guest was asked for and has not done yet: seconds since it was asked first and last, and how often."""

    elapsed_s: float
    idle_s: float
    count: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class MachineObservation:
    """A machine on its host. `config` is the persistent definition, `live` the running one (None while off).

    `volumes` maps the paths that the machine would use to facts (None: not there). `stop`: to power off;
    `detaches`: alias -> to release that device; `off_elapsed_s`: since the domain was first seen off.
    `unplugged`: aliases of NICs that their network does not know (any more): their taps are in no bridge.
    `hidden`: volumes of removed declarations that are to go yet, and why they cannot be seen. `places`, of a machine that is being
    deleted: where pools lie, whether or not they can be used.
    """

    domain: DomainRecord | None
    config: Definition | None
    live: Definition | None
    references: References
    volumes: Mapping[str, VolumeFacts | None] = dataclasses.field(default_factory=dict)
    block_capacities: Mapping[str, int] = dataclasses.field(default_factory=dict)
    seeds: frozenset[str] = frozenset()
    host_use: HostUse = HostUse()
    name_holder: str | None = None
    config_hash: str = ""
    stop: Asked | None = None
    off_elapsed_s: float = 0.0
    detaches: Mapping[str, Asked] = dataclasses.field(default_factory=dict)
    unplugged: frozenset[str] = frozenset()
    places: Mapping[str, PoolPlace] = dataclasses.field(default_factory=dict)
    hidden: Mapping[str, Obstacle] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VolumeObservation:
    """A VirtualDisk or VirtualImage on its host. `attached`: (domain uuid, target) of running domains that have it open. Of an image:
    its transfer, and the copy that another image of the same declared content has."""

    volume: VolumeFacts | None
    references: References
    uid: str = ""
    transfer: TransferFacts | None = None
    twin_path: str | None = None
    users: tuple[str, ...] = ()
    attached: tuple[tuple[str, str], ...] = ()
    guest_capacity_bytes: int | None = None
    """Size that the running domain which has it knows, where that may differ: of a logical volume."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkObservation:
    """A VirtualNetwork on its host. `users`: names of the running domains with a NIC in it; of these, `foreign_users` are not ours."""

    record: NetworkRecord | None
    live_xml: str = ""
    name_holder: str | None = None
    users: tuple[str, ...] = ()
    foreign_users: tuple[str, ...] = ()
    has_bridge: bool = True
    is_vlan_aware: bool = False
    """Whether the bridge filters VLANs; without that a tag on a port separates nobody."""
    libvirt_version: str = ""
    missing_filters: tuple[str, ...] = ()
    """Of `xvirt.domainxml.filters.FILTERS`, where the network needs them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoolObservation:
    """A StoragePool on its host. `space` is None where its directory or group is not there."""

    record: PoolRecord | None
    users: tuple[str, ...] = ()
    space: PoolSpace | None = None
    has_group: bool = True
    """Whether the host has the volume group of an Lvm pool."""
