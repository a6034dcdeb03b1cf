"""What no single value shows: places of one domain that are harmless each and dangerous together."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from xvirt.domainxml.elements import alias_of, attribute, integer, size_of, unit_bytes

_OWN_DISKS = ("ua-disk-", "ua-seed")

Misuse = tuple[str, str, str]
"""(place in the XML below the domain, path of the rule, message)"""


def find_misuse(root: etree._Element) -> Iterator[Misuse]:
    """Every combination that is denied below `privileged`."""
    yield from _disks_of_others(root)
    yield from _logs_into_disks(root)
    yield from _volumes_twice(root)
    yield from _hidden_memory(root)


def _disks_of_others(root: etree._Element) -> Iterator[Misuse]:
    """A volume is named by a typed disk alone, which also fixes its format: a guest writes what it likes into a raw disk, and the same
    file attached as qcow2 may name any file of the host as its backing file (https://libvirt.org/kbase/secureusage.html)."""
    for disk in root.iterfind("devices/disk"):
        if disk.find("source") is not None and not alias_of(disk).startswith(_OWN_DISKS):
            place = f"devices/disk[{alias_of(disk) or attribute(disk, 'target', 'dev')}]/source"
            yield place, "devices/disk/source", "a volume may only be attached by spec.disks, which fixes its format"


def _logs_into_disks(root: etree._Element) -> Iterator[Misuse]:
    """What a guest says on its console must not become the header of its disk."""
    files = {attribute(disk, "source", "file") for disk in root.iterfind("devices/disk")} - {""}
    for log in root.iterfind("devices/*/log"):
        if log.get("file") in files:
            parent = log.getparent()
            name = parent.tag if parent is not None else "*"
            yield f"devices/{name}/log/@file", "devices/serial/log", "a console may not be logged into a disk"


def _volumes_twice(root: etree._Element) -> Iterator[Misuse]:
    """What a guest writes through one disk, a second one of another format would read as a header: of a seed, too."""
    seen: set[str] = set()
    for disk in root.iterfind("devices/disk"):
        file = attribute(disk, "source", "file")
        if file and file in seen:
            yield f"devices/disk[{alias_of(disk)}]/source/@file", "devices/disk/source", "a file may be attached once"
        seen.add(file)


def _hidden_memory(root: etree._Element) -> Iterator[Misuse]:
    """NUMA cells and memory devices are what the machine really gets; quota counts `<memory>`, which spec.memory gives."""
    cells = root.findall("cpu/numa/cell")
    factors = [unit_bytes(cell.get("unit") or "KiB") or 0 for cell in cells]
    boot = sum(integer(cell.get("memory", "")) * factor for cell, factor in zip(cells, factors, strict=True))
    devices = sum(size_of(size) or 0 for size in root.iterfind("devices/memory/target/size"))
    declared = size_of(root.find("memory")) or 0
    total = boot + devices if cells else declared + devices
    if (cells or devices) and total > declared:
        message = f"NUMA cells and memory devices hold {total} bytes, spec.memory gives {declared}"
        yield "cpu/numa", "cpu/numa/cell", message
