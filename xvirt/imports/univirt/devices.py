"""Verbs upon a machine's disks, drives and cards."""

from __future__ import annotations

import re
from typing import Any

from xvirt.imports.result import to_label
from xvirt.imports.source import Source
from xvirt.imports.univirt.stage import BUSES, Stage, wrong
from xvirt.imports.univirt.storage import declare_image
from xvirt.imports.univirt.words import read_options, read_size, stem

_BUS_NAMES = ("virtio", "scsi", "sata", "usb")
_OVN = "virtual switches are not the host's libvirt's"
_OVN_REMEDY = "plug the card into a VirtualNetwork of mode Bridge"
KIBIBYTE = 1024


def plug_disk(stage: Stage, name: str, params: Source) -> None:
    spec = stage.machine(name, params)
    if spec is None:
        return
    path, target = params.text("source") or "", params.text("target")
    for key in ("driver", "subdriver", "sourcetype"):
        params.take(key)  # the VirtualDisk knows its format
    is_cdrom = params.text("type") == "cdrom"
    if target and target in stage.targets(name, spec).values():
        params.take_all()
        params.ledger.miss(params.at("target"), f"VirtualMachine {name} has a disk at {target}", "unplug it first")
        return
    disk: dict[str, Any] = {"name": _free_name(spec, "disks", to_label(stem(path)) or "disk")}
    if is_cdrom:
        disk.update(source={"image": declare_image(stage, path)}, device="Cdrom", bus="sata")
    else:
        disk["source"] = find_source(stage, path, params)
        disk["bus"] = _bus(params, target)
    if params.text("mode") == "readonly" and not is_cdrom:
        disk["readOnly"] = True
    for key in ("cache", "io", "serial"):
        if text := params.text(key):
            disk[key] = text
    stage.targets(name, spec)
    spec.setdefault("disks", []).append(
        {key: value for key, value in disk.items() if (key, value) != ("bus", "virtio")}
    )
    if target:
        stage.name_target(name, target, disk["name"])


def unplug_disk(stage: Stage, name: str, params: Source) -> None:
    spec = stage.machine(name, params)
    if spec is None:
        return
    target = params.text("target") or ""
    disk = stage.disk_at(name, spec, target)
    if disk is None:
        params.ledger.miss(params.at("target"), f"VirtualMachine {name} has no disk {target}", "look at its disks")
        return
    spec["disks"].remove(disk)


def manage_iso(stage: Stage, name: str, params: Source) -> None:
    """Insert, eject or change a CD; the drive is the one at `path`, or the only one."""
    spec = stage.machine(name, params)
    if spec is None:
        return
    for key in ("insert", "update", "block", "force"):
        params.take(key)
    target = params.text("path") or ""
    drives = [disk for disk in spec.get("disks", []) if disk.get("device") == "Cdrom"]
    drive = stage.disk_at(name, spec, target) if target else None
    if drive is None or drive not in drives:
        drive = drives[0] if len(drives) == 1 else None
    medium = params.text("source")
    if drive is None:
        params.ledger.miss(
            params.path, f"VirtualMachine {name} has no CD drive {target}", "declare a disk of device Cdrom"
        )
    elif params.flag("eject") or not medium:
        drive.pop("source", None)
    else:
        drive["source"] = {"image": declare_image(stage, medium)}


def resize_attached(stage: Stage, name: str, params: Source) -> None:
    spec = stage.machine(name, params)
    if spec is None:
        return
    target = params.text("path") or ""
    disk = stage.disk_at(name, spec, target)
    size = size_of(params, "size", "k")
    if disk is None:
        params.ledger.miss(params.at("path"), f"VirtualMachine {name} has no disk {target}", "look at its disks")
        return
    source = disk.setdefault("source", {})
    owner = stage.find("VirtualDisk", source.get("disk", ""))
    if "disk" not in source:
        source["size"] = size
    elif owner is not None:
        owner["spec"]["size"] = size
    else:
        params.ledger.miss(
            params.path, f"VirtualDisk {source['disk']} has its own size", f"set its spec.size to {size}"
        )


def plug_nic(stage: Stage, name: str, params: Source) -> None:
    spec = stage.machine(name, params)
    if spec is None:
        return
    kind = params.text("type") or "network"
    options = read_options(params.text("source") or "", "source")
    if kind == "l3bridge" or "switch" in params:
        params.miss("switch", _OVN, _OVN_REMEDY)
        params.miss("ip", _OVN, "reserve the address in the network's dhcp.hosts")
    network = declare_network(stage, kind, options.get("source", ""), vlan_of(params, "vlan", params.text("vlan")))
    nic: dict[str, Any] = {"name": _free_name(spec, "nics", network), "network": network}
    mac, model = params.text("mac"), params.text("model")
    if mac:
        nic["mac"] = mac.lower()
    if model and model != "virtio":
        nic["model"] = model
    bandwidth = read_bandwidth(params)
    if bandwidth:
        nic["bandwidth"] = bandwidth
    for key in ("target", "script", "managed"):
        params.miss(key, "names and scripts of host devices are the host's")
    spec.setdefault("nics", []).append(nic)


def unplug_nic(stage: Stage, name: str, params: Source) -> None:
    spec = stage.machine(name, params)
    if spec is None:
        return
    for key in ("type", "source", "vlan"):
        params.take(key)
    nic = _card(spec, params.text("mac") or "")
    if nic is None:
        params.ledger.miss(params.at("mac"), f"VirtualMachine {name} has no card with this address", "look at its nics")
        return
    spec["nics"].remove(nic)


