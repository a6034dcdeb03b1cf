"""What a domain's XML says, as plain values; the planner's only view of it.

Foreign domains pass through here too, so nothing in here fails: what is missing or odd reads as empty, None or zero.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Set

from lxml import etree

from xvirt.domainxml.devices import AGENT_CHANNEL
from xvirt.domainxml.elements import alias_of, attribute, integer, size_of, text_of
from xvirt.domainxml.iotune import DiskTune, read_tune
from xvirt.domainxml.mark import OwnershipMark, read_mark
from xvirt.domainxml.ports import count_free_ports
from xvirt.domainxml.tree import to_text

DISK_PREFIX = "ua-disk-"
NIC_PREFIX = "ua-nic-"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiskFacts:
    """One disk. `name` is the declared one, empty where the disk is not ours; `path` is the file or device, None where it has none.
    `has_open_tray`: the guest has opened the drive. `io_thread`: what serves it, None for QEMU's main thread."""

    alias: str
    name: str
    target: str
    bus: str
    device: str
    path: str | None
    format: str
    is_read_only: bool
    has_open_tray: bool
    tune: DiskTune
    io_thread: int | None
    xml: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class NicFacts:
    """One NIC. A running one on a libvirt network has that network's bridge and its port there, too; `target` is its device on the
    host."""

    alias: str
    name: str
    mac: str
    network: str | None
    bridge: str | None
    port_id: str | None
    link_up: bool
    target: str | None
    model: str
    xml: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryDeviceFacts:
    """The virtio-mem device: its size, what was asked for, and what the guest has plugged in (0 in a definition)."""

    size_bytes: int
    requested_bytes: int
    current_bytes: int


@dataclasses.dataclass(frozen=True)
class SecurityLabel:
    """What one of libvirt's security drivers runs QEMU as: `model` is apparmor, selinux or dac (user and group); `label` is empty
    where it does nothing."""

    model: str
    label: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DomainFacts:
    """One domain XML. `vcpus_floor`: vCPUs that cannot be unplugged; `memory_bytes` includes memory devices;
    `security` and `cgroup` are known of a running domain."""

    uuid: str
    name: str
    domain_type: str
    vcpus: int
    max_vcpus: int
    vcpus_floor: int
    memory_bytes: int
    current_memory_bytes: int
    max_memory_bytes: int | None
    memory_device: MemoryDeviceFacts | None
    disks: tuple[DiskFacts, ...]
    nics: tuple[NicFacts, ...]
    mark: OwnershipMark | None
    is_agent_connected: bool
    security: tuple[SecurityLabel, ...]
    cgroup: str
    free_pcie_ports: int
    io_threads: frozenset[int]
    """Their numbers."""


def read_domain(root: etree._Element) -> DomainFacts:
    """Facts of a definition or of a running domain."""
    max_vcpus = integer(text_of(root, "vcpu"), 1)
    vcpus = integer(attribute(root, "vcpu", "current"), max_vcpus)
    memory = size_of(root.find("memory")) or 0
    current = size_of(root.find("currentMemory"))
    return DomainFacts(
        uuid=text_of(root, "uuid").lower(),
        name=root.findtext("name") or "",
        domain_type=root.get("type", ""),
        vcpus=vcpus,
        max_vcpus=max_vcpus,
        vcpus_floor=_vcpus_floor(root, vcpus),
        memory_bytes=memory,
        current_memory_bytes=memory if current is None else current,
        max_memory_bytes=size_of(root.find("maxMemory")),
        memory_device=_memory_device(root),
        disks=tuple(_disk(element) for element in root.iterfind("devices/disk")),
        nics=tuple(_nic(element) for element in root.iterfind("devices/interface")),
        mark=read_mark(root),
        is_agent_connected=_is_agent_connected(root),
        security=tuple(_security_label(item) for item in root.iterfind("seclabel")),
        cgroup=text_of(root, "resource/partition"),
        free_pcie_ports=count_free_ports(root),
        io_threads=read_io_threads(root),
    )


