"""VirtualHost: what one node is, and whether it takes new machines."""

from __future__ import annotations

import dataclasses
import enum
from typing import ClassVar

from xvirt.model.fields import Format, Mutability, Rule, field
from xvirt.model.meta import Condition
from xvirt.model.quantity import ByteSize

LIVE, RESTART, FIXED = Mutability.LIVE, Mutability.RESTART, Mutability.FIXED
MACHINES_MAX = 10_000
RATIO_MAX = 100


class Accelerator(enum.Enum):
    """What runs guest code."""

    KVM = "kvm"
    TCG = "tcg"


class Heartbeat(enum.Enum):
    """How long ago the operator heard the node: within what a restart takes, longer, or never."""

    CURRENT = "Current"
    LATE = "Late"
    LOST = "Lost"
    NEVER = "Never"


class TaintEffect(enum.Enum):
    """As of a Node."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Taint:
    """As of a Node: machines that do not tolerate it are not placed there."""

    key: str = field("Key.", LIVE)
    value: str = field("Value.", LIVE, default="", format=Format.LABEL_VALUE, max_length=63)
    effect: TaintEffect = field("What it does to machines that do not tolerate it.", LIVE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overcommit:
    """How much more than it has a host may promise to machines. Names are KubeVirt's."""

    cpu_allocation_ratio: int | None = field(
        "vCPUs for one CPU; absent: as the operator's config says.", LIVE, default=None, minimum=1, maximum=RATIO_MAX
    )
    memory_overcommit: int | None = field(
        "Memory of machines in percent of the host's; absent: as the operator's config says.",
        LIVE,
        default=None,
        unit="percent",
        minimum=10,
        maximum=1000,
    )


def _is_reachable(address: str | None) -> bool:
    host, colon, port = (address or "h:1").rpartition(":")
    return bool(host and colon) and port.isascii() and port.isdigit() and 0 < int(port) <= 65535


@dataclasses.dataclass(frozen=True, kw_only=True)
class VirtualHostSpec:
    """What an administrator decides about a host."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda spec: _is_reachable(spec.address),
            "!has(self.address) || self.address.matches('^.+:[0-9]{1,5}$')",
            "is no host:port; write 192.0.2.10:9443 or [2001:db8::1]:9443",
            "address",
        ),
    )

    unschedulable: bool = field("Cordoned: takes no new machine.", LIVE, default=False)
    address: str | None = field(
        "`host:port` of the node plugin; absent: the Node's InternalIP. A host outside of the cluster needs it.",
        LIVE,
        default=None,
    )
    overcommit: Overcommit | None = field(
        "How much may be promised; absent: as the operator's config says.", LIVE, default=None
    )
    max_machines: int | None = field(
        "Machines that it takes; absent: as the operator's config says.",
        LIVE,
        default=None,
        minimum=0,
        maximum=MACHINES_MAX,
    )
    taints: tuple[Taint, ...] = field(
        "Of a host outside of the cluster; another host's are its Node's.", LIVE, default=(), max_items=64
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostPool:
    """One pool of a host."""

    name: str = field("libvirt's name.", LIVE)
    uuid: str = field("libvirt's UUID.", LIVE, default="")
    type: str = field("libvirt's type, such as `dir`, `netfs` or `logical`.", LIVE, default="")
    source: str = field(
        "What it lies on: a directory, a volume group, a server's export. Two hosts' pools with one source on the network are one.",
        LIVE,
        default="",
        max_length=4096,
    )
    capacity: ByteSize | None = field("Size.", LIVE, default=None, unit="bytes")
    available: ByteSize | None = field("Free space.", LIVE, default=None, unit="bytes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostResources:
    """Room on a host, in what machines take."""

    vcpus: int = field("vCPUs.", LIVE, default=0)
    memory: ByteSize | None = field("Memory.", LIVE, default=None, unit="bytes")
    machines: int = field("Machines.", LIVE, default=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class VirtualHostStatus:
    """What a node is; the answer of NodeInfo, and in a cluster what the operator knows of it."""

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
    pools: tuple[HostPool, ...] = field(
        "Storage pools. In a cluster free space is told anew once it has changed by a hundredth of the pool.",
        LIVE,
        default=(),
        list_key="name",
        max_items=256,
    )
    api_versions: tuple[str, ...] = field("API versions that the node serves.", LIVE, default=())
    address: str = field("`host:port` at which the operator asks it; in a cluster.", LIVE, default="")
    unschedulable: bool = field(
        "Whether it takes no new machine: cordoned here or as a Node, or not Ready; in a cluster.", LIVE, default=False
    )
    taints: tuple[Taint, ...] = field("Taints of its Node; in a cluster.", LIVE, default=(), max_items=64)
    capacity: HostResources | None = field("What it has; in a cluster.", LIVE, default=None)
    allocatable: HostResources | None = field("What machines may be promised; in a cluster.", LIVE, default=None)
    allocated: HostResources | None = field(
        "What the machines that are placed on it were promised; in a cluster.", LIVE, default=None
    )
    heartbeat: Heartbeat | None = field("How long ago the operator heard it; in a cluster.", LIVE, default=None)
    last_heard_time: str | None = field(
        "When it was heard last, where that is not now; in a cluster.", LIVE, default=None, format=Format.TIMESTAMP
    )
    undeclared: tuple[str, ...] = field(
        "`Kind namespace/name` of objects that the host holds for this cluster, which has none of them; in a cluster.",
        LIVE,
        default=(),
        max_items=100,
    )
    conditions: tuple[Condition, ...] = field("Conditions.", LIVE, default=(), list_key="type")