def tune_nic(stage: Stage, name: str, params: Source) -> None:
    spec = stage.machine(name, params)
    if spec is None:
        return
    nic = _card(spec, params.text("interface") or "")
    if nic is None:
        params.ledger.miss(params.at("interface"), f"VirtualMachine {name} has no such card", "name it by its mac")
        return
    given = [key for key in ("inbound", "outbound") if params.text(key)]
    kept = {key: limit for key, limit in nic.get("bandwidth", {}).items() if key not in given}
    bandwidth = {**kept, **read_bandwidth(params)}
    nic.pop("bandwidth", None)
    if bandwidth:
        nic["bandwidth"] = bandwidth


_LIMITS = {
    "total-bytes-sec": ("totalBytes", "perSecond"),
    "read-bytes-sec": ("readBytes", "perSecond"),
    "write-bytes-sec": ("writeBytes", "perSecond"),
    "total-iops-sec": ("totalIops", "perSecond"),
    "read-iops-sec": ("readIops", "perSecond"),
    "write-iops-sec": ("writeIops", "perSecond"),
    "total-bytes-sec-max": ("totalBytes", "burst"),
    "read-bytes-sec-max": ("readBytes", "burst"),
    "write-bytes-sec-max": ("writeBytes", "burst"),
    "total-iops-sec-max": ("totalIops", "burst"),
    "read-iops-sec-max": ("readIops", "burst"),
    "write-iops-sec-max": ("writeIops", "burst"),
}
"""virsh's options (https://libvirt.org/manpages/virsh.html#blkdeviotune), with underscores or hyphens; zero takes a limit away."""


def tune_disk(stage: Stage, name: str, params: Source) -> None:
    spec = stage.machine(name, params)
    if spec is None:
        return
    target = params.text("device") or ""
    disk = stage.disk_at(name, spec, target)
    if disk is None:
        params.take_all()
        params.ledger.miss(params.at("device"), f"VirtualMachine {name} has no disk {target}", "look at its disks")
        return
    limits: dict[str, Any] = disk.get("ioLimits", {})
    for option, (field, part) in _LIMITS.items():
        for spelling in (option, option.replace("-", "_")):
            if spelling in params:
                limits.setdefault(field, {})[part] = params.integer(spelling)
    disk["ioLimits"] = {field: limit for field, limit in limits.items() if limit.get("perSecond")}
    if not disk["ioLimits"]:
        del disk["ioLimits"]


def find_source(stage: Stage, path: str, params: Source) -> dict[str, Any]:
    """A disk's source for a path: the VirtualDisk that lies there."""
    name = to_label(stem(path))
    if stage.find("VirtualDisk", name) is None:
        params.ledger.miss(
            params.at("source") if "source" in params else params.path,
            f"no VirtualDisk lies at {path}; the machine waits for VirtualDisk {name}",
            f"declare VirtualDisk {name} and bring its content, or give its manifest with --onto",
        )
    return {"disk": name}


def declare_network(stage: Stage, kind: str, source: str, vlan: int | None = None) -> str:
    """The VirtualNetwork that a card's type and source mean, declared where it is not yet."""
    name = to_label(f"{source}-vlan{vlan}" if vlan else source) or "default"
    if "bridge" in kind and stage.find("VirtualNetwork", name) is None:
        stage.declare("VirtualNetwork", name, {"mode": "Bridge", "bridge": source, **({"vlan": vlan} if vlan else {})})
    return name


def read_bandwidth(params: Source) -> dict[str, Any]:
    """virsh's `average,peak,burst` in kilobytes per second and kilobytes (https://libvirt.org/manpages/virsh.html#domiftune)."""
    found: dict[str, Any] = {}
    for key in ("inbound", "outbound"):
        text = params.text(key)
        if not text:
            continue
        numbers = [int(part) if part.strip().isdigit() else 0 for part in text.split(",")]
        average, peak, burst = (*numbers, 0, 0, 0)[:3]
        limit: dict[str, Any] = {"average": average * 1000}
        if peak:
            limit["peak"] = peak * 1000
        if burst:
            limit["burst"] = burst * KIBIBYTE
        if average:
            found[key] = limit
    return found


def vlan_of(params: Source, key: str, text: str | None) -> int | None:
    """A VLAN's number, where there is one. Raises InvalidSpec."""
    return whole(params, key, text) if text else None


def whole(params: Source, key: str, text: str) -> int:
    """A whole number. Raises InvalidSpec."""
    if not re.fullmatch("[0-9]{1,12}", text, re.ASCII):
        raise params.refuse(key, f"{text[:40]!r} is no whole number")
    return int(text)


def size_of(params: Source, key: str, unit: str) -> str:
    """A size, of a unit where it names none. Raises InvalidSpec."""
    try:
        return read_size(params.text(key) or "", unit)
    except ValueError as error:
        raise wrong(params, key, error) from error


def _card(spec: dict[str, Any], word: str) -> dict[str, Any] | None:
    nics: list[dict[str, Any]] = spec.get("nics", [])
    return next((nic for nic in nics if word.lower() in (nic.get("mac"), nic["name"])), None)


def _bus(params: Source, target: str | None) -> str:
    bus = params.text("targetbus")
    if bus in _BUS_NAMES:
        return bus
    return BUSES.get((target or "vd")[:2], "virtio")


def _free_name(spec: dict[str, Any], key: str, wanted: str) -> str:
    taken = {item["name"] for item in spec.get(key, [])}
    if wanted not in taken:
        return wanted
    return next(name for number in range(2, 1000) if (name := f"{wanted[:58]}-{number}") not in taken)