def read_io_threads(root: etree._Element) -> frozenset[int]:
    """Numbers of a domain's I/O threads: libvirt lists them only where they are not 1, 2, ..."""
    listed = [integer(item.get("id", "")) for item in root.iterfind("iothreadids/iothread")]
    return frozenset(listed or range(1, integer(text_of(root, "iothreads")) + 1))


def name_adopted(facts: DomainFacts, targets: Set[str], nics: Mapping[str, str]) -> DomainFacts:
    """The facts with the names of adopted devices, which have no alias to be known by: `targets` are disks' names, `nics` cards'
    names by MAC. Their aliases are those that devices of these names would have; their XML is as it was."""
    disks = (
        dataclasses.replace(disk, name=disk.target, alias=DISK_PREFIX + disk.target)
        if disk.target in targets and not disk.alias.startswith("ua-")
        else disk
        for disk in facts.disks
    )
    cards = (
        dataclasses.replace(nic, name=nics[nic.mac], alias=NIC_PREFIX + nics[nic.mac])
        if nic.mac in nics and not nic.alias.startswith("ua-")
        else nic
        for nic in facts.nics
    )
    return dataclasses.replace(facts, disks=tuple(disks), nics=tuple(cards))


def _vcpus_floor(root: etree._Element, vcpus: int) -> int:
    """Without `<vcpus>` libvirt plugs in none at start, so none can be unplugged."""
    listed = root.findall("vcpus/vcpu")
    if not listed:
        return vcpus
    return sum(item.get("enabled") == "yes" and item.get("hotpluggable") == "no" for item in listed)


def _memory_device(root: etree._Element) -> MemoryDeviceFacts | None:
    for element in root.iterfind("devices/memory"):
        if element.get("model") == "virtio-mem":
            return MemoryDeviceFacts(
                size_bytes=size_of(element.find("target/size")) or 0,
                requested_bytes=size_of(element.find("target/requested")) or 0,
                current_bytes=size_of(element.find("target/current")) or 0,
            )
    return None


def _declared_name(alias: str, prefix: str) -> str:
    return alias[len(prefix) :] if alias.startswith(prefix) else ""


def _disk(element: etree._Element) -> DiskFacts:
    alias = alias_of(element)
    source = element.find("source")
    path = (source.get("file") or source.get("dev") or None) if source is not None else None
    return DiskFacts(
        alias=alias,
        name=_declared_name(alias, DISK_PREFIX),
        target=attribute(element, "target", "dev"),
        bus=attribute(element, "target", "bus"),
        device=element.get("device", "disk"),
        path=path,
        format=attribute(element, "driver", "type"),
        is_read_only=element.find("readonly") is not None,
        has_open_tray=attribute(element, "target", "tray") == "open",
        tune=read_tune(element),
        io_thread=integer(attribute(element, "driver", "iothread")) or None,
        xml=to_text(element),
    )


def _nic(element: etree._Element) -> NicFacts:
    alias = alias_of(element)
    return NicFacts(
        alias=alias,
        name=_declared_name(alias, NIC_PREFIX),
        mac=attribute(element, "mac", "address").lower(),
        network=attribute(element, "source", "network") or None,
        bridge=attribute(element, "source", "bridge") or None,
        port_id=attribute(element, "source", "portid") or None,
        link_up=attribute(element, "link", "state") != "down",
        target=attribute(element, "target", "dev") or None,
        model=attribute(element, "model", "type"),
        xml=to_text(element),
    )


def _security_label(element: etree._Element) -> SecurityLabel:
    label = "" if element.get("type") == "none" else text_of(element, "label")
    return SecurityLabel(element.get("model", ""), label)


def _is_agent_connected(root: etree._Element) -> bool:
    targets = root.iterfind("devices/channel/target")
    return any(item.get("name") == AGENT_CHANNEL and item.get("state") == "connected" for item in targets)
