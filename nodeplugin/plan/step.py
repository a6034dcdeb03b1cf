"""The steps a plan is made of. Each is idempotent: doing it again, or after it half happened, ends in the same state.

A step's `name` is stable (journal, events, `xvirt diff`), its `summary` is one line for people.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from nodeplugin.hypervisor.port import NetworkChange, ShutdownMode, VolumeRequest
from nodeplugin.images.port import ImageRequest
from xvirt.domainxml.iotune import DiskTune
from xvirt.model.exchange import Impact, PlannedStep
from xvirt.model.quantity import ByteSize


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One effect on the host."""

    name: ClassVar[str]
    impact: ClassVar[Impact] = Impact.LIVE

    @property
    def summary(self) -> str:
        """One line for people."""
        return self.name.replace("-", " ")

    def planned(self) -> PlannedStep:
        """The step as a preview shows it."""
        return PlannedStep(name=self.name, summary=self.summary, impact=self.impact)


# volumes


@dataclasses.dataclass(frozen=True, kw_only=True)
class CreateVolume(Step):
    name = "create-volume"
    impact = Impact.NONE
    request: VolumeRequest
    pool: str = ""

    @property
    def summary(self) -> str:
        origin = self.request.backing_path or self.request.source_path
        size = f" of {ByteSize(self.request.capacity_bytes)}" if self.request.capacity_bytes else ""
        return f"create volume {self.request.path}{size}" + (f" from {origin}" if origin else "")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImportImage(Step):
    """Start or join an image's transfer into its pool; it goes on by itself (`nodeplugin.images`)."""

    name = "import-image"
    impact = Impact.NONE
    request: ImageRequest

    @property
    def summary(self) -> str:
        return f"import {self.request.shown} as {self.request.path}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CancelImport(Step):
    """Leave an image's transfer."""

    name = "cancel-import"
    impact = Impact.NONE
    uid: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class GrowVolume(Step):
    name = "grow-volume"
    impact = Impact.NONE
    path: str
    format: str
    capacity_bytes: int
    is_device: bool = False
    """A logical volume grows under a running machine, too, whose QEMU is told afterwards; a file is grown by the QEMU that has it."""

    @property
    def summary(self) -> str:
        return f"grow volume {self.path} to {ByteSize(self.capacity_bytes)}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeleteVolume(Step):
    name = "delete-volume"
    path: str
    format: str

    @property
    def summary(self) -> str:
        return f"delete volume {self.path}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class WriteSeed(Step):
    name = "write-seed"
    impact = Impact.NONE
    path: str
    instance_id: str
    hostname: str
    user_data: bytes = dataclasses.field(repr=False)
    network_data: bytes | None = dataclasses.field(default=None, repr=False)
    public_keys: tuple[str, ...] = dataclasses.field(default=(), repr=False)

    @property
    def summary(self) -> str:
        return f"write cloud-init seed {self.path}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemoveSeeds(Step):
    """Remove a machine's seeds but the one that is kept."""

    name = "remove-seeds"
    impact = Impact.NONE
    uid: str
    keep: tuple[str, ...] = ()


# domains


@dataclasses.dataclass(frozen=True, kw_only=True)
class DomainStep(Step):
    """A step on one domain."""

    uuid: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DefineDomain(DomainStep):
    """Define over what is there, read back, compare (DESIGN laws 7 and 8)."""

    name = "define-domain"
    impact = Impact.NONE
    xml: str = dataclasses.field(repr=False)
    domain_name: str

    @property
    def summary(self) -> str:
        return f"define domain {self.domain_name}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartDomain(DomainStep):
    """Start; `is_automatic` where the run strategy restarts a machine that ran before."""

    name = "start-domain"
    is_automatic: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShutdownDomain(DomainStep):
    name = "shutdown-domain"
    impact = Impact.RESTART
    mode: ShutdownMode

    @property
    def summary(self) -> str:
        return f"ask the guest to shut down ({self.mode.value})"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DestroyDomain(DomainStep):
    name = "destroy-domain"
    impact = Impact.RESTART

    @property
    def summary(self) -> str:
        return "power off"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuspendDomain(DomainStep):
    name = "suspend-domain"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResumeDomain(DomainStep):
    name = "resume-domain"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SaveDomain(DomainStep):
    name = "save-domain"
    impact = Impact.RESTART


@dataclasses.dataclass(frozen=True, kw_only=True)
class UndefineDomain(DomainStep):
    name = "undefine-domain"
    impact = Impact.RESTART


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReleaseDomain(DomainStep):
    """Take xVirt's mark off: the domain is foreign from then on."""

    name = "release-domain"
    impact = Impact.NONE

    @property
    def summary(self) -> str:
        return f"leave domain {self.uuid} as it is, without xVirt's mark"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MarkDomain(DomainStep):
    """Write the mark onto a domain that is as it is declared already, and nothing else."""

    name = "mark-domain"
    impact = Impact.NONE
    xml: str = dataclasses.field(repr=False)
    domain_name: str

    @property
    def summary(self) -> str:
        return f"write xVirt's mark onto domain {self.domain_name}"


