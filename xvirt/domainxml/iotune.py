"""Limits of disks: `<iotune>`, in libvirt's own names, which are those of virDomainSetBlockIoTune too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lxml import etree

from xvirt.domainxml.elements import child, integer
from xvirt.model.machine.disk_limits import ByteRate, DiskLimits, OperationRate

DiskTune = Mapping[str, int | str]
"""What is limited, by libvirt's name: nothing that is zero, and no length that is libvirt's own (one second). `group_name` is a text."""

GROUP = "group_name"
_RATES = tuple(f"{way}_{unit}_sec" for unit in ("bytes", "iops") for way in ("total", "read", "write"))
_BURSTS = tuple(f"{name}_max" for name in _RATES)
_LENGTHS = tuple(f"{name}_max_length" for name in _RATES)
NUMBERS = (*_RATES, *_BURSTS, "size_iops_sec", *_LENGTHS)
"""All that virDomainSetBlockIoTune takes but the group; what is left out of a call keeps its value."""
_ORDER = (*_RATES, *_BURSTS, "size_iops_sec", GROUP, *_LENGTHS)
"""As libvirt's schema has it."""


def disk_tune(limits: DiskLimits | None) -> DiskTune:
    """What a disk's limits are to libvirt."""
    if limits is None:
        return {}
    found: dict[str, int | str] = {}
    rates = (
        limits.total_bytes,
        limits.read_bytes,
        limits.write_bytes,
        limits.total_iops,
        limits.read_iops,
        limits.write_iops,
    )
    for name, rate in zip(_RATES, rates, strict=True):
        found.update(_rate_values(name, rate))
    if limits.iops_size is not None:
        found["size_iops_sec"] = int(limits.iops_size)
    if limits.group is not None:
        found[GROUP] = limits.group
    return _normal(found)


def _rate_values(name: str, rate: ByteRate | OperationRate | None) -> Iterator[tuple[str, int]]:
    if rate is None:
        return
    yield name, int(rate.per_second)
    if rate.burst is not None:
        yield f"{name}_max", int(rate.burst)
        yield f"{name}_max_length", rate.burst_seconds or 1


def add_tune(disk: etree._Element, tune: DiskTune) -> None:
    """Append `<iotune>` where something is limited."""
    if tune:
        element = child(disk, "iotune")
        for name in _ORDER:
            if name in tune:
                child(element, name, text=tune[name])


def read_tune(disk: etree._Element) -> DiskTune:
    """What a disk's XML says. libvirt leaves the length of a burst behind that is no more."""
    found: dict[str, int | str] = {}
    for item in disk.iterfind("iotune/*"):
        text = (item.text or "").strip()
        if item.tag == GROUP:
            found[GROUP] = text
        elif item.tag in NUMBERS:
            found[str(item.tag)] = integer(text)
    return _normal(found)


def _normal(values: dict[str, int | str]) -> DiskTune:
    idle = {name for name in _LENGTHS if values.get(name) == 1 or not values.get(name.removesuffix("_length"))}
    kept = {name: value for name, value in values.items() if value and name not in idle}
    return kept if set(kept) - {GROUP} else {}
