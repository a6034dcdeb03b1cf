"""What a dumped domain says, as plain values."""

from __future__ import annotations

import dataclasses

from lxml import etree

from xvirt.domainxml.mark import OwnershipMark, read_mark
from xvirt.domainxml.tree import to_text

_UNITS = {
    "b": 1,
    "bytes": 1,
    "KB": 10**3,
    "k": 1 << 10,
    "KiB": 1 << 10,
    "MB": 10**6,
    "M": 1 << 20,
    "MiB": 1 << 20,
    "GB": 10**9,
    "G": 1 << 30,
    "GiB": 1 << 30,
    "TB": 10**12,
    "T": 1 << 40,
    "TiB": 1 << 40,
}


@dataclasses.dataclass(frozen=True)
class DiskFacts:
    """One disk. `name` is the declared one, empty where the alias is not xVirt's; `path` None for an empty drive."""

    alias: str
    name: str
    target: str
    bus: str
    device: str
    path: str | None
    format: str
    is_read_only: bool
    xml: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class NicFacts:
    """One NIC."""

    alias: str
    name: str
    mac: str
    network: str | None
    bridge: str | None
    link_up: bool
    target: str
    model: str
    xml: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class MemoryDeviceFacts:
    """The virtio-mem device; `current_bytes` is what the guest has taken."""

    size_bytes: int
    requested_bytes: int
    current_bytes: int


@dataclasses.dataclass(frozen=True)
class DomainFacts:
    """A domain. `memory_bytes` includes memory devices; `vcpus_floor` is the number that cannot be unplugged."""

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
    free_pcie_ports: int


def read_domain(root: etree._Element) -> DomainFacts:
    """Read a domain XML of libvirt."""
    maximum = int(root.findtext("vcpu") or "1")
    vcpu = root.find("vcpu")
    memory = size_bytes(root.find("memory"))
    return DomainFacts(
        uuid=root.findtext("uuid") or "",
        name=root.findtext("name") or "",
        domain_type=root.get("type", ""),
        vcpus=int(vcpu.get("current", maximum)) if vcpu is not None else 1,
        max_vcpus=maximum,
        vcpus_floor=_vcpus_floor(root),
        memory_bytes=memory,
        current_memory_bytes=size_bytes(root.find("currentMemory")) or memory,
        max_memory_bytes=size_bytes(root.find("maxMemory")) or None,
        memory_device=_memory_device(root),
        disks=tuple(_disk(element) for element in root.iterfind("devices/disk")),
        nics=tuple(_nic(element) for element in root.iterfind("devices/interface")),
        mark=read_mark(root),
        is_agent_connected=_is_agent_connected(root),
        free_pcie_ports=_free_ports(root),
    )


def size_bytes(element: etree._Element | None) -> int:
    """A size with libvirt's unit (KiB where none is given); 0 where the element is missing."""
    if element is None or not element.text:
        return 0
    return int(element.text) * _UNITS[element.get("unit", "KiB")]


def _vcpus_floor(root: etree._Element) -> int:
    fixed = [
        vcpu
        for vcpu in root.iterfind("vcpus/vcpu")
        if vcpu.get("enabled") == "yes" and vcpu.get("hotpluggable") == "no"
    ]
    return max(1, len(fixed))


def _memory_device(root: etree._Element) -> MemoryDeviceFacts | None:
    target = root.find("devices/memory[@model='virtio-mem']/target")
    if target is None:
        return None
    requested = size_bytes(target.find("requested"))
    current = target.find("current")
    return MemoryDeviceFacts(
        size_bytes=size_bytes(target.find("size")),
        requested_bytes=requested,
        current_bytes=size_bytes(current) if current is not None else 0,
    )


def _alias(element: etree._Element) -> str:
    alias = element.find("alias")
    return alias.get("name", "") if alias is not None else ""


def _declared_name(alias: str, kind: str) -> str:
    prefix = f"ua-{kind}-"
    return alias[len(prefix) :] if alias.startswith(prefix) else ""


def _get(element: etree._Element, path: str, name: str) -> str:
    found = element.find(path)
    return found.get(name, "") if found is not None else ""


def _disk(element: etree._Element) -> DiskFacts:
    alias = _alias(element)
    source = element.find("source")
    path = None
    if source is not None:
        path = source.get("file") or source.get("dev") or source.get("name") or source.get("volume")
    return DiskFacts(
        alias=alias,
        name=_declared_name(alias, "disk"),
        target=_get(element, "target", "dev"),
        bus=_get(element, "target", "bus"),
        device=element.get("device", "disk"),
        path=path,
        format=_get(element, "driver", "type") or "raw",
        is_read_only=element.find("readonly") is not None,
        xml=to_text(element),
    )


def _nic(element: etree._Element) -> NicFacts:
    alias = _alias(element)
    return NicFacts(
        alias=alias,
        name=_declared_name(alias, "nic"),
        mac=_get(element, "mac", "address").lower(),
        network=_get(element, "source", "network") or None,
        bridge=_get(element, "source", "bridge") or None,
        link_up=_get(element, "link", "state") != "down",
        target=_get(element, "target", "dev"),
        model=_get(element, "model", "type"),
        xml=to_text(element),
    )


def _is_agent_connected(root: etree._Element) -> bool:
    return any(
        target.get("name") == "org.qemu.guest_agent.0" and target.get("state") == "connected"
        for target in root.iterfind("devices/channel/target")
    )


_PC_SLOTS = 28
"""Slots of the i440FX's one bus that are left beside host bridge, ISA bridge and VGA."""


def _free_ports(root: etree._Element) -> int:
    ports = {
        int(controller.get("index", "0"))
        for controller in root.iterfind("devices/controller[@type='pci']")
        if controller.get("model") == "pcie-root-port"
    }
    used = [int(address.get("bus", "0"), 0) for address in root.iterfind("devices//address[@type='pci']")]
    has_pcie = any(item.get("model") == "pcie-root" for item in root.iterfind("devices/controller[@type='pci']"))
    if not has_pcie:
        return max(0, _PC_SLOTS - len(used))
    return len(ports - set(used))
