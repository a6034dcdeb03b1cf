"""Disks of a KubeVirt domain, each with its volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xvirt.imports.kubevirt.volumes import Backing, Volumes
from xvirt.imports.result import to_label
from xvirt.imports.source import Source

_DEFAULT_BUS = "sata"
"""KubeVirt's on x86, where a disk names none."""
_BUSES = ("virtio", "scsi", "sata", "usb")


def read_disks(
    domain: Source, template: Source, volumes: Volumes
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """`spec.disks` in KubeVirt's order, and `spec.cloudInit`."""
    by_name = {volume.text("name") or "": volume for volume in template.each("volumes")}
    disks: list[dict[str, Any]] = []
    cloud_init: dict[str, Any] | None = None
    used: set[str] = set()
    for device in domain.enter("devices").each("disks"):
        name = device.text("name") or ""
        volume = by_name.get(name)
        used.add(name)
        backing = volumes.read(volume) if volume is not None else None
        if backing is not None and backing.cloud_init is not None:
            cloud_init = backing.cloud_init
            _take_place(device)
            continue
        disk = _disk(device, name, backing)
        if disk is not None:
            disks.append(disk)
    shared = {item.get("name") for item in _filesystems(domain)}
    for name, volume in by_name.items():
        if name in used or name in shared:
            continue
        backing = volumes.read(volume)
        if backing is not None and backing.cloud_init is not None:
            cloud_init = backing.cloud_init
        elif (disk := _disk(template.ledger.open({}, volume.path), name, backing)) is not None:
            disks.append(disk)  # KubeVirt gives it one
    return disks, cloud_init


def _filesystems(domain: Source) -> list[Mapping[str, Any]]:
    """Volumes that are folders in the guest; `devices.filesystems` itself is told with the other devices."""
    found = domain.enter("devices").take("filesystems")
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _disk(device: Source, name: str, backing: Backing | None) -> dict[str, Any] | None:
    kind = next((key for key in ("disk", "cdrom", "lun") if key in device), "disk")
    target = device.enter(kind)
    if kind == "lun":
        _drop(device, target)
        device.ledger.miss(
            device.path, "SCSI passthrough is the host's", "declare it in spec.domain under a profile that allows it"
        )
        return None
    is_cdrom = kind == "cdrom"
    if backing is None and not is_cdrom:
        _drop(device, target)
        device.ledger.miss(device.path, "its volume has no counterpart in xVirt, so the disk is left out")
        return None
    disk: dict[str, Any] = {"name": to_label(name)}
    if disk["name"] != name:
        device.note("name", f"is called {disk['name']} here")
    if backing is not None:
        disk["source"] = dict(backing.source or {})
        if backing.deletion_policy:
            disk["deletionPolicy"] = backing.deletion_policy
    if is_cdrom:
        disk["device"] = "Cdrom"
        target.take("readonly")
        target.take("tray")
    elif target.flag("readonly"):
        disk["readOnly"] = True
    disk["bus"] = _bus(target, is_cdrom=is_cdrom)
    disk.update(_settings(device))
    return disk


def _take_place(device: Source) -> None:
    """The seed's bus and drive are xVirt's choice."""
    for kind in ("disk", "cdrom"):
        target = device.enter(kind)
        for key in ("bus", "readonly", "tray"):
            target.take(key)


def _drop(*sources: Source) -> None:
    """A disk that is left out is told as a whole."""
    for source in sources:
        source.take_all()


def _bus(target: Source, *, is_cdrom: bool) -> str:
    written = target.text("bus")
    if written is None:
        return _DEFAULT_BUS
    if written not in _BUSES or (is_cdrom and written == "virtio"):
        target.note("bus", f"{written} is not had here; taken as {_DEFAULT_BUS}")
        return _DEFAULT_BUS
    return written


def _settings(device: Source) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, ours in (("serial", "serial"), ("cache", "cache"), ("io", "io"), ("errorPolicy", "errorPolicy")):
        text = device.text(key)
        if text:
            found[ours] = text
    if found.get("io") == "native" and "cache" not in found:
        found["cache"] = "none"  # KubeVirt's choice for it
    order = device.integer("bootOrder")
    if order:
        found["bootOrder"] = order
    return found
