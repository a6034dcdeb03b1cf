"""The allow-list: paths below `domain`, with the attributes that each may carry and what their values may be.

`restricted` holds what xVirt itself generates and what touches the guest alone. `baseline` adds what shares the host's resources in
ways that an administrator may trust a namespace with, still without host paths, devices or binaries. `privileged` is not judged.
The classes of danger are libvirt's own: docs/kbase/secureusage and qemu-passthrough-security.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Predicate = Callable[[str, frozenset[str]], bool]
"""(value, paths that the node computed itself) -> whether it may stand there."""


def anything(value: str, own_paths: frozenset[str]) -> bool:
    """No host meaning."""
    return True


def own_path(value: str, own_paths: frozenset[str]) -> bool:
    """A path that the node computed itself."""
    return value in own_paths


def one_of(*values: str) -> Predicate:
    """One of a few words."""
    return lambda value, own_paths: value in values


def matches(pattern: str) -> Predicate:
    """A pattern, over the whole value."""
    compiled = re.compile(pattern)
    return lambda value, own_paths: compiled.fullmatch(value) is not None


DEVICES = "domain/devices"

RESTRICTED_SUBTREES = frozenset(
    {
        "domain/metadata",
        "domain/cpu",
        "domain/clock",
        "domain/pm",
        "domain/features",
        "domain/os/boot",
        "domain/os/bootmenu",
        "domain/os/bios",
        "domain/os/firmware",
        f"{DEVICES}/watchdog",
        f"{DEVICES}/panic",
        f"{DEVICES}/memballoon",
        f"{DEVICES}/vsock",
        f"{DEVICES}/disk/iotune",
        f"{DEVICES}/disk/geometry",
        f"{DEVICES}/disk/blockio",
        f"{DEVICES}/disk/address",
        f"{DEVICES}/disk/target",
        f"{DEVICES}/disk/boot",
        f"{DEVICES}/disk/alias",
        f"{DEVICES}/interface/bandwidth",
        f"{DEVICES}/interface/address",
        f"{DEVICES}/interface/boot",
        f"{DEVICES}/interface/alias",
        f"{DEVICES}/interface/link",
        f"{DEVICES}/interface/mtu",
        f"{DEVICES}/interface/model",
        f"{DEVICES}/interface/mac",
        f"{DEVICES}/controller",
        f"{DEVICES}/memory/target",
        f"{DEVICES}/memory/alias",
        f"{DEVICES}/memory/address",
    }
)
"""Subtrees in which nothing names anything of the host."""

RESTRICTED: dict[str, dict[str, Predicate]] = {
    "domain": {"type": one_of("kvm", "qemu")},
    "domain/name": {},
    "domain/uuid": {},
    "domain/title": {},
    "domain/description": {},
    "domain/memory": {"unit": anything},
    "domain/currentMemory": {"unit": anything},
    "domain/maxMemory": {"unit": anything, "slots": anything},
    "domain/vcpu": {"placement": one_of("static"), "current": anything},
    "domain/vcpus": {},
    "domain/vcpus/vcpu": {"id": anything, "enabled": anything, "hotpluggable": anything, "order": anything},
    "domain/os": {"firmware": one_of("efi", "bios")},
    "domain/os/type": {"arch": anything, "machine": anything},
    "domain/on_poweroff": {},
    "domain/on_reboot": {},
    "domain/on_crash": {},
    DEVICES: {},
    f"{DEVICES}/disk": {"type": one_of("file"), "device": one_of("disk", "cdrom")},
    f"{DEVICES}/disk/driver": {
        "name": one_of("qemu"),
        "type": one_of("qcow2", "raw"),
        "cache": anything,
        "discard": anything,
        "detect_zeroes": anything,
        "io": one_of("native", "threads", "io_uring"),
        "queues": anything,
        "error_policy": anything,
        "rerror_policy": anything,
    },
    f"{DEVICES}/disk/source": {"file": own_path},
    f"{DEVICES}/disk/readonly": {},
    f"{DEVICES}/disk/serial": {},
    f"{DEVICES}/disk/wwn": {},
    f"{DEVICES}/interface": {"type": one_of("network", "bridge")},
    f"{DEVICES}/interface/source": {"network": own_path, "bridge": own_path},
    f"{DEVICES}/interface/driver": {"name": one_of("vhost", "qemu"), "queues": anything},
    f"{DEVICES}/serial": {"type": one_of("pty")},
    f"{DEVICES}/serial/target": {"type": anything, "port": anything},
    f"{DEVICES}/serial/log": {"file": own_path, "append": anything},
    f"{DEVICES}/console": {"type": one_of("pty")},
    f"{DEVICES}/console/target": {"type": anything, "port": anything},
    f"{DEVICES}/console/log": {"file": own_path, "append": anything},
    f"{DEVICES}/channel": {"type": one_of("unix")},
    f"{DEVICES}/channel/target": {"type": one_of("virtio"), "name": one_of("org.qemu.guest_agent.0")},
    f"{DEVICES}/rng": {"model": anything},
    f"{DEVICES}/rng/rate": {"bytes": anything, "period": anything},
    f"{DEVICES}/rng/backend": {"model": one_of("random", "builtin")},
    f"{DEVICES}/tpm": {"model": anything},
    f"{DEVICES}/tpm/backend": {"type": one_of("emulator"), "version": anything, "persistent_state": anything},
    f"{DEVICES}/graphics": {"type": one_of("vnc")},
    f"{DEVICES}/graphics/listen": {"type": one_of("socket", "none")},
    f"{DEVICES}/video": {},
    f"{DEVICES}/video/model": {
        "type": one_of("none", "virtio", "vga", "bochs", "ramfb", "cirrus", "qxl"),
        "heads": anything,
        "vram": anything,
        "ram": anything,
        "vgamem": anything,
        "primary": anything,
    },
    f"{DEVICES}/input": {"type": one_of("tablet", "mouse", "keyboard"), "bus": anything},
    f"{DEVICES}/memory": {"model": one_of("dimm", "virtio-mem")},
}
"""Paths with their attributes; an element or attribute that is not here is denied."""

RESTRICTED_TEXT: dict[str, Predicate] = {
    f"{DEVICES}/rng/backend": one_of("/dev/urandom", "/dev/random", ""),
    "domain/on_crash": one_of("destroy", "restart", "preserve", "rename-restart"),
}
"""Text that means something to the host."""

BASELINE_SUBTREES = frozenset(
    {
        "domain/cputune",
        "domain/iothreads",
        "domain/iothreadids",
        "domain/memtune",
        "domain/numatune",
        "domain/blkiotune",
        "domain/sysinfo",
        "domain/perf",
        "domain/memoryBacking/hugepages",
        "domain/memoryBacking/nosharepages",
        "domain/memoryBacking/locked",
        f"{DEVICES}/sound",
        f"{DEVICES}/hub",
        f"{DEVICES}/iommu",
    }
)
"""What an administrator may trust a namespace with: shares of the host, never its files, devices or programs."""

BASELINE: dict[str, dict[str, Predicate]] = {
    "domain/memoryBacking": {},
    "domain/vcpu": {"placement": anything, "current": anything, "cpuset": anything},
    f"{DEVICES}/disk/driver": {**RESTRICTED[f"{DEVICES}/disk/driver"], "iothread": anything},
}
