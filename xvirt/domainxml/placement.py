"""Keeps every device where it is: a redefinition must not move what a guest has learned (PCI addresses, disk targets, machine
version, NVRAM).

Devices are matched by user alias, else by what they are; a place is kept only for a device of the same shape (bus, model), since
another shape may need another kind of port.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from lxml import etree

from xvirt.domainxml.devices import is_pcie
from xvirt.domainxml.disks import scsi_address
from xvirt.domainxml.elements import alias_of, attribute
from xvirt.domainxml.ports import (
    ROOT_PORT,
    add_ports,
    controller_index,
    count_ports,
    pci_address,
    pci_addresses,
    pci_controllers,
)
from xvirt.domainxml.targets import target_names, target_prefix

_MACHINE_ALIASES = {"q35": "pc-q35-", "pc": "pc-i440fx-"}
_AGENT_CONTROLLER = "virtio-serial"


def keep_placement(rendered: etree._Element, current: etree._Element | None, live: etree._Element | None) -> None:
    """Carry over into `rendered` what the definition (`current`) and the running domain (`live`) have settled.

    A device that only the running domain has (hot-plugged) keeps its live address where that is free in the definition.
    """
    bases = [root for root in (current, live) if root is not None]
    if not bases:
        return
    _keep_targets(rendered, bases)
    if not _is_same_family(rendered, bases[0]):
        return
    _keep_machine(rendered, bases[0])
    _keep_firmware(rendered, bases[0])
    for base in bases:
        _keep_addresses(rendered, base)
    _keep_pci_controllers(rendered, bases[0])
    _keep_agent_controller(rendered, bases[0])


def _machine(root: etree._Element) -> str:
    return attribute(root, "os/type", "machine")


def _is_same_family(rendered: etree._Element, base: etree._Element) -> bool:
    return is_pcie(_machine(rendered)) == is_pcie(_machine(base))


def _keep_machine(rendered: etree._Element, base: etree._Element) -> None:
    declared, version = rendered.find("os/type"), _machine(base)
    prefix = _MACHINE_ALIASES.get(_machine(rendered))
    if declared is not None and prefix is not None and version.startswith(prefix):
        declared.set("machine", version)


def _keep_firmware(rendered: etree._Element, base: etree._Element) -> None:
    """The NVRAM file always; all that libvirt chose where its definition holds it (9.2 and later) and the same is asked for.

    libvirt 9.0 keeps the choice out of the definition, and refuses a template beside automatic selection.
    """
    wanted, settled = rendered.find("os"), base.find("os")
    if wanted is None or settled is None or wanted.get("firmware") != "efi":
        return
    is_same = settled.get("firmware") == "efi" and _firmware_features(wanted) == _firmware_features(settled)
    loader, nvram = settled.find("loader"), settled.find("nvram")
    if is_same and loader is not None and wanted.find("loader") is None:
        wanted.append(_copy(loader))
    if nvram is not None and wanted.find("nvram") is None:
        kept = _copy(nvram)
        if not is_same:
            kept.attrib.clear()
        wanted.append(kept)


def _firmware_features(os: etree._Element) -> set[tuple[str | None, str | None]]:
    return {(item.get("name"), item.get("enabled")) for item in os.iterfind("firmware/feature")}


def _copy(element: etree._Element) -> etree._Element:
    twin = copy.deepcopy(element)
    twin.tail = None
    return twin


# disk targets


def _keep_targets(rendered: etree._Element, bases: Iterable[etree._Element]) -> None:
    """A disk keeps its name; a new one gets a name that neither the definition nor the running domain knows."""
    roots = list(bases)
    settled: dict[str, str] = {}
    for root in reversed(roots):
        settled |= {alias_of(disk): attribute(disk, "target", "dev") for disk in root.iterfind("devices/disk")}
    known = set(settled.values())
    disks = [disk for disk in rendered.iterfind("devices/disk") if alias_of(disk).startswith("ua-")]
    foreign = [disk for disk in rendered.iterfind("devices/disk") if disk not in disks]
    taken = {attribute(disk, "target", "dev") for disk in foreign}
    fresh = []
    for disk in disks:
        name, declared = settled.get(alias_of(disk), ""), attribute(disk, "target", "dev")
        if name and target_prefix(name) == target_prefix(declared) and name not in taken:
            _set_target(disk, name)
            taken.add(name)
        else:
            fresh.append(disk)
    for disk in fresh:
        name = attribute(disk, "target", "dev")
        if name in taken | known:
            name = _free_name(target_prefix(name), taken | known)
        _set_target(disk, name)
        taken.add(name)


def _free_name(prefix: str, taken: set[str]) -> str:
    return next(name for name in target_names(prefix) if name not in taken)


def _set_target(disk: etree._Element, name: str) -> None:
    target = disk.find("target")
    if target is None or target.get("dev") == name:
        return
    target.set("dev", name)
    address = disk.find("address")
    if target.get("bus") == "scsi" and address is not None:
        disk.replace(address, scsi_address(name))


# addresses


def _keep_addresses(rendered: etree._Element, base: etree._Element) -> None:
    taken = pci_addresses(rendered)
    settled = _by_identity(base)
    for identity, device in _by_identity(rendered).items():
        twin = settled.get(identity)
        if twin is None or device.find("address") is not None or _shape(device) != _shape(twin):
            continue
        address = twin.find("address")
        place = pci_address(twin)
        if address is None or place in taken:
            continue
        device.append(_copy(address))
        if place is not None:
            taken.add(place)


def _by_identity(root: etree._Element) -> dict[tuple[str, ...], etree._Element]:
    """Devices by what makes each the same device; the n-th of a kind where nothing else does."""
    found: dict[tuple[str, ...], etree._Element] = {}
    counts: dict[str, int] = {}
    for device in root.iterfind("devices/*"):
        if not isinstance(device.tag, str) or (device.tag == "controller" and device.get("type") == "pci"):
            continue
        identity = identify(device)
        if identity is None:
            number = counts[device.tag] = counts.get(device.tag, 0) + 1
            identity = (device.tag, "number", str(number))
        found[identity] = device
    return found


def identify(device: etree._Element) -> tuple[str, ...] | None:
    """What names a device within its domain: user alias, disk target, NIC MAC, controller type and index, channel name."""
    tag, alias = str(device.tag), alias_of(device)
    if alias.startswith("ua-"):
        return tag, "alias", alias
    if tag == "disk":
        return tag, "target", attribute(device, "target", "dev")
    if tag == "interface" and device.find("mac") is not None:
        return tag, "mac", attribute(device, "mac", "address").lower()
    if tag == "controller" and device.get("index") is not None:
        return tag, device.get("type", ""), device.get("index", "")
    if tag == "channel" and attribute(device, "target", "name"):
        return tag, "name", attribute(device, "target", "name")
    return None


def _shape(device: etree._Element) -> tuple[str, ...]:
    model = attribute(device, "model", "type") or device.get("model", "")
    return str(device.tag), device.get("device", ""), attribute(device, "target", "bus"), model


# controllers


def _keep_pci_controllers(rendered: etree._Element, base: etree._Element) -> None:
    """All root ports stay, and what else still carries a device; ports that the declaration needs beyond them are added."""
    devices = rendered.find("devices")
    if devices is None:
        return
    own = {controller_index(item): item for item in pci_controllers(rendered)}
    wanted = count_ports(rendered)
    settled = {controller_index(item): item for item in pci_controllers(base)}
    kept = {controller_index(item): item for item in _still_needed(rendered, settled)}
    for index, item in own.items():
        if item.get("model") == ROOT_PORT or index in kept:
            devices.remove(item)
    for index, item in kept.items():
        devices.append(_copy(item) if own.get(index, item).get("model") == item.get("model") else own[index])
    add_ports(rendered, wanted - count_ports(rendered))


def _still_needed(rendered: etree._Element, settled: dict[int, etree._Element]) -> list[etree._Element]:
    """Root ports, and controllers below which something sits, up to the root bus."""
    needed = {index for index, item in settled.items() if item.get("model") == ROOT_PORT}
    addresses = [pci_address(device) for device in rendered.iterfind("devices/*")]
    pending = [address[1] for address in addresses if address is not None]
    pending += [place[1] for index in needed if (place := pci_address(settled[index])) is not None]
    while pending:
        index = pending.pop()
        if index in settled and index not in needed:
            needed.add(index)
            place = pci_address(settled[index])
            pending += [place[1]] if place is not None else []
    return [settled[index] for index in sorted(needed) if index in settled]


def _keep_agent_controller(rendered: etree._Element, base: etree._Element) -> None:
    """libvirt adds the channel's controller by itself; it keeps its place as long as there is a channel."""
    devices = rendered.find("devices")
    has_channel = any(item.get("type") == "virtio" for item in rendered.iterfind("devices/channel/target"))
    if devices is None or not has_channel:
        return
    present = {item.get("index") for item in devices.iterfind("controller") if item.get("type") == _AGENT_CONTROLLER}
    taken = pci_addresses(rendered)
    for item in base.iterfind("devices/controller"):
        is_missing = item.get("type") == _AGENT_CONTROLLER and item.get("index") not in present
        if is_missing and pci_address(item) not in taken:
            devices.append(_copy(item))
