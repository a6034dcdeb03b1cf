"""The table of kinds: names, scope, dataclasses and table columns. A new kind is a new row here."""

from __future__ import annotations

import dataclasses

from xvirt.model.machine.status import VirtualMachineStatus
from xvirt.model.meta import Scope
from xvirt.model.storage import (
    StoragePoolSpec,
    StoragePoolStatus,
    VirtualDiskSpec,
    VirtualDiskStatus,
    VirtualImageSpec,
    VirtualImageStatus,
)
from xvirt.model.virtualhost import VirtualHostSpec, VirtualHostStatus
from xvirt.model.virtualmachine import VirtualMachineSpec
from xvirt.model.virtualnetwork import VirtualNetworkSpec, VirtualNetworkStatus


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of `kubectl get` and `xvirt get`: heading, JSON path below the object, shown only with `-o wide`."""

    heading: str
    path: str
    is_wide: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind. `apply_order`: documents of one stream are applied lowest first and deleted highest first. `selectable`: paths of what
    lists can be asked for (`--field-selector`), beside name and namespace."""

    name: str
    plural: str
    short_names: tuple[str, ...]
    scope: Scope
    spec: type
    status: type
    doc: str
    apply_order: int
    columns: tuple[Column, ...]
    selectable: tuple[str, ...]

    @property
    def singular(self) -> str:
        return self.name.lower()


_WORD = "status.printableStatus"
_STATUS = Column("STATUS", _WORD)

KINDS: tuple[Kind, ...] = (
    Kind(
        name="StoragePool",
        plural="storagepools",
        short_names=("vpool",),
        scope=Scope.CLUSTER,
        spec=StoragePoolSpec,
        status=StoragePoolStatus,
        doc="A libvirt storage pool on one or all hosts.",
        apply_order=10,
        columns=(
            _STATUS,
            Column("TYPE", "spec.type"),
            Column("PATH", "status.path"),
            Column("CAPACITY", "status.capacity"),
            Column("AVAILABLE", "status.available"),
        ),
        selectable=(_WORD, "spec.type"),
    ),
    Kind(
        name="VirtualNetwork",
        plural="virtualnetworks",
        short_names=("vnet",),
        scope=Scope.NAMESPACED,
        spec=VirtualNetworkSpec,
        status=VirtualNetworkStatus,
        doc="A network that machines' NICs are plugged into.",
        apply_order=20,
        columns=(_STATUS, Column("MODE", "spec.mode"), Column("BRIDGE", "status.bridge")),
        selectable=(_WORD, "spec.mode"),
    ),
    Kind(
        name="VirtualImage",
        plural="virtualimages",
        short_names=("vimage",),
        scope=Scope.NAMESPACED,
        spec=VirtualImageSpec,
        status=VirtualImageStatus,
        doc="A checked, cached image that disks are made from.",
        apply_order=30,
        columns=(
            _STATUS,
            Column("PROGRESS", "status.progressPercent"),
            Column("SIZE", "status.size"),
            Column("POOL", "spec.pool"),
            Column("FETCHED", "status.transferred", True),
            Column("OF", "status.transferSize", True),
            Column("PATH", "status.path", True),
        ),
        selectable=(_WORD, "spec.pool"),
    ),
    Kind(
        name="VirtualDisk",
        plural="virtualdisks",
        short_names=("vdisk",),
        scope=Scope.NAMESPACED,
        spec=VirtualDiskSpec,
        status=VirtualDiskStatus,
        doc="A volume with a life of its own.",
        apply_order=40,
        columns=(
            _STATUS,
            Column("SIZE", "status.size"),
            Column("ALLOCATED", "status.allocation"),
            Column("POOL", "spec.pool"),
            Column("USED-BY", "status.usedBy"),
            Column("FORMAT", "spec.format", True),
            Column("NODE", "status.nodeName", True),
            Column("PATH", "status.path", True),
        ),
        selectable=(_WORD, "status.nodeName", "spec.pool"),
    ),
    Kind(
        name="VirtualMachine",
        plural="virtualmachines",
        short_names=("vm", "vms"),
        scope=Scope.NAMESPACED,
        spec=VirtualMachineSpec,
        status=VirtualMachineStatus,
        doc="A virtual machine.",
        apply_order=50,
        columns=(
            _STATUS,
            Column("CPUS", "status.cpus"),
            Column("MEMORY", "status.memory"),
            Column("ADDRESS", "status.interfaces[0].addresses[0].address"),
            Column("OS", "status.guest.os.name", True),
            Column("NODE", "status.nodeName", True),
            Column("UUID", "status.uuid", True),
        ),
        selectable=(_WORD, "status.nodeName", "status.powerState", "spec.runStrategy"),
    ),
    Kind(
        name="VirtualHost",
        plural="virtualhosts",
        short_names=("vhost",),
        scope=Scope.CLUSTER,
        spec=VirtualHostSpec,
        status=VirtualHostStatus,
        doc="One node: capacity, versions, accelerator, pools.",
        apply_order=5,
        columns=(
            Column("CPUS", "status.cpus"),
            Column("MEMORY", "status.memory"),
            Column("VMS", "status.domains"),
            Column("ACCELERATOR", "status.accelerator"),
            Column("HEARTBEAT", "status.heartbeat"),
            Column("CORDONED", "status.unschedulable"),
            Column("VCPUS", "status.allocatable.vcpus", True),
            Column("PLACED", "status.allocated.vcpus", True),
            Column("LIBVIRT", "status.libvirtVersion", True),
            Column("QEMU", "status.qemuVersion", True),
        ),
        selectable=("status.heartbeat", "status.unschedulable", "status.accelerator"),
    ),
)

BY_NAME = {kind.name: kind for kind in KINDS}

SECRET_KIND = "Secret"
"""Kubernetes' own kind (`v1`): on one host it is applied beside the machine that names it, and never stored as an object."""


def find_kind(word: str) -> Kind | None:
    """The kind that a user means by its name, plural or short name, in any case."""
    lowered = word.lower()
    for kind in KINDS:
        if lowered in (kind.singular, kind.plural, *kind.short_names):
            return kind
    return None