# live changes


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetVcpus(DomainStep):
    name = "set-vcpus"
    count: int

    @property
    def summary(self) -> str:
        return f"set {self.count} vCPUs live"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetBalloon(DomainStep):
    name = "set-memory"
    size_bytes: int

    @property
    def summary(self) -> str:
        return f"set memory to {ByteSize(self.size_bytes)} live (balloon)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class UpdateDevice(DomainStep):
    name = "update-device"
    what: str
    xml: str = dataclasses.field(repr=False)

    @property
    def summary(self) -> str:
        return f"update {self.what} live"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChangeMedium(DomainStep):
    """Put another medium into a CD drive, or none."""

    name = "change-medium"
    what: str
    path: str | None
    xml: str = dataclasses.field(repr=False)
    force: bool = False

    @property
    def summary(self) -> str:
        return f"insert {self.path} into {self.what}" if self.path else f"eject {self.what}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneDisk(DomainStep):
    """Set a disk's limits; `leaves_group`: it shares them with others and is to do so no more."""

    name = "set-block-io-tune"
    what: str
    target: str
    tune: DiskTune
    leaves_group: bool = False

    @property
    def summary(self) -> str:
        limits = ", ".join(f"{name} {value}" for name, value in self.tune.items())
        return f"limit {self.what} to {limits} live" if limits else f"take the limits off {self.what} live"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AddIoThread(DomainStep):
    name = "add-io-thread"
    number: int

    @property
    def summary(self) -> str:
        return f"start I/O thread {self.number} live"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemoveIoThread(DomainStep):
    name = "remove-io-thread"
    number: int

    @property
    def summary(self) -> str:
        return f"end I/O thread {self.number} live"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttachDevice(DomainStep):
    name = "attach-device"
    what: str
    alias: str
    xml: str = dataclasses.field(repr=False)

    @property
    def summary(self) -> str:
        return f"attach {self.what} live"


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoteRunning(DomainStep):
    """Write the running domain's mark anew: what it is made from, with the devices that are about to be attached."""

    name = "note-running"
    impact = Impact.NONE
    xml: str = dataclasses.field(repr=False)

    @property
    def summary(self) -> str:
        return "note what the running domain is made from"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetachDevice(DomainStep):
    """Ask the guest to let go. Gone is only what the domain's XML no longer shows."""

    name = "detach-device"
    what: str
    alias: str
    xml: str = dataclasses.field(repr=False)

    @property
    def summary(self) -> str:
        return f"detach {self.what} live"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResizeDisk(DomainStep):
    name = "resize-disk"
    what: str
    target: str
    capacity_bytes: int

    @property
    def summary(self) -> str:
        return f"grow {self.what} to {ByteSize(self.capacity_bytes)} live"


# networks and pools


@dataclasses.dataclass(frozen=True, kw_only=True)
class DefineNetwork(Step):
    name = "define-network"
    impact = Impact.NONE
    uuid: str
    xml: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartNetwork(Step):
    name = "start-network"
    uuid: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class StopNetwork(Step):
    name = "stop-network"
    impact = Impact.RESTART
    uuid: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class UndefineNetwork(Step):
    name = "undefine-network"
    uuid: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class UpdateNetwork(Step):
    name = "update-network"
    uuid: str
    change: NetworkChange

    @property
    def summary(self) -> str:
        return f"{self.change.command.value} {self.change.section.value} in place"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DefineFilter(Step):
    name = "define-filter"
    impact = Impact.NONE
    filter_name: str
    xml: str = dataclasses.field(repr=False)

    @property
    def summary(self) -> str:
        return f"define network filter {self.filter_name}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CreateGroup(Step):
    name = "create-volume-group"
    impact = Impact.NONE
    group: str
    devices: tuple[str, ...]

    @property
    def summary(self) -> str:
        return f"make volume group {self.group} of {', '.join(self.devices)}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DefinePool(Step):
    name = "define-pool"
    impact = Impact.NONE
    uuid: str
    xml: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartPool(Step):
    name = "start-pool"
    impact = Impact.NONE
    uuid: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class StopPool(Step):
    name = "stop-pool"
    impact = Impact.NONE
    uuid: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class UndefinePool(Step):
    name = "undefine-pool"
    impact = Impact.NONE
    uuid: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutostartPool(Step):
    name = "autostart-pool"
    impact = Impact.NONE
    uuid: str
    is_enabled: bool
