"""The rules as tables: element path below `domain` -> its attributes and text, each with the predicate that it must meet.

An element, attribute or text that stands in no table is denied. `restricted` holds what concerns the guest alone; `baseline` adds
what shares the host's CPUs, memory and I/O otherwise; neither names a file, device, program or address of the host, unless the node
computed it. The dangers that are kept out are listed by `xvirt.policy.dangers`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from xvirt.domainxml.filters import FILTERS
from xvirt.policy.predicates import (
    Predicate,
    anything,
    blank,
    disk_target,
    mac,
    number,
    of_node,
    one_of,
    plain,
    switch,
)


@dataclasses.dataclass(frozen=True)
class Allowed:
    """One element: its attributes, its text, and whether all elements below it may hold plain words and numbers."""

    attributes: Mapping[str, Predicate]
    text: Predicate = blank
    is_plain_below: bool = False


def _element(text: Predicate = blank, **attributes: Predicate) -> Allowed:
    return Allowed(attributes, text)


_PLAIN_TREE = Allowed({}, plain, is_plain_below=True)
_SIZE = _element(number, unit=plain)
_DRIVER = {"name": one_of("qemu"), "queues": number, "iommu": switch, "ats": switch, "packed": switch}
_PLACE = dict.fromkeys(
    ("type", "domain", "bus", "slot", "function", "multifunction", "controller", "target", "unit", "port", "base"),
    plain,
)

_GENERAL: dict[str, Allowed] = {
    "": _element(type=one_of("kvm", "qemu")),
    "name": _element(anything),
    "uuid": _element(plain),
    "genid": _element(plain),
    "title": _element(anything),
    "description": _element(anything),
    "memory": _element(number, unit=plain, dumpCore=one_of("off")),
    "currentMemory": _SIZE,
    "maxMemory": _element(number, unit=plain, slots=number),
    "vcpu": _element(number, placement=one_of("static"), current=number),
    "vcpus": _element(),
    "vcpus/vcpu": _element(id=number, enabled=switch, hotpluggable=switch, order=number),
    "cpu": _element(mode=plain, match=plain, check=plain, migratable=switch),
    "cpu/model": _element(plain, fallback=plain, vendor_id=plain),
    "cpu/vendor": _element(plain),
    "cpu/topology": _element(sockets=number, dies=number, cores=number, threads=number),
    "cpu/feature": _element(policy=plain, name=plain),
    "cpu/cache": _element(level=number, mode=plain),
    "cpu/maxphysaddr": _element(mode=plain, bits=number),
    "cpu/numa": _element(),
    "cpu/numa/cell": _element(id=number, cpus=plain, memory=number, unit=plain),
    "cpu/numa/cell/distances": _PLAIN_TREE,
    "os": _element(firmware=one_of("efi", "bios")),
    "os/type": _element(one_of("hvm"), arch=plain, machine=plain),
    "os/firmware": _element(),
    "os/firmware/feature": _element(enabled=switch, name=plain),
    "os/boot": _element(dev=plain),
    "os/bootmenu": _element(enable=switch, timeout=number),
    "os/bios": _element(useserial=switch, rebootTimeout=plain),
    "os/smbios": _element(mode=one_of("emulate", "sysinfo")),
    "features": _element(),
    "clock": _element(offset=plain, adjustment=plain, basis=plain, timezone=plain, start=number),
    "clock/timer": Allowed(
        dict.fromkeys(("name", "track", "tickpolicy", "present", "frequency", "mode"), plain), is_plain_below=True
    ),
    "on_poweroff": _element(one_of("destroy", "restart", "preserve", "rename-restart")),
    "on_reboot": _element(one_of("destroy", "restart", "preserve", "rename-restart")),
    "on_crash": _element(one_of("destroy", "restart", "preserve", "rename-restart")),
    "pm": _element(),
    "pm/suspend-to-mem": _element(enabled=switch),
    "pm/suspend-to-disk": _element(enabled=switch),
    "devices": _element(),
}

_FEATURES = {
    f"features/{name}": Allowed({"state": switch, "mode": plain, "driver": plain, "eoi": switch}, is_plain_below=True)
    for name in (
        "acpi",
        "apic",
        "pae",
        "hap",
        "hyperv",
        "kvm",
        "pvspinlock",
        "pmu",
        "vmport",
        "ioapic",
        "smm",
        "vmcoreinfo",
        "tcg",
        "msrs",
    )
}

_STORAGE: dict[str, Allowed] = {
    "disk": _element(type=one_of("file"), device=one_of("disk", "cdrom"), model=plain, snapshot=plain),
    "disk/driver": Allowed(
        {
            **_DRIVER,
            "type": one_of("qcow2", "raw"),
            "queue_size": number,
            "cache": plain,
            "io": plain,
            "discard": plain,
            "detect_zeroes": plain,
            "discard_no_unref": switch,
            "error_policy": plain,
            "rerror_policy": plain,
            "copy_on_read": switch,
            "event_idx": switch,
            "ioeventfd": switch,
        }
    ),
    "disk/source": _element(file=of_node, startupPolicy=plain, index=number),
    "disk/target": _element(dev=disk_target, bus=plain, tray=plain, removable=switch, rotation_rate=number),
    "disk/readonly": _element(),
    "disk/serial": _element(plain),
    "disk/wwn": _element(plain),
    "disk/vendor": _element(anything),
    "disk/product": _element(anything),
    "disk/geometry": _element(cyls=number, heads=number, secs=number, trans=plain),
    "disk/blockio": _element(logical_block_size=number, physical_block_size=number),
    "disk/iotune": _PLAIN_TREE,
}

_NETWORK: dict[str, Allowed] = {
    "interface": _element(type=one_of("network", "bridge")),
    "interface/mac": _element(address=mac),
    "interface/source": _element(network=of_node, bridge=of_node),
    "interface/model": _element(type=plain),
    "interface/driver": Allowed(
        {
            **_DRIVER,
            "name": one_of("vhost", "qemu"),
            "txmode": plain,
            "ioeventfd": switch,
            "event_idx": switch,
            "rx_queue_size": number,
            "tx_queue_size": number,
        }
    ),
    "interface/driver/host": Allowed({}, is_plain_below=True),
    "interface/driver/guest": Allowed({}, is_plain_below=True),
    "interface/link": _element(state=plain),
    "interface/mtu": _element(size=number),
    "interface/bandwidth": _PLAIN_TREE,
    "interface/filterref": _element(filter=one_of(*FILTERS)),
    "interface/filterref/parameter": _element(name=plain, value=plain),
    "interface/coalesce": _PLAIN_TREE,
    "interface/port": _element(isolated=switch),
    "interface/rom": _element(bar=switch, enabled=switch),
}

_CONSOLES: dict[str, Allowed] = {
    "serial": _element(type=one_of("pty", "null")),
    "serial/log": _element(file=of_node, append=switch),
    "serial/target": _element(type=plain, port=number),
    "serial/target/model": _element(name=plain),
    "console": _element(type=one_of("pty", "null")),
    "console/log": _element(file=of_node, append=switch),
    "console/target": _element(type=plain, port=number),
    "channel": _element(type=one_of("unix", "null")),
    "channel/target": _element(type=one_of("virtio"), name=one_of("org.qemu.guest_agent.0")),
    "graphics": _element(type=one_of("vnc"), keymap=plain, sharePolicy=plain, powerControl=one_of("no")),
    "graphics/listen": _element(type=one_of("socket", "none")),
}

_OTHERS: dict[str, Allowed] = {
    "controller": _element(
        type=plain, index=number, model=plain, ports=number, vectors=number, maxEventChannels=number
    ),
    "controller/driver": Allowed({**_DRIVER, "max_sectors": number, "cmd_per_lun": number, "ioeventfd": switch}),
    "controller/model": _element(name=plain),
    "controller/target": Allowed(dict.fromkeys(("chassis", "chassisNr", "port", "busNr", "index", "hotplug"), plain)),
    "controller/master": _element(startport=number),
    "video": _element(),
    "video/model": _element(
        type=plain, heads=number, vram=number, vram64=number, ram=number, vgamem=number, primary=switch, blob=switch
    ),
    "video/model/resolution": _element(x=number, y=number),
    "video/driver": Allowed({**_DRIVER, "vgaconf": plain}),
    "input": _element(type=one_of("mouse", "tablet", "keyboard"), bus=plain, model=plain),
    "input/driver": Allowed(dict(_DRIVER)),
    "sound": _element(model=plain),
    "sound/codec": _element(type=plain),
    "audio": _element(id=number, type=one_of("none")),
    "tpm": _element(model=plain),
    "tpm/backend": _element(type=one_of("emulator"), version=plain, persistent_state=switch),
    "tpm/backend/active_pcr_banks": _PLAIN_TREE,
    "watchdog": _element(model=plain, action=one_of("reset", "shutdown", "poweroff", "pause", "none", "inject-nmi")),
    "panic": _element(model=plain),
    "memballoon": _element(model=plain, autodeflate=switch, freePageReporting=switch),
    "memballoon/stats": _element(period=number),
    "memballoon/driver": Allowed(dict(_DRIVER)),
    "rng": _element(model=plain),
    "rng/rate": _element(bytes=number, period=number),
    "rng/backend": _element(one_of("/dev/urandom", ""), model=one_of("random", "builtin")),
    "rng/driver": Allowed(dict(_DRIVER)),
    "memory": _element(model=one_of("dimm", "virtio-mem"), discard=switch),
    "memory/target": _element(),
    "memory/target/size": _SIZE,
    "memory/target/block": _SIZE,
    "memory/target/requested": _SIZE,
    "memory/target/current": _SIZE,
    "memory/target/node": _element(number),
}

_DEVICES = {**_STORAGE, **_NETWORK, **_CONSOLES, **_OTHERS}


def _with_places(devices: Mapping[str, Allowed]) -> dict[str, Allowed]:
    """Every device may have an alias, an address in the guest and a place in the boot order."""
    found = {f"devices/{path}": allowed for path, allowed in devices.items()}
    for path in [path for path in devices if "/" not in path]:
        found[f"devices/{path}/alias"] = _element(name=plain)
        found[f"devices/{path}/address"] = Allowed(_PLACE)
        found[f"devices/{path}/boot"] = _element(order=number, loadparm=plain)
        found[f"devices/{path}/acpi"] = _element(index=number)
    return found


RESTRICTED: Mapping[str, Allowed] = {**_GENERAL, **_FEATURES, **_with_places(_DEVICES)}

_SHARES: dict[str, Allowed] = {
    "vcpu": _element(number, placement=one_of("static", "auto"), current=number, cpuset=plain),
    "cputune": _PLAIN_TREE,
    "memtune": _PLAIN_TREE,
    "numatune": _PLAIN_TREE,
    "blkiotune": _element(),
    "blkiotune/weight": _element(number),
    "iothreads": _element(number),
    "iothreadids": _PLAIN_TREE,
    "defaultiothread": Allowed({"thread_pool_min": number, "thread_pool_max": number}),
    "perf": _PLAIN_TREE,
    "cpu/numa/cell": _element(id=number, cpus=plain, memory=number, unit=plain, memAccess=plain, discard=switch),
    "memoryBacking": _element(),
    "memoryBacking/hugepages": _PLAIN_TREE,
    "memoryBacking/nosharepages": _element(),
    "memoryBacking/discard": _element(),
    "sysinfo": _element(type=one_of("smbios")),
}

_SMBIOS = {
    path: allowed
    for table in ("bios", "system", "baseBoard", "chassis", "oemStrings")
    for path, allowed in (
        (f"sysinfo/{table}", _element()),
        (f"sysinfo/{table}/entry", _element(anything, name=plain)),
    )
}

_SHARED_DEVICES = _with_places(
    {
        "disk/driver": Allowed({**_STORAGE["disk/driver"].attributes, "iothread": number}),
        "disk/shareable": _element(),
        "controller/driver": Allowed({**_OTHERS["controller/driver"].attributes, "iothread": number}),
        "interface/filterref": _element(filter=plain),
        "interface/filterref/parameter": _element(name=plain, value=plain),
        "iommu": _element(model=plain),
        "iommu/driver": Allowed(dict.fromkeys(("intremap", "caching_mode", "eim", "iotlb", "aw_bits"), plain)),
        "vsock": _element(model=plain),
        "vsock/cid": _element(auto=one_of("yes")),
        "crypto": _element(model=plain, type=plain),
        "crypto/backend": _element(model=one_of("builtin"), queues=number),
        "hub": _element(type=plain),
    }
)

BASELINE: Mapping[str, Allowed] = {**RESTRICTED, **_SHARES, **_SMBIOS, **_SHARED_DEVICES}
