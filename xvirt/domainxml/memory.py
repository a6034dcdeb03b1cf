"""How a machine's memory is laid out, and the XML of it.

libvirt and QEMU want whole blocks, so declared sizes are rounded up: to 1 MiB (qemuDomainGetMemorySizeAlignment), or with
virtio-mem to its block of 2 MiB, the smallest with transparent huge pages (QEMU docs, "virtio-mem").
"""

from __future__ import annotations

import dataclasses

from lxml import etree

from xvirt.domainxml.elements import child, size_element
from xvirt.model.machine.hardware import Memory, MemoryHotplug

VIRTIO_MEM_BLOCK_BYTES = 2 << 20
BOOT_BLOCK_BYTES = 1 << 20
EXACT_BLOCK_BYTES = 1 << 10
"""The unit that definitions are written in."""
MEMORY_ALIAS = "ua-memory"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MemoryLayout:
    """Bytes. `total_bytes` is what `<memory>` says, virtio-mem included; `boot_bytes` is there from the start, `current_bytes` is
    what a balloon leaves of it, `device_bytes` is the size of the virtio-mem device (0: none)."""

    total_bytes: int
    boot_bytes: int
    current_bytes: int
    device_bytes: int


def layout_memory(memory: Memory, *, is_exact: bool = False) -> MemoryLayout:
    """The layout that a declaration is started with; `is_exact` leaves to QEMU the rounding of a size that does not change."""
    size, maximum = int(memory.size), int(memory.max or 0)
    if maximum > size and memory.hotplug is MemoryHotplug.VIRTIO_MEM:
        boot = round_up(size, VIRTIO_MEM_BLOCK_BYTES)
        device = round_up(maximum, VIRTIO_MEM_BLOCK_BYTES) - boot
        return MemoryLayout(
            total_bytes=boot + device, boot_bytes=boot, current_bytes=boot + device, device_bytes=device
        )
    block = EXACT_BLOCK_BYTES if is_exact else BOOT_BLOCK_BYTES
    current = round_up(size, block)
    total = max(round_up(maximum, block), current) if memory.hotplug is MemoryHotplug.BALLOON else current
    return MemoryLayout(total_bytes=total, boot_bytes=total, current_bytes=current, device_bytes=0)


def round_up(size_bytes: int, block_bytes: int) -> int:
    """The least multiple of the block that holds the size."""
    return -(-size_bytes // block_bytes) * block_bytes


def add_memory(root: etree._Element, layout: MemoryLayout) -> None:
    """`<maxMemory>`, `<memory>`, `<currentMemory>`."""
    if layout.device_bytes:
        size_element(root, "maxMemory", layout.total_bytes).set("slots", "1")
    size_element(root, "memory", layout.total_bytes)
    if layout.current_bytes != layout.total_bytes:
        size_element(root, "currentMemory", layout.current_bytes)


def render_memory_device(requested_bytes: int, size_bytes: int) -> etree._Element:
    """The virtio-mem device: up to `size_bytes`, of which the guest is to plug in `requested_bytes` now; both whole blocks."""
    element = etree.Element("memory", {"model": "virtio-mem"})
    target = child(element, "target")
    size_element(target, "size", size_bytes)
    child(target, "node", text=0)
    size_element(target, "block", VIRTIO_MEM_BLOCK_BYTES)
    size_element(target, "requested", requested_bytes)
    child(element, "alias", {"name": MEMORY_ALIAS})
    return element
