"""Devices beside disks and NICs."""

from __future__ import annotations

from lxml import etree

from xvirt.domainxml.elements import child
from xvirt.model.machine.disk import DiskBus
from xvirt.model.machine.hardware import Devices, GraphicsType
from xvirt.model.virtualmachine import VirtualMachineSpec

AGENT_CHANNEL = "org.qemu.guest_agent.0"


def is_pcie(machine_type: str) -> bool:
    """True for q35 and its versions, whose devices need root ports."""
    return "q35" in machine_type


def add_controllers(devices: etree._Element, spec: VirtualMachineSpec) -> None:
    """USB (none unless a disk needs it) and SCSI."""
    has_usb = any(disk.bus is DiskBus.USB for disk in spec.disks)
    child(devices, "controller", {"type": "usb", "index": "0", "model": "qemu-xhci" if has_usb else "none"})
    if any(disk.bus is DiskBus.SCSI for disk in spec.disks):
        add_scsi(devices)


def add_scsi(devices: etree._Element) -> None:
    """The one SCSI controller, paravirtual."""
    child(devices, "controller", {"type": "scsi", "index": "0", "model": "virtio-scsi"})


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
    """TPM, graphics with its card, watchdog, balloon, randomness."""
    _add_tpm(devices, declared)
    _add_graphics(devices, declared)
    video = child(devices, "video")
    child(video, "model", {"type": "virtio" if declared.graphics is GraphicsType.VNC else "none"})
    _add_watchdog(devices, declared)
    child(devices, "memballoon", {"model": "virtio"})
    _add_rng(devices, declared)


def add_declared(devices: etree._Element, declared: Devices) -> None:
    """Of the same only what the fields ask for."""
    _add_tpm(devices, declared)
    _add_graphics(devices, declared)
    _add_watchdog(devices, declared)
    _add_rng(devices, declared)


def _add_tpm(devices: etree._Element, declared: Devices) -> None:
    if declared.tpm:
        tpm = child(devices, "tpm", {"model": "tpm-crb"})
        child(tpm, "backend", {"type": "emulator", "version": "2.0"})


def _add_graphics(devices: etree._Element, declared: Devices) -> None:
    """VNC on a Unix socket that libvirt names, never on an address."""
    if declared.graphics is GraphicsType.VNC:
        element = child(devices, "graphics", {"type": "vnc"})
        child(element, "listen", {"type": "socket"})


def _add_watchdog(devices: etree._Element, declared: Devices) -> None:
    if declared.watchdog is not None:
        child(devices, "watchdog", {"model": "i6300esb", "action": declared.watchdog.value})


def _add_rng(devices: etree._Element, declared: Devices) -> None:
    if declared.rng:
        rng = child(devices, "rng", {"model": "virtio"})
        child(rng, "backend", {"model": "random"}, "/dev/urandom")
