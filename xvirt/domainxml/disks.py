"""Disks, CD drives and the seed."""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

from xvirt.domainxml.context import DiskBacking
from xvirt.domainxml.elements import child
from xvirt.domainxml.iotune import add_tune, disk_tune
from xvirt.domainxml.targets import SEED_TARGET, assign_targets, target_index
from xvirt.model.identity import device_alias, disk_serial
from xvirt.model.machine.disk import Disk, DiskBus, DiskDevice, DiskDiscard
from xvirt.model.meta import Resource
from xvirt.model.virtualmachine import MachineBase, VirtualMachineSpec

SEED_ALIAS = "ua-seed"
SEED_SERIAL = "xvirt-seed"
DEVICE_DIRECTORY = "/dev/"


def render_disk(
    machine: Resource, disk: Disk, backing: DiskBacking | None, *, target: str | None = None
) -> etree._Element:
    """The disk as it stands in the domain, for hot-plug and for a change of medium (`backing` None: no medium).

    `target` is the name that it has in the running domain where it is there already; else it gets that of its place in the list.
    The implicit boot order of the first disk is left to `render_domain`: it means nothing to a machine that runs.
    """
    spec: VirtualMachineSpec = machine.spec
    place = target or assign_targets(spec.disks, _overlaid_targets(spec))[disk.name]
    backing = backing or _existing(disk)
    is_device = backing is not None and backing.path.startswith(DEVICE_DIRECTORY)
    element = etree.Element("disk", {"type": "block" if is_device else "file", "device": disk.device.value.lower()})
    _add_driver(element, disk, backing)
    if backing is not None:
        child(element, "source", {"dev" if is_device else "file": backing.path})
    child(element, "target", {"dev": place, "bus": disk.bus.value})
    add_tune(element, disk_tune(disk.io_limits))
    if disk.read_only or disk.device is DiskDevice.CDROM:
        child(element, "readonly")
    serial = disk.serial or (None if disk.adopted else disk_serial(disk.name))
    if serial is not None:
        child(element, "serial", text=serial)
    if disk.boot_order is not None:
        child(element, "boot", {"order": str(disk.boot_order)})
    child(element, "alias", {"name": device_alias("disk", disk.name)})
    if disk.bus is DiskBus.SCSI and not disk.adopted:
        element.append(scsi_address(place))
    return element


def _overlaid_targets(spec: VirtualMachineSpec) -> set[str]:
    """Targets of disks that the overlay of a Bare machine declares or speaks of: none of them is a new disk's."""
    devices = (spec.domain or {}).get("devices") if spec.base is MachineBase.BARE else None
    found = devices.get("disk", ()) if isinstance(devices, Mapping) else ()
    entries = found if isinstance(found, list | tuple) else [found]
    targets = (entry.get("target") for entry in entries if isinstance(entry, Mapping))
    return {str(target.get("@dev", "")) for target in targets if isinstance(target, Mapping)} - {""}


def _existing(disk: Disk) -> DiskBacking | None:
    """What a declaration names by its path alone, without asking the host."""
    path = disk.source.path if disk.source is not None else None
    return None if path is None else DiskBacking(path, disk.format.value)


def _add_driver(element: etree._Element, disk: Disk, backing: DiskBacking | None) -> None:
    is_disk = disk.device is DiskDevice.DISK
    # QEMU ignores a discard that nothing is said of; a domain that was there before xVirt says nothing.
    is_default = disk.adopted and disk.discard is DiskDiscard.IGNORE
    attributes = {
        "name": "qemu",
        "type": backing.format if backing is not None else "raw",
        "cache": disk.cache.value if disk.cache else None,
        "error_policy": disk.error_policy.value if disk.error_policy else None,
        "io": disk.io.value if disk.io else None,
        "discard": disk.discard.value if is_disk and not is_default else None,
        "detect_zeroes": disk.detect_zeroes.value if disk.detect_zeroes else None,
        "queues": str(disk.queues) if disk.queues is not None else None,
        "iothread": str(disk.io_thread) if disk.io_thread is not None else None,
    }
    child(element, "driver", attributes)


def scsi_address(target: str) -> etree._Element:
    """Unit by target name, all on one controller: libvirt's own choice fills 7 units and then adds controllers of another model."""
    address = {"type": "drive", "controller": "0", "bus": "0", "target": "0", "unit": str(target_index(target))}
    return etree.Element("address", address)


def render_seed(path: str) -> etree._Element:
    """The NoCloud volume. On virtio, since Debian's cloud kernel knows no AHCI."""
    element = etree.Element("disk", {"type": "file", "device": "disk"})
    child(element, "driver", {"name": "qemu", "type": "raw"})
    child(element, "source", {"file": path})
    child(element, "target", {"dev": SEED_TARGET, "bus": "virtio"})
    child(element, "readonly")
    child(element, "serial", text=SEED_SERIAL)
    child(element, "alias", {"name": SEED_ALIAS})
    return element
