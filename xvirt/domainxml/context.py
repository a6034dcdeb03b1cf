"""What a definition needs beyond its document: the host's answers to the names in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from xvirt.domainxml.mark import OwnershipMark


@dataclasses.dataclass(frozen=True)
class DiskBacking:
    """The volume that a disk stands for: absolute host path, and `qcow2` or `raw` (never probed)."""

    path: str
    format: str


@dataclasses.dataclass(frozen=True)
class NetworkBacking:
    """What a NIC is plugged into: a libvirt network by name, or a bridge of the host; exactly one of the two.

    `vlan`: tag that the bridge puts on their frames (libvirt >= 11.0). `is_guarded`: its cards get an anti-spoofing filter; `leases` are the addresses that the network itself gives, by MAC.
    """

    network: str | None = None
    bridge: str | None = None
    vlan: int | None = None
    is_guarded: bool = False
    leases: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DomainContext:
    """A machine's place on its host.

    `domain_type` is `kvm` or `qemu`. `disks` is keyed by disk name (a CD drive without medium is absent), `networks` by the NICs'
    `network` value. `seed_path` is the NoCloud volume, `console_log_path` the file that the serial console is copied to.
    """

    uuid: str
    name: str
    domain_type: str
    architecture: str
    disks: Mapping[str, DiskBacking]
    networks: Mapping[str, NetworkBacking]
    seed_path: str | None = None
    console_log_path: str | None = None
    mark: OwnershipMark | None = None
