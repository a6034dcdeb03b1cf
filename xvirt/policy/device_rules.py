"""The rules of `<devices>`: element path below it -> what it may hold. Read with `xvirt.policy.rules`."""

from __future__ import annotations

from collections.abc import Mapping

from xvirt.domainxml.filters import FILTERS
from xvirt.policy.allowed import Allowed, Table, below, element, leaves, settings
from xvirt.policy.predicates import (
    anything,
    disk_target,
    log_of_node,
    mac,
    network_of_node,
    number,
    of_node,
    one_of,
    plain,
    switch,
)

_DRIVER = {"iommu": switch, "ats": switch, "packed": switch, "page_per_vq": switch}
_PLACE = settings("type domain bus slot function multifunction controller target unit port base", plain)
_SIZE = element(number, unit=plain)

_STORAGE: dict[str, Allowed] = {
    "disk": element(type=one_of("file"), device=one_of("disk", "cdrom"), model=plain, snapshot=plain),
    "disk/driver": Allowed(
        {
            **_DRIVER,
            "name": one_of("qemu"),
            "queues": number,
            "type": one_of("qcow2", "raw"),
            "queue_size": number,
            "iothread": number,
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
    "disk/source": element(file=of_node, startupPolicy=plain, index=number),
    "disk/target": element(dev=disk_target, bus=plain, tray=plain, removable=switch, rotation_rate=number),
    "disk/readonly": element(),
    "disk/serial": element(plain),
    "disk/wwn": element(plain),
    "disk/vendor": element(anything),
    "disk/product": element(anything),
    "disk/geometry": element(cyls=number, heads=number, secs=number, trans=plain),
    "disk/blockio": element(logical_block_size=number, physical_block_size=number),
    "disk/iotune": element(),
    "disk/iotune/size_iops_sec": element(number),
    "disk/iotune/group_name": element(plain),
    **below(
        "disk/iotune",
        {
            f"{way}_{unit}_sec{suffix}": element(number)
            for way in ("total", "read", "write")
            for unit in ("bytes", "iops")
            for suffix in ("", "_max", "_max_length")
        },
    ),
}

_NETWORK: dict[str, Allowed] = {
    "interface": element(type=one_of("network", "bridge")),
    "interface/mac": element(address=mac),
    "interface/source": element(network=network_of_node, bridge=of_node),
    "interface/model": element(type=plain),
    "interface/driver": Allowed(
        {
            **_DRIVER,
            "name": one_of("vhost", "qemu"),
            "queues": number,
            "txmode": plain,
            "ioeventfd": switch,
            "event_idx": switch,
            "rx_queue_size": number,
            "tx_queue_size": number,
        }
    ),
    "interface/driver/host": settings("csum gso tso4 tso6 ecn ufo mrg_rxbuf", switch),
    "interface/driver/guest": settings("csum tso4 tso6 ecn ufo", switch),
    "interface/link": element(state=plain),
    "interface/mtu": element(size=number),
    "interface/bandwidth": element(classID=number),
    "interface/bandwidth/inbound": settings("average peak floor burst", number),
    "interface/bandwidth/outbound": settings("average peak floor burst", number),
    "interface/filterref": element(filter=one_of(*FILTERS)),
    "interface/filterref/parameter": element(name=plain, value=plain),
    "interface/coalesce": element(),
    "interface/coalesce/rx": element(),
    "interface/coalesce/rx/frames": element(max=number),
    "interface/port": element(isolated=switch),
    "interface/rom": element(bar=switch, enabled=switch),
}

_CONSOLES: dict[str, Allowed] = {
    "serial": element(type=one_of("pty", "null")),
    "serial/log": element(file=log_of_node, append=switch),
    "serial/target": element(type=plain, port=number),
    "serial/target/model": element(name=plain),
    "console": element(type=one_of("pty", "null")),
    "console/log": element(file=log_of_node, append=switch),
    "console/target": element(type=plain, port=number),
    "channel": element(type=one_of("unix", "null")),
    "channel/target": element(type=one_of("virtio"), name=one_of("org.qemu.guest_agent.0")),
    "graphics": element(type=one_of("vnc"), keymap=plain, sharePolicy=plain, powerControl=one_of("no")),
    "graphics/listen": element(type=one_of("socket", "none")),
}

_OTHERS: dict[str, Allowed] = {
    "controller": element(type=plain, index=number, model=plain, ports=number, vectors=number, maxEventChannels=number),
    "controller/driver": Allowed(
        {**_DRIVER, "queues": number, "max_sectors": number, "cmd_per_lun": number, "ioeventfd": switch}
    ),
    "controller/model": element(name=plain),
    "controller/target": settings("chassis chassisNr port busNr index hotplug", plain),
    "controller/master": element(startport=number),
    "video": element(),
    "video/model": element(
        type=plain, heads=number, vram=number, vram64=number, ram=number, vgamem=number, primary=switch, blob=switch
    ),
    "video/model/resolution": element(x=number, y=number),
    "video/driver": Allowed({**_DRIVER, "name": one_of("qemu"), "vgaconf": plain}),
    "input": element(type=one_of("mouse", "tablet", "keyboard"), bus=plain, model=plain),
    "input/driver": Allowed(dict(_DRIVER)),
    "sound": element(model=plain),
    "sound/codec": element(type=plain),
    "audio": element(id=number, type=one_of("none")),
    "tpm": element(model=plain),
    "tpm/backend": element(type=one_of("emulator"), version=plain, persistent_state=switch),
    "tpm/backend/active_pcr_banks": element(),
    **below("tpm/backend/active_pcr_banks", leaves("sha1 sha256 sha384 sha512", element())),
    "watchdog": element(model=plain, action=one_of("reset", "shutdown", "poweroff", "pause", "none", "inject-nmi")),
    "panic": element(model=plain),
    "memballoon": element(model=plain, autodeflate=switch, freePageReporting=switch),
    "memballoon/stats": element(period=number),
    "memballoon/driver": Allowed(dict(_DRIVER)),
    "rng": element(model=plain),
    "rng/rate": element(bytes=number, period=number),
    "rng/backend": element(one_of("/dev/urandom", ""), model=one_of("random", "builtin")),
    "rng/driver": Allowed(dict(_DRIVER)),
    "memory": element(model=one_of("dimm", "virtio-mem"), discard=switch),
    "memory/target": element(),
    "memory/target/size": _SIZE,
    "memory/target/block": _SIZE,
    "memory/target/requested": _SIZE,
    "memory/target/current": _SIZE,
    "memory/target/node": element(number),
}


def _with_places(devices: Table) -> dict[str, Allowed]:
    """Every device may have an alias, an address in the guest and a place in the boot order."""
    found = below("devices", devices)
    for path in [path for path in devices if "/" not in path]:
        found[f"devices/{path}/alias"] = element(name=plain)
        found[f"devices/{path}/address"] = _PLACE
        found[f"devices/{path}/boot"] = element(order=number, loadparm=plain)
        found[f"devices/{path}/acpi"] = element(index=number)
    return found


DEVICES: Mapping[str, Allowed] = _with_places({**_STORAGE, **_NETWORK, **_CONSOLES, **_OTHERS})
"""Of `restricted`."""

SHARED_DEVICES: Mapping[str, Allowed] = _with_places(
    {
        "disk/shareable": element(),
        "controller/driver": Allowed({**_OTHERS["controller/driver"].attributes, "iothread": number}),
        "interface/filterref": element(filter=plain),
        "interface/filterref/parameter": element(name=plain, value=plain),
        "iommu": element(model=plain),
        "iommu/driver": settings("intremap caching_mode eim iotlb aw_bits", plain),
        "vsock": element(model=plain),
        "vsock/cid": element(auto=one_of("yes")),
        "crypto": element(model=plain, type=plain),
        "crypto/backend": element(model=one_of("builtin"), queues=number),
        "hub": element(type=plain),
    }
)
"""What `baseline` adds or widens."""
