"""vCPUs and memory of a running machine: what can follow the declaration now, and what waits for a restart."""

from __future__ import annotations

from nodeplugin.plan.step import SetBalloon, SetVcpus, Step, UpdateDevice
from xvirt.domainxml.facts import DomainFacts
from xvirt.domainxml.memory import VIRTIO_MEM_BLOCK_BYTES, render_memory_device, round_up
from xvirt.domainxml.tree import to_text
from xvirt.model.virtualmachine import Cpu, Memory, MemoryHotplug


def plan_vcpus(uuid: str, cpu: Cpu, live: DomainFacts) -> tuple[list[Step], list[str]]:
    """Steps and restart-required paths for `spec.cpu.cores`."""
    if cpu.cores == live.vcpus:
        return [], []
    if cpu.cores > live.max_vcpus or cpu.cores < live.vcpus_floor:
        return [], ["spec.cpu.cores"]
    return [SetVcpus(uuid=uuid, count=cpu.cores)], []


def plan_memory(uuid: str, memory: Memory, live: DomainFacts) -> tuple[list[Step], list[str]]:
    """Steps and restart-required paths for `spec.memory.size`."""
    device = live.memory_device
    if device is None:
        return _plan_balloon(uuid, memory, live)
    base = live.memory_bytes - device.size_bytes
    wanted = round_up(int(memory.size) - base, VIRTIO_MEM_BLOCK_BYTES)
    if wanted == device.requested_bytes:
        return [], []
    if not 0 <= wanted <= device.size_bytes:
        return [], ["spec.memory.size"]
    element = render_memory_device(requested_bytes=wanted, size_bytes=device.size_bytes)
    return [UpdateDevice(uuid=uuid, what=f"memory to {memory.size}", xml=to_text(element))], []


def _plan_balloon(uuid: str, memory: Memory, live: DomainFacts) -> tuple[list[Step], list[str]]:
    if int(memory.size) == live.current_memory_bytes:
        return [], []
    is_balloon = memory.hotplug is MemoryHotplug.BALLOON
    if not is_balloon or int(memory.size) > live.memory_bytes:
        return [], ["spec.memory.size"]
    return [SetBalloon(uuid=uuid, size_bytes=int(memory.size))], []
