"""VirtualHost: what one node is, and whether it takes new machines."""

from __future__ import annotations

import dataclasses
import enum

from xvirt.model.fields import Format, Mutability, field
from xvirt.model.meta import Condition
from xvirt.model.quantity import ByteSize

LIVE, RESTART, FIXED = Mutability.LIVE, Mutability.RESTART, Mutability.FIXED


class Accelerator(enum.Enum):
    """What runs guest code."""

    KVM = "kvm"
    TCG = "tcg"


@dataclasses.dataclass(frozen=True, kw_only=True)
class VirtualHostSpec:
    """What an administrator decides about a host."""

    unschedulable: bool = field("Cordoned: takes no new machine.", LIVE, default=False)
    address: str | None = field("`host:port` of the node plugin, for hosts outside a cluster.", LIVE, default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostPool:
    """One pool of a host."""

    name: str = field("libvirt's name.", LIVE)
    uuid: str = field("libvirt's UUID.", LIVE, default="")
    capacity: ByteSize | None = field("Size.", LIVE, default=None, unit="bytes")
    available: ByteSize | None = field("Free space.", LIVE, default=None, unit="bytes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VirtualHostStatus:
    """What a node is; the answer of NodeInfo."""

    observed_generation: int = field("Generation that this status is of; -1: none yet.", LIVE, default=-1)
    node_name: str = field("Name of the node.", LIVE, default="", format=Format.LABEL)
    host_uuid: str = field("libvirt's host UUID.", LIVE, default="")
    boot_id: str = field("Changes with each start of the node plugin.", LIVE, default="")
    xvirt_version: str = field("Version of the node plugin.", LIVE, default="")
    libvirt_version: str = field("Version of libvirt.", LIVE, default="")
    qemu_version: str = field("Version of QEMU.", LIVE, default="")
    architecture: str = field("CPU architecture.", LIVE, default="")
    accelerator: Accelerator | None = field("What runs guest code; absent: not probed yet.", LIVE, default=None)
    accelerator_reason: str = field("How that was found out.", LIVE, default="")
    cpus: int = field("CPUs of the host.", LIVE, default=0)
    memory: ByteSize | None = field("Memory of the host.", LIVE, default=None, unit="bytes")
    allocated_cpus: int = field("vCPUs of running domains.", LIVE, default=0)
    allocated_memory: ByteSize | None = field("Memory of running domains.", LIVE, default=None, unit="bytes")
    domains: int = field("Domains that xVirt owns.", LIVE, default=0)
    foreign_domains: int = field("Domains that xVirt does not own.", LIVE, default=0)
    pools: tuple[HostPool, ...] = field("Storage pools.", LIVE, default=(), list_key="name", max_items=256)
    api_versions: tuple[str, ...] = field("API versions that the node serves.", LIVE, default=())
    conditions: tuple[Condition, ...] = field("Conditions.", LIVE, default=(), list_key="type")
