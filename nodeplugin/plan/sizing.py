"""vCPUs and memory of a running machine: what can follow the declaration now, and what waits for a restart."""

from __future__ import annotations

import copy

from lxml import etree

from nodeplugin.plan.observation import Definition
from nodeplugin.plan.step import SetBalloon, SetVcpus, Step, UpdateDevice
from xvirt.domainxml.facts import DomainFacts
from xvirt.domainxml.memory import BOOT_BLOCK_BYTES, VIRTIO_MEM_BLOCK_BYTES, round_up
from xvirt.domainxml.tree import to_text
from xvirt.model.machine.hardware import Cpu, Memory, MemoryHotplug


def plan_vcpus(uuid: str, cpu: Cpu, live: DomainFacts) -> tuple[list[Step], list[str]]:
    """Steps and restart-required paths for `spec.cpu.cores`."""
    if cpu.cores == live.vcpus:
        return [], []
    if cpu.cores > live.max_vcpus or cpu.cores < live.vcpus_floor:
        return [], ["spec.cpu.cores"]
    return [SetVcpus(uuid=uuid, count=cpu.cores)], []


def plan_memory(uuid: str, memory: Memory, definition: Definition) -> tuple[list[Step], list[str]]:
    """Steps and restart-required paths for `spec.memory.size`."""
    live = definition.facts
    device = live.memory_device
    if device is None:
        return _plan_balloon(uuid, memory, live)
    base = live.memory_bytes - device.size_bytes
    wanted = round_up(int(memory.size) - base, VIRTIO_MEM_BLOCK_BYTES)
    if wanted == device.requested_bytes:
        return [], []
    if not 0 <= wanted <= device.size_bytes:
        return [], ["spec.memory.size"]
    xml = _request_memory(definition.root, wanted)
    return [UpdateDevice(uuid=uuid, what=f"memory to {memory.size}", xml=xml)], []


def _request_memory(root: etree._Element, wanted_bytes: int) -> str:
    """The running device with another request: libvirt finds it by its address, so the rendered one would not do."""
    element = copy.deepcopy(root.find("devices/memory[@model='virtio-mem']"))
    requested = element.find("target/requested") if element is not None else None
    if element is None or requested is None:
        raise ValueError("a domain with memory facts has a virtio-mem device")
    requested.set("unit", "KiB")
    requested.text = str(wanted_bytes >> 10)
    return to_text(element)


def _plan_balloon(uuid: str, memory: Memory, live: DomainFacts) -> tuple[list[Step], list[str]]:
    wanted = round_up(int(memory.size), BOOT_BLOCK_BYTES)
    if live.current_memory_bytes in (wanted, int(memory.size)):
        return [], []
    is_balloon = memory.hotplug is MemoryHotplug.BALLOON
    if not is_balloon or wanted > live.memory_bytes:
        return [], ["spec.memory.size"]
    return [SetBalloon(uuid=uuid, size_bytes=wanted)], []
