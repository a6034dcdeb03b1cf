"""Processors, memory, firmware and the smaller devices, as far as the typed fields say them."""

from __future__ import annotations

from typing import Any

from lxml import etree

from xvirt.domainxml.compare import lost
from xvirt.domainxml.devices import add_agent, add_declared
from xvirt.domainxml.elements import alias_of, attribute, integer, size_of, text_of
from xvirt.domainxml.memory import MEMORY_ALIAS
from xvirt.domainxml.split.sound import is_sound
from xvirt.model.machine.hardware import (
    Cpu,
    CpuFeature,
    CpuTopology,
    Devices,
    FeaturePolicy,
    Firmware,
    FirmwareType,
    GraphicsType,
    Memory,
    MemoryHotplug,
    WatchdogAction,
)
from xvirt.model.quantity import ByteSize

_NOTHING = Devices(guest_agent=False, rng=False, hotplug_ports=0)


def split_cpu(root: etree._Element) -> Cpu:
    """Counts always; model, flags and topology where they can be said."""
    possible = max(integer(text_of(root, "vcpu"), 1), 1)
    current = integer(attribute(root, "vcpu", "current"), possible)
    counts: dict[str, Any] = {"cores": current, "max": possible if current != possible else None}
    topology, (model, features) = _topology(root, possible), _model(root)
    choices: tuple[dict[str, Any], ...] = (
        {"topology": topology, "model": model, "features": features},
        {"topology": topology, "model": model},
        {"topology": topology},
        {},
    )
    candidates = (Cpu(**counts, **choice) for choice in choices)
    return next((cpu for cpu in candidates if is_sound(cpu)), Cpu(**counts))


def _topology(root: etree._Element, possible: int) -> CpuTopology | None:
    found = root.find("cpu/topology")
    if found is None:
        return None
    sockets, cores, threads = (integer(found.get(name, ""), 0) for name in ("sockets", "cores", "threads"))
    topology = CpuTopology(sockets=sockets, cores=cores, threads=threads)
    is_whole = sockets * cores * threads == possible and found.get("dies", "1") == "1"
    return topology if is_whole and is_sound(topology) else None


def _model(root: etree._Element) -> tuple[str | None, tuple[CpuFeature, ...]]:
    cpu = root.find("cpu")
    if cpu is None:
        return None, ()
    mode, match = cpu.get("mode", "custom"), cpu.get("match", "exact")
    model = mode
    if mode == "custom":
        model = text_of(cpu, "model")
        if not model or match != "exact":
            return None, ()
    return model, _features(cpu)


def _features(cpu: etree._Element) -> tuple[CpuFeature, ...]:
    """All or none: an overlay says the rest of a list by name, but two halves of one list are hard to read."""
    policies = {policy.value: policy for policy in FeaturePolicy}
    found = cpu.findall("feature")
    names = [item.get("name", "") for item in found]
    is_plain = all(set(item.attrib) == {"name", "policy"} and item.get("policy") in policies for item in found)
    if not is_plain or len(set(names)) != len(names):
        return ()
    return tuple(CpuFeature(name=item.get("name", ""), policy=policies[item.get("policy", "")]) for item in found)


def split_memory(root: etree._Element) -> Memory:
    """`<memory>`, with `<currentMemory>` as a balloon's."""
    total = size_of(root.find("memory")) or 0
    if (plugged := _virtio_mem(root, total)) is not None:
        return plugged
    current = size_of(root.find("currentMemory"))
    if current is None or current >= total or current <= 0:
        return Memory(size=ByteSize(total))
    return Memory(size=ByteSize(current), max=ByteSize(total), hotplug=MemoryHotplug.BALLOON)


def _virtio_mem(root: etree._Element, total: int) -> Memory | None:
    """Memory that xVirt itself made to grow: one device of its own, of which nothing is asked for yet."""
    devices = root.findall("devices/memory")
    if [alias_of(item) for item in devices] != [MEMORY_ALIAS]:
        return None
    size, requested = (size_of(devices[0].find(f"target/{name}")) or 0 for name in ("size", "requested"))
    memory = Memory(size=ByteSize(total - size), max=ByteSize(total)) if 0 < size < total else None
    return memory if memory is not None and requested == 0 and is_sound(memory) else None


def split_firmware(root: etree._Element) -> Firmware:
    """UEFI that libvirt chooses; a loader that is named by its path stays in the overlay."""
    os = root.find("os")
    if os is None or os.get("firmware") != "efi":
        return Firmware()
    features = {item.get("name"): item.get("enabled") for item in os.iterfind("firmware/feature")}
    is_secure = features == {"enrolled-keys": "yes", "secure-boot": "yes"}
    is_secure = is_secure and attribute(root, "features/smm", "state") == "on"
    return Firmware(type=FirmwareType.UEFI, secure_boot=is_secure)


def split_devices(root: etree._Element) -> Devices:
    """What is there just as a field makes it, or with more to it."""
    devices = root.find("devices")
    if devices is None:
        return _NOTHING
    actions = {action.value: action for action in WatchdogAction}
    watchdog = actions.get(attribute(devices, "watchdog", "action"))
    return Devices(
        guest_agent=_has(devices, Devices(rng=False, guest_agent=True)),
        rng=_has(devices, Devices(rng=True, guest_agent=False)),
        tpm=_has(devices, Devices(rng=False, guest_agent=False, tpm=True)),
        graphics=GraphicsType.VNC
        if _has(devices, Devices(rng=False, guest_agent=False, graphics=GraphicsType.VNC))
        else GraphicsType.NONE,
        watchdog=watchdog
        if watchdog is not None and _has(devices, Devices(rng=False, guest_agent=False, watchdog=watchdog))
        else None,
        hotplug_ports=0,
    )


def _has(devices: etree._Element, declared: Devices) -> bool:
    """Whether the first device of the declared one's kind is what would be rendered: an overlay finds it by its position."""
    made = etree.Element("devices")
    add_agent(made, declared)
    add_declared(made, declared)
    (device,) = made
    found = devices.findall(str(device.tag))
    if device.tag == "channel":
        name = attribute(device, "target", "name")
        found = [item for item in found if attribute(item, "target", "name") == name]
        return len(found) == 1 and not lost(device, found[0])
    return bool(found) and not lost(device, found[0])
