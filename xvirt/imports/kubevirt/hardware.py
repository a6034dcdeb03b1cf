"""Processors, memory, firmware, clock and features of a KubeVirt domain."""

from __future__ import annotations

import math
import re
from typing import Any

from xvirt.imports.source import Source

_SCHEDULING = "what a scheduler is to count; xVirt counts what the machine has"
_PLAIN_FEATURES = ("acpi", "apic", "pae", "smm", "pvspinlock")
_HYPERV_SWITCHES = (
    "relaxed",
    "vapic",
    "vpindex",
    "runtime",
    "synic",
    "reset",
    "frequencies",
    "reenlightenment",
    "tlbflush",
    "ipi",
    "evmcs",
)
_TIMERS = {"hpet": "hpet", "kvm": "kvmclock", "pit": "pit", "rtc": "rtc", "hyperv": "hypervclock"}
"""libvirt's names (https://libvirt.org/formatdomain.html#time-keeping)."""


def read_cpu(domain: Source) -> dict[str, Any]:
    """`spec.cpu`: KubeVirt counts sockets, cores and threads, and takes the resources' cpu where there are none."""
    cpu, resources = domain.enter("cpu"), domain.enter("resources")
    sockets, cores, threads = (cpu.integer(key) for key in ("sockets", "cores", "threads"))
    requested = _requested_cpus(resources, has_topology=bool(sockets or cores or threads))
    spec: dict[str, Any] = {}
    if sockets or cores or threads:
        spec = _topology(sockets or 1, cores or 1, threads or 1, cpu.integer("maxSockets"))
    elif requested:
        spec = {"cores": requested}
    model = cpu.text("model")
    if model:
        spec["model"] = model
    features = [{"name": item.text("name"), **_policy(item)} for item in cpu.each("features")]
    if features:
        spec["features"] = features
        spec.setdefault("model", "host-model")
    for key in ("dedicatedCpuPlacement", "isolateEmulatorThread"):
        if cpu.flag(key):
            cpu.miss(
                key,
                "pinning is the host administrator's",
                "declare cputune in spec.domain under a profile that allows it",
            )
    return spec


def _topology(sockets: int, cores: int, threads: int, max_sockets: int | None) -> dict[str, Any]:
    now = sockets * cores * threads
    most = max(max_sockets or sockets, sockets) * cores * threads
    spec: dict[str, Any] = {"cores": now}
    if most > now:
        spec["max"] = most
    if cores > 1 or threads > 1:
        spec["topology"] = {"sockets": most // (cores * threads), "cores": cores, "threads": threads}
    return spec


def _policy(feature: Source) -> dict[str, str]:
    policy = feature.text("policy")
    return {"policy": policy} if policy and policy != "require" else {}


def _requested_cpus(resources: Source, *, has_topology: bool) -> int | None:
    found: int | None = None
    for key in ("limits", "requests"):
        part = resources.enter(key)
        text = part.text("cpu")
        if text is None:
            continue
        if has_topology or found is not None:
            part.miss("cpu", _SCHEDULING)
        else:
            found = _whole_cpus(part, text)
            part.note("cpu", f"taken as {found} vCPUs, as KubeVirt does where cpu gives none")
    return found


def _whole_cpus(part: Source, text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9})(\.[0-9]{1,9})?(m?)", text, re.ASCII)
    if match is None:
        raise part.refuse("cpu", f"{text[:40]!r} is no number of processors such as 2 or 500m")
    number = float(match.group(1) + (match.group(2) or ""))
    return math.ceil(number / 1000 if match.group(3) else number)


def read_memory(domain: Source) -> dict[str, Any] | None:
    """`spec.memory`; None where the document gives none (an instancetype may)."""
    memory, resources = domain.enter("memory"), domain.enter("resources")
    guest, most = memory.size("guest"), memory.size("maxGuest")
    for key in ("requests", "limits"):
        part = resources.enter(key)
        size = part.size("memory")
        if size is None:
            continue
        if guest is None:
            guest = size
            part.note("memory", "taken as the guest's memory, as KubeVirt does where memory.guest is absent")
        elif size != guest:
            part.miss("memory", _SCHEDULING)
    pages = memory.enter("hugepages")
    if pages.text("pageSize"):
        pages.ledger.miss(
            pages.at("pageSize"),
            "huge pages are the host's",
            "declare memoryBacking in spec.domain under a profile that allows it",
        )
    if guest is None:
        return None
    spec: dict[str, Any] = {"size": str(guest)}
    if most and most > guest:
        spec["max"] = str(most)
    return spec


