"""A VirtualMachine as libvirt's domain XML (https://libvirt.org/formatdomain.html), for q35 and pc on libvirt 9.0 and later.

Nothing is left for libvirt to guess that xVirt would miss later; what libvirt assigns (PCI addresses, emulator) is left to it and
then kept by `xvirt.domainxml.placement`.
"""

from __future__ import annotations

from lxml import etree

from xvirt.domainxml.context import DiskBacking, DomainContext, NetworkBacking
from xvirt.domainxml.devices import (
    add_agent,
    add_controllers,
    add_declared,
    add_others,
    add_scsi,
    add_serial,
    is_pcie,
)
from xvirt.domainxml.disks import render_disk, render_seed
from xvirt.domainxml.elements import child
from xvirt.domainxml.mark import write_mark
from xvirt.domainxml.memory import MemoryLayout, add_memory, layout_memory, render_memory_device
from xvirt.domainxml.nics import backing_of, render_nic
from xvirt.domainxml.ports import add_ports, count_endpoints
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.machine.disk import DiskBus
from xvirt.model.machine.hardware import Cpu, CpuTopology, Firmware, FirmwareType
from xvirt.model.machine.nic import Nic
from xvirt.model.meta import Resource
from xvirt.model.virtualmachine import MachineBase, VirtualMachineSpec

__all__ = [
    "DiskBacking",
    "DomainContext",
    "NetworkBacking",
    "render_disk",
    "render_domain",
    "render_memory_device",
    "render_nic",
]

_NAMED_MODES = ("host-model", "host-passthrough", "maximum")
TB_CACHE_MIB = 64
"""TCG's translation cache; QEMU's default grows towards 1 GiB per machine."""
TB_CACHE_HOTPLUG_MIB = 128
"""QEMU 7.2 aborts when a vCPU is added while the cache is full."""


def render_domain(machine: Resource, context: DomainContext) -> etree._Element:
    """The whole definition, without `spec.domain` (see `overlay`) and without addresses.

    Raises InvalidSpec where the context lacks a volume or network that the machine names.
    """
    spec: VirtualMachineSpec = machine.spec
    is_bare = spec.base is MachineBase.BARE
    layout = layout_memory(spec.memory, is_exact=is_bare)
    root = etree.Element("domain", {"type": context.domain_type})
    child(root, "name", text=context.name)
    child(root, "uuid", text=context.uuid)
    if context.mark is not None:
        write_mark(root, context.mark)
    add_memory(root, layout)
    possible = spec.cpu.max or spec.cpu.cores
    current = str(spec.cpu.cores) if spec.cpu.cores != possible else None
    child(root, "vcpu", {"placement": "static", "current": current}, possible)
    if spec.io_threads:
        child(root, "iothreads", text=spec.io_threads)
    if is_bare:
        _add_bare(root, machine, layout, context)
        return root
    _add_os(root, spec, context)
    _add_features(root, spec, context)
    _add_cpu(root, spec.cpu, layout, context)
    _add_lifecycle(root, context)
    _add_devices(root, machine, layout, context)
    return root


def _add_bare(root: etree._Element, machine: Resource, layout: MemoryLayout, context: DomainContext) -> None:
    """What a field declares, and nothing that no field speaks of."""
    spec: VirtualMachineSpec = machine.spec
    os = child(root, "os", {"firmware": "efi" if spec.firmware.type is FirmwareType.UEFI else None})
    child(os, "type", {"arch": context.architecture, "machine": spec.machine}, "hvm")
    if spec.firmware.secure_boot:
        _add_firmware_features(os, spec.firmware)
        child(child(root, "features"), "smm", {"state": "on"})
    if spec.cpu.model is not None or spec.cpu.topology is not None or layout.device_bytes:
        _add_cpu(root, spec.cpu, layout, context, is_bare=True)
    devices = child(root, "devices")
    _add_disks(devices, machine, context)
    if any(disk.bus is DiskBus.SCSI and not disk.adopted for disk in spec.disks):
        add_scsi(devices)
    for nic in spec.nics:
        devices.append(_render_nic(machine, nic, context))
    add_agent(devices, spec.devices)
    add_declared(devices, spec.devices)
    if layout.device_bytes:
        devices.append(render_memory_device(0, layout.device_bytes))


def _add_os(root: etree._Element, spec: VirtualMachineSpec, context: DomainContext) -> None:
    is_uefi = spec.firmware.type is FirmwareType.UEFI
    os = child(root, "os", {"firmware": "efi" if is_uefi else None})
    child(os, "type", {"arch": context.architecture, "machine": spec.machine}, "hvm")
    if is_uefi:
        _add_firmware_features(os, spec.firmware)


def _add_firmware_features(os: etree._Element, declared: Firmware) -> None:
    enabled = "yes" if declared.secure_boot else "no"
    firmware = child(os, "firmware")
    child(firmware, "feature", {"enabled": enabled, "name": "enrolled-keys"})
    child(firmware, "feature", {"enabled": enabled, "name": "secure-boot"})


