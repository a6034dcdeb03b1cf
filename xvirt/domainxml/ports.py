"""PCI addresses of a domain: who sits where, and where something can still be plugged in."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from xvirt.domainxml.elements import attribute, child, integer, text_of

PciAddress = tuple[int, int, int, int]
"""Domain, bus, slot, function. The bus is the index of the PCI controller that the device sits on."""

ROOT_PORT = "pcie-root-port"
_PLUGGABLE_SLOTS = range(1, 32)
"""pci-root: slot 0 is the host bridge's, each other slot takes a device while the machine runs."""


def pci_address(device: etree._Element) -> PciAddress | None:
    """The device's own PCI address; None where it has none (yet)."""
    for address in device.iterfind("address"):
        if address.get("type") == "pci" and address.get("slot") is not None:
            domain, bus, slot, function = (
                integer(address.get(name, "0")) for name in ("domain", "bus", "slot", "function")
            )
            return domain, bus, slot, function
    return None


def pci_addresses(root: etree._Element) -> set[PciAddress]:
    """All that are taken."""
    found = (pci_address(device) for device in root.iterfind("devices/*"))
    return {address for address in found if address is not None}


def pci_controllers(root: etree._Element) -> Iterator[etree._Element]:
    """Root complex, ports and bridges."""
    for controller in root.iterfind("devices/controller"):
        if controller.get("type") == "pci":
            yield controller


def controller_index(controller: etree._Element) -> int:
    """Its index; -1 where libvirt is still to choose one."""
    return integer(controller.get("index", ""), -1)


def count_free_ports(root: etree._Element) -> int:
    """Places where a running machine can take another endpoint: root ports without an occupant, or free slots of `pci-root`."""
    taken = pci_addresses(root)
    buses = {bus for _domain, bus, _slot, _function in taken}
    ports = [item for item in pci_controllers(root) if item.get("model") == ROOT_PORT and _is_pluggable(item)]
    free = sum(controller_index(port) not in buses for port in ports)
    if _has_pci_root(root):
        slots = {slot for _domain, bus, slot, _function in taken if bus == 0}
        free += sum(slot not in slots for slot in _PLUGGABLE_SLOTS)
    return free


def count_ports(root: etree._Element) -> int:
    """Root ports of the definition, taken or not."""
    return sum(item.get("model") == ROOT_PORT for item in pci_controllers(root))


def add_ports(root: etree._Element, count: int) -> None:
    """Append root ports with the next indexes. libvirt puts endpoints on explicit free ports before it makes ports of its own."""
    devices = root.find("devices")
    if devices is None:
        return
    first = max([controller_index(item) for item in pci_controllers(root)], default=0) + 1
    for index in range(max(first, 1), max(first, 1) + count):
        child(devices, "controller", {"type": "pci", "index": str(index), "model": ROOT_PORT})


def count_endpoints(root: etree._Element) -> int:
    """Root ports that libvirt will take for the devices of a q35 definition that has no addresses yet
    (qemuDomainDeviceCalculatePCIConnectFlags in src/qemu/qemu_domain_address.c): conventional PCI devices share one bridge, the
    first video card and the chipset's own functions sit on the root bus."""
    devices = root.find("devices")
    if devices is None:
        return 0
    kinds = [_kind(device) for device in devices]
    has_bridge = any(item.get("model") == "pcie-to-pci-bridge" for item in pci_controllers(root))
    bridge = "conventional" in kinds and not has_bridge
    has_serial = any(item.get("type") == "virtio-serial" for item in devices.iterfind("controller"))
    needs_serial = any(item.get("type") == "virtio" for item in devices.iterfind("*/target"))
    videos = len(devices.findall("video"))
    return kinds.count("endpoint") + int(bridge) + int(needs_serial and not has_serial) + max(0, videos - 1)


def is_endpoint(device: etree._Element) -> bool:
    """Whether the device takes a root port of its own."""
    return _kind(device) == "endpoint"


_ENDPOINTS = frozenset({"rng", "vsock", "crypto", "filesystem", "shmem"})
_CONVENTIONAL = frozenset({"watchdog", "sound"})
_CONVENTIONAL_NICS = frozenset({"e1000", "rtl8139", "pcnet", "ne2k_pci", "i82551", "i82557b", "i82559er"})


def _kind(device: etree._Element) -> str:
    tag, model = device.tag, device.get("model", "")
    if tag == "interface":
        return "conventional" if attribute(device, "model", "type") in _CONVENTIONAL_NICS else "endpoint"
    if tag == "controller":
        return _controller_kind(device.get("type", ""), model)
    is_endpoint = (
        tag in _ENDPOINTS
        or (tag == "disk" and attribute(device, "target", "bus") == "virtio")
        or (tag == "memballoon" and model != "none")
        or (tag == "memory" and model.startswith("virtio"))
        or (tag == "input" and device.get("bus") == "virtio")
        or (tag == "hostdev" and device.get("type") in ("pci", "mdev", "scsi_host"))
    )
    if is_endpoint:
        return "endpoint"
    return "conventional" if tag in _CONVENTIONAL else ""


def _controller_kind(kind: str, model: str) -> str:
    if kind in ("scsi", "virtio-serial") or (kind == "usb" and model.endswith("xhci")):
        return "endpoint"
    return "endpoint" if model in ("pcie-to-pci-bridge", "pcie-switch-upstream-port") else ""


def _is_pluggable(port: etree._Element) -> bool:
    target = port.find("target")
    return target is None or target.get("hotplug") != "off"


def _has_pci_root(root: etree._Element) -> bool:
    if any(item.get("model") == "pci-root" for item in pci_controllers(root)):
        return True
    machine = root.find("os/type")
    name = machine.get("machine", "") if machine is not None else ""
    return text_of(root, "os/type") == "hvm" and (name == "pc" or name.startswith("pc-i440fx"))
