"""Devices beside disks and NICs, and the PCIe ports that all of them and hot-plug need."""

from __future__ import annotations

from lxml import etree

from xvirt.domainxml.elements import child
from xvirt.domainxml.memory import layout_memory
from xvirt.model.virtualmachine import Devices, DiskBus, GraphicsType, NicModel, VirtualMachineSpec

AGENT_CHANNEL = "org.qemu.guest_agent.0"
_CONVENTIONAL_NICS = (NicModel.E1000, NicModel.RTL8139)


def is_pcie(machine_type: str) -> bool:
    """True for q35 and its versions, whose devices need root ports."""
    return "q35" in machine_type


def add_controllers(devices: etree._Element, spec: VirtualMachineSpec, *, has_seed: bool) -> None:
    """USB (none unless a disk needs it), SCSI, and root ports: one per endpoint and `hotplugPorts` to spare.

    libvirt puts endpoints on explicit free ports before it makes ports of its own, so the spare ones stay free.
    """
    has_usb = any(disk.bus is DiskBus.USB for disk in spec.disks)
    child(devices, "controller", {"type": "usb", "index": "0", "model": "qemu-xhci" if has_usb else "none"})
    if any(disk.bus is DiskBus.SCSI for disk in spec.disks):
        child(devices, "controller", {"type": "scsi", "index": "0", "model": "virtio-scsi"})
    if is_pcie(spec.machine):
        count = _count_endpoints(spec, has_seed=has_seed) + spec.devices.hotplug_ports
        for index in range(1, count + 1):
            child(devices, "controller", {"type": "pci", "index": str(index), "model": "pcie-root-port"})


def _count_endpoints(spec: VirtualMachineSpec, *, has_seed: bool) -> int:
    """Devices that libvirt puts on a root port each (qemuDomainDeviceCalculatePCIConnectFlags in src/qemu/qemu_domain_address.c);
    conventional ones share a bridge, the primary video card sits on the root bus."""
    buses = [disk.bus for disk in spec.disks]
    conventional = spec.devices.watchdog is not None or any(nic.model in _CONVENTIONAL_NICS for nic in spec.nics)
    balloon = 1
    return sum(
        (
            buses.count(DiskBus.VIRTIO) + int(has_seed),
            int(DiskBus.SCSI in buses) + int(DiskBus.USB in buses),
            sum(nic.model not in _CONVENTIONAL_NICS for nic in spec.nics),
            int(conventional),
            int(spec.devices.guest_agent) + int(spec.devices.rng),
            int(layout_memory(spec.memory).device_bytes > 0),
            balloon,
        )
    )


def add_serial(devices: etree._Element, log_path: str | None) -> None:
    """The serial console, copied to a log from the first byte on."""
    serial = child(devices, "serial", {"type": "pty"})
    if log_path is not None:
        child(serial, "log", {"file": log_path, "append": "on"})
    child(serial, "target", {"type": "isa-serial", "port": "0"})
    console = child(devices, "console", {"type": "pty"})
    if log_path is not None:
        child(console, "log", {"file": log_path, "append": "on"})
    child(console, "target", {"type": "serial", "port": "0"})


def add_agent(devices: etree._Element, declared: Devices) -> None:
    """The guest agent's channel, on a socket that libvirt names."""
    if declared.guest_agent:
        channel = child(devices, "channel", {"type": "unix"})
        child(channel, "target", {"type": "virtio", "name": AGENT_CHANNEL})


def add_others(devices: etree._Element, declared: Devices) -> None:
    """TPM, graphics, watchdog, balloon, randomness."""
    if declared.tpm:
        tpm = child(devices, "tpm", {"model": "tpm-crb"})
        child(tpm, "backend", {"type": "emulator", "version": "2.0"})
    _add_graphics(devices, declared.graphics)
    if declared.watchdog is not None:
        child(devices, "watchdog", {"model": "i6300esb", "action": declared.watchdog.value})
    child(devices, "memballoon", {"model": "virtio"})
    if declared.rng:
        rng = child(devices, "rng", {"model": "virtio"})
        child(rng, "backend", {"model": "random"}, "/dev/urandom")


def _add_graphics(devices: etree._Element, graphics: GraphicsType) -> None:
    """VNC on a Unix socket that libvirt names, never on an address."""
    has_vnc = graphics is GraphicsType.VNC
    if has_vnc:
        element = child(devices, "graphics", {"type": "vnc"})
        child(element, "listen", {"type": "socket"})
    video = child(devices, "video")
    child(video, "model", {"type": "virtio" if has_vnc else "none"})
