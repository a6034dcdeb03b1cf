"""Disks: typed where a file or block device of the host is attached as `spec.disks` would attach it."""

from __future__ import annotations

import re

from lxml import etree

from xvirt.domainxml.compare import lost
from xvirt.domainxml.disks import DEVICE_DIRECTORY, render_disk
from xvirt.domainxml.elements import alias_of, attribute, integer, text_of
from xvirt.domainxml.facts import DISK_PREFIX
from xvirt.domainxml.normal import strip_fillings
from xvirt.domainxml.split.sound import is_sound
from xvirt.model.identity import disk_serial
from xvirt.model.machine.disk import (
    TARGET,
    Disk,
    DiskBus,
    DiskCache,
    DiskDevice,
    DiskDiscard,
    DiskFormat,
    DiskSource,
)
from xvirt.model.machine.hardware import Memory
from xvirt.model.meta import ObjectMeta, Resource
from xvirt.model.quantity import ByteSize
from xvirt.model.virtualmachine import VirtualMachineSpec

_DEVICES = {"disk": DiskDevice.DISK, "cdrom": DiskDevice.CDROM}
_BUSES = {bus.value: bus for bus in DiskBus}
_FORMATS = {item.value: item for item in DiskFormat}
_CACHES = {item.value: item for item in DiskCache}
_DISCARDS = {item.value: item for item in DiskDiscard}


def split_disks(root: etree._Element) -> tuple[Disk, ...]:
    """The disks that can be typed, in the domain's order."""
    elements = root.findall("devices/disk")
    targets = [attribute(element, "target", "dev") for element in elements]
    found = [_disk(element) for element in elements if targets.count(attribute(element, "target", "dev")) == 1]
    return tuple(disk for disk in found if disk is not None)


def _disk(element: etree._Element) -> Disk | None:
    disk = _read(element)
    if disk is None or not is_sound(disk):
        return None
    return disk if not lost(_bare(disk, attribute(element, "target", "dev")), element) else None


def _read(element: etree._Element) -> Disk | None:
    """The declaration that comes closest; None where a word is not known."""
    target, bus = attribute(element, "target", "dev"), attribute(element, "target", "bus")
    device = _DEVICES.get(element.get("device", "disk"))
    driver = element.find("driver")
    driver = etree.Element("driver") if driver is None else driver
    image, cache = _FORMATS.get(driver.get("type", "raw")), _CACHES.get(driver.get("cache", ""))
    discard = _DISCARDS.get(driver.get("discard", "ignore"))
    alias = alias_of(element)
    is_own = alias.startswith(DISK_PREFIX)
    if (
        not (is_own or re.fullmatch(TARGET, target))
        or bus not in _BUSES
        or device is None
        or image is None
        or discard is None
    ):
        return None
    return Disk(
        name=alias[len(DISK_PREFIX) :] if is_own else target,
        adopted=not is_own,
        source=_source(element),
        device=device,
        bus=_BUSES[bus],
        format=image,
        read_only=device is DiskDevice.DISK and element.find("readonly") is not None,
        cache=cache,
        discard=discard if device is DiskDevice.DISK else DiskDiscard.UNMAP,
        serial=_serial(element, alias) or None,
        boot_order=integer(attribute(element, "boot", "order"), 0) or None,
    )


def _serial(element: etree._Element, alias: str) -> str:
    """Nothing where one of ours has its name's."""
    serial = text_of(element, "serial")
    return "" if alias.startswith(DISK_PREFIX) and serial == disk_serial(alias[len(DISK_PREFIX) :]) else serial


def _source(element: etree._Element) -> DiskSource | None:
    file, device = attribute(element, "source", "file"), attribute(element, "source", "dev")
    is_known = (element.get("type", "file"), bool(file), bool(device)) in (
        ("file", True, False),
        ("block", False, True),
    )
    path = file or device
    is_known = is_known and path.startswith(DEVICE_DIRECTORY) == bool(device)
    return DiskSource(path=path) if is_known else None


def _bare(disk: Disk, target: str) -> etree._Element:
    """The disk as it would be rendered, without alias and what libvirt fills in."""
    spec = VirtualMachineSpec(memory=Memory(size=ByteSize(1 << 30)), disks=(disk,))
    element = render_disk(Resource("VirtualMachine", ObjectMeta(name="x"), spec), disk, None, target=target)
    root = etree.Element("domain")
    etree.SubElement(root, "devices").append(element)
    for alias in element.findall("alias"):
        element.remove(alias)
    strip_fillings(root)
    return element