def read_firmware(domain: Source, overlay: dict[str, Any]) -> dict[str, Any] | None:
    """`spec.firmware`. EFI without a word on secure boot means secure boot, as in KubeVirt."""
    firmware = domain.enter("firmware")
    loader = firmware.enter("bootloader")
    spec: dict[str, Any] | None = None
    if "efi" in loader:
        efi = loader.enter("efi")
        spec = {"type": "Uefi"}
        if efi.flag("secureBoot") is not False:
            spec["secureBoot"] = True
        if efi.flag("persistent") is False:
            efi.note("persistent", "variables always outlive a restart")
    if "bios" in loader:
        bios = loader.enter("bios")
        spec = {"type": "Bios"}
        if bios.flag("useSerial"):
            overlay.setdefault("os", {})["bios"] = {"@useserial": "yes"}
    serial = firmware.text("serial")
    if serial:
        overlay.setdefault("os", {})["smbios"] = {"@mode": "sysinfo"}
        overlay["sysinfo"] = {"@type": "smbios", "system": {"entry": {"@name": "serial", "#text": serial}}}
    firmware.miss("uuid", "a machine's UUID is its object's UID", "adopt the running domain to keep its UUID")
    return spec


def read_machine_type(domain: Source) -> str | None:
    """`spec.machine`: without the version that only one distribution's QEMU knows."""
    machine = domain.enter("machine")
    found = machine.text("type")
    if not found:
        return None
    family = next((name for name in ("q35", "i440fx", "pc") if name in found), None)
    plain = {"i440fx": "pc", None: found}.get(family, family)
    if plain != found:
        machine.note("type", f"taken as {plain}; its newest version is fixed when the machine is first defined")
    return plain


def read_features(domain: Source, overlay: dict[str, Any]) -> None:
    """`features` into the overlay."""
    features = domain.enter("features")
    tree: dict[str, Any] = {}
    for name in _PLAIN_FEATURES:
        if name in features:
            state = "off" if features.enter(name).flag("enabled") is False else "on"
            if name in ("acpi", "apic") and state == "on":
                continue  # every machine has them
            tree[name] = {"@state": state}
    if "kvm" in features:
        hidden = features.enter("kvm").flag("hidden")
        if hidden:
            tree["kvm"] = {"hidden": {"@state": "on"}}
    if "hyperv" in features:
        hyperv = _hyperv(features.enter("hyperv"))
        if hyperv:
            tree["hyperv"] = hyperv
    if tree:
        overlay["features"] = tree


def _hyperv(source: Source) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name in _HYPERV_SWITCHES:
        if name in source:
            tree[name] = {"@state": "off" if source.enter(name).flag("enabled") is False else "on"}
    if "spinlocks" in source:
        locks = source.enter("spinlocks")
        state = "off" if locks.flag("enabled") is False else "on"
        retries = locks.integer("spinlocks")
        tree["spinlocks"] = {"@state": state, **({"@retries": str(retries or 4096)} if state == "on" else {})}
    if "synictimer" in source:
        timer = source.enter("synictimer")
        state = "off" if timer.flag("enabled") is False else "on"
        direct = "direct" in timer and timer.enter("direct").flag("enabled") is not False
        tree["stimer"] = {"@state": state, **({"direct": {"@state": "on"}} if direct else {})}
    if "vendorid" in source:
        vendor = source.enter("vendorid")
        state, value = "off" if vendor.flag("enabled") is False else "on", vendor.text("vendorid")
        tree["vendor_id"] = {"@state": state, **({"@value": value} if value else {})}
    return tree


def read_clock(domain: Source, overlay: dict[str, Any]) -> None:
    """`clock` into the overlay."""
    clock = domain.enter("clock")
    tree: dict[str, Any] = {}
    if "utc" in clock:
        offset = clock.enter("utc").integer("offsetSeconds")
        tree = {"@offset": "variable", "@adjustment": str(offset), "@basis": "utc"} if offset else {"@offset": "utc"}
    zone = clock.text("timezone")
    if zone:
        tree = {"@offset": "timezone", "@timezone": zone}
    timers = _timers(clock.enter("timer"))
    if timers:
        tree["timer"] = timers
    if tree and tree != {"@offset": "utc"}:
        tree.setdefault("@offset", "utc")
        overlay["clock"] = tree


def _timers(source: Source) -> list[dict[str, str]]:
    found = []
    for name, libvirt_name in _TIMERS.items():
        if name not in source:
            continue
        timer = source.enter(name)
        item = {"@name": libvirt_name, "@present": "no" if timer.flag("present") is False else "yes"}
        policy = timer.text("tickPolicy")
        if policy:
            item["@tickpolicy"] = policy
        track = timer.text("track")
        if track:
            item["@track"] = track
        found.append(item)
    return found