def _add_features(root: etree._Element, spec: VirtualMachineSpec, context: DomainContext) -> None:
    features = child(root, "features")
    child(features, "acpi")
    child(features, "apic")
    if needs_smm(spec.firmware):
        child(features, "smm", {"state": "on"})
    if context.domain_type == "qemu":
        is_growing = (spec.cpu.max or 0) > spec.cpu.cores
        size = TB_CACHE_HOTPLUG_MIB if is_growing else TB_CACHE_MIB
        child(child(features, "tcg"), "tb-cache", {"unit": "MiB"}, size)


def needs_smm(firmware: Firmware) -> bool:
    """Secure boot keeps its variables behind system management mode."""
    return firmware.secure_boot


def _add_cpu(
    root: etree._Element, cpu: Cpu, layout: MemoryLayout, context: DomainContext, *, is_bare: bool = False
) -> None:
    mode = {} if is_bare and cpu.model is None else _cpu_mode(cpu, context.domain_type)
    element = child(root, "cpu", mode)
    if cpu.model is not None and cpu.model not in _NAMED_MODES:
        child(element, "model", {"fallback": "forbid"}, cpu.model)
    possible = cpu.max or cpu.cores
    shape = cpu.topology
    if shape is None and not is_bare:
        shape = CpuTopology(sockets=possible, cores=1)
    if shape is not None:
        counts: dict[str, str | None] = {
            "sockets": str(shape.sockets),
            "cores": str(shape.cores),
            "threads": str(shape.threads),
        }
        child(element, "topology", counts)
    for feature in cpu.features:
        child(element, "feature", {"policy": feature.policy.value, "name": feature.name})
    if layout.device_bytes:
        cell = {"id": "0", "cpus": f"0-{possible - 1}" if possible > 1 else "0", "memory": str(layout.boot_bytes >> 10)}
        child(child(element, "numa"), "cell", {**cell, "unit": "KiB"})


def _cpu_mode(cpu: Cpu, domain_type: str) -> dict[str, str | None]:
    if cpu.model is None:
        return {"mode": "host-model"} if domain_type == "kvm" else {}
    if cpu.model in _NAMED_MODES:
        return {"mode": cpu.model}
    return {"mode": "custom", "match": "exact"}


def _add_lifecycle(root: etree._Element, context: DomainContext) -> None:
    clock = child(root, "clock", {"offset": "utc"})
    child(clock, "timer", {"name": "rtc", "tickpolicy": "catchup"})
    if context.domain_type == "kvm":
        child(clock, "timer", {"name": "pit", "tickpolicy": "delay"})
    child(clock, "timer", {"name": "hpet", "present": "no"})
    child(root, "on_poweroff", text="destroy")
    child(root, "on_reboot", text="restart")
    child(root, "on_crash", text="destroy")
    pm = child(root, "pm")
    child(pm, "suspend-to-mem", {"enabled": "no"})
    child(pm, "suspend-to-disk", {"enabled": "no"})


def _add_devices(root: etree._Element, machine: Resource, layout: MemoryLayout, context: DomainContext) -> None:
    spec: VirtualMachineSpec = machine.spec
    devices = child(root, "devices")
    _add_disks(devices, machine, context)
    add_controllers(devices, spec)
    for nic in spec.nics:
        devices.append(_render_nic(machine, nic, context))
    add_serial(devices, context.console_log_path)
    add_agent(devices, spec.devices)
    add_others(devices, spec.devices)
    if layout.device_bytes:
        devices.append(render_memory_device(0, layout.device_bytes))
    if is_pcie(spec.machine):
        add_ports(root, count_endpoints(root) + spec.devices.hotplug_ports)


def _render_nic(machine: Resource, nic: Nic, context: DomainContext) -> etree._Element:
    backing = backing_of(nic, context.networks)
    if backing is None:
        raise _missing(machine, f"spec.nics[{nic.name}].network", f"network {nic.network} was not resolved")
    return render_nic(machine, nic, backing, context.uuid)


def _add_disks(devices: etree._Element, machine: Resource, context: DomainContext) -> None:
    spec: VirtualMachineSpec = machine.spec
    orders = [disk.boot_order for disk in spec.disks] + [nic.boot_order for nic in spec.nics]
    has_order = any(order is not None for order in orders) or spec.base is MachineBase.BARE
    for index, disk in enumerate(spec.disks):
        backing = context.disks.get(disk.name)
        if backing is None and disk.source is not None and disk.source.path is None:
            raise _missing(machine, f"spec.disks[{disk.name}].source", "its volume was not resolved")
        element = render_disk(machine, disk, backing)
        if index == 0 and not has_order:
            serial = element.find("serial")
            if serial is not None:
                serial.addnext(etree.Element("boot", {"order": "1"}))
        devices.append(element)
    if context.seed_path is not None:
        devices.append(render_seed(context.seed_path))


def _missing(machine: Resource, path: str, message: str) -> InvalidSpec:
    return InvalidSpec([Problem(path, message, "apply what it names first")], machine.key, reason="NotResolved")
