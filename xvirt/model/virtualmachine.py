"""VirtualMachine: one libvirt domain with its disks, NICs and first-boot data.

Words are KubeVirt's where the concept is the same (`runStrategy`, `terminationGracePeriodSeconds`), so manifests can move over.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import ClassVar

from xvirt.model import limits
from xvirt.model.fields import Format, Mutability, Rule, Tree, field
from xvirt.model.machine.cloud_init import CloudInit
from xvirt.model.machine.disk import Disk
from xvirt.model.machine.hardware import Cpu, Devices, Firmware, Memory
from xvirt.model.machine.nic import Nic
from xvirt.model.machine.placement import Placement
from xvirt.model.machine.probe import LivenessProbe, Probe, asks_agent

LIVE, RESTART, FIXED = Mutability.LIVE, Mutability.RESTART, Mutability.FIXED


class RunStrategy(enum.Enum):
    """When the machine is to run."""

    ALWAYS = "Always"
    RERUN_ON_FAILURE = "RerunOnFailure"
    ONCE = "Once"
    MANUAL = "Manual"
    HALTED = "Halted"


class UpdatePolicy(enum.Enum):
    """What happens to a change that a running machine cannot take."""

    STAGE = "Stage"
    RESTART = "Restart"


class DriftPolicy(enum.Enum):
    """What happens to a change made behind xVirt's back."""

    CORRECT = "Correct"
    REPORT = "Report"


class MachineBase(enum.Enum):
    """What stands in a domain beside what is declared."""

    STANDARD = "Standard"
    BARE = "Bare"


class MachineDeletionPolicy(enum.Enum):
    """What becomes of the domain when its object is deleted."""

    DELETE = "Delete"
    DETACH = "Detach"


def _are_groups_at_one(disks: tuple[Disk, ...]) -> bool:
    grouped = [disk.io_limits for disk in disks if disk.io_limits is not None and disk.io_limits.group is not None]
    return all(one == other for one in grouped for other in grouped if one.group == other.group)


def _agent_rule(name: str, probe_of: Callable[[VirtualMachineSpec], Probe | None]) -> Rule:
    """A probe that asks the agent needs its channel."""
    return Rule(
        lambda spec: spec.devices.guest_agent or not asks_agent(probe_of(spec)),
        f"!has(self.{name}) || !has(self.{name}.guestAgentPing) && !has(self.{name}.exec)"
        " || !has(self.devices) || !has(self.devices.guestAgent) || self.devices.guestAgent",
        "asks the guest's agent, which devices.guestAgent switches off; switch it on, or use tcpSocket or httpGet",
        name,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VirtualMachineSpec:
    """What the machine is to be."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda spec: (
                len({nic.mac for nic in spec.nics if nic.mac}) == sum(nic.mac is not None for nic in spec.nics)
            ),
            "!has(self.nics) || self.nics.all(a, !has(a.mac) || self.nics.exists_one(b, has(b.mac) && b.mac == a.mac))",
            "two NICs have the same mac; give each its own or leave it out",
            "nics",
        ),
        Rule(
            lambda spec: not spec.cpu.features or spec.cpu.model is not None,
            "!has(self.cpu.features) || size(self.cpu.features) == 0 || has(self.cpu.model)",
            "features need a model to be added to, for example host-model",
            "cpu.features",
        ),
        Rule(
            lambda spec: all((disk.io_thread or 0) <= spec.io_threads for disk in spec.disks),
            "!has(self.disks) || self.disks.all(a, !has(a.ioThread) || (has(self.ioThreads) && a.ioThread <= self.ioThreads))",
            "a disk is pinned to an I/O thread that the machine has not; raise ioThreads or lower the disk's ioThread",
            "ioThreads",
        ),
        Rule(
            lambda spec: _are_groups_at_one(spec.disks),
            "!has(self.disks) || self.disks.all(a, !has(a.ioLimits) || !has(a.ioLimits.group) || self.disks.all(b,"
            " !has(b.ioLimits) || !has(b.ioLimits.group) || b.ioLimits.group != a.ioLimits.group || b.ioLimits == a.ioLimits))",
            "disks of one ioLimits.group state different limits; give all of them the same",
            "disks",
        ),
        _agent_rule("readinessProbe", lambda spec: spec.readiness_probe),
        _agent_rule("livenessProbe", lambda spec: spec.liveness_probe),
    )

    cpu: Cpu = field("Virtual CPUs.", LIVE, default=Cpu)
    memory: Memory = field("Guest memory.", LIVE)
    machine: str = field(
        "Machine type as in `qemu-system-x86_64 -machine help`; fixed to a version when first defined.",
        RESTART,
        default="q35",
        format=Format.CPU_MODEL,
        max_length=64,
    )
    firmware: Firmware = field("What the machine boots with.", RESTART, default=Firmware)
    disks: tuple[Disk, ...] = field(
        "Disks and CD drives; the first is booted from unless bootOrder says otherwise.",
        LIVE,
        default=(),
        list_key="name",
        order=RESTART,
        max_items=limits.DISKS_MAX,
    )
    io_threads: int = field(
        "Threads of the host that serve disks which name one (`disks[].ioThread`), beside QEMU's main thread.",
        LIVE,
        default=0,
        minimum=0,
        maximum=limits.IO_THREADS_MAX,
    )
    nics: tuple[Nic, ...] = field("Network cards.", LIVE, default=(), list_key="name", max_items=limits.NICS_MAX)
    cloud_init: CloudInit | None = field("First-boot data.", RESTART, default=None)
    devices: Devices = field("Other devices.", RESTART, default=Devices)
    run_strategy: RunStrategy = field("When the machine is to run.", LIVE, default=RunStrategy.ALWAYS)
    readiness_probe: Probe | None = field("While it fails, a running machine is not Ready.", LIVE, default=None)
    liveness_probe: LivenessProbe | None = field(
        "Once it fails, the machine is shut down; runStrategy decides whether it is started again.", LIVE, default=None
    )
    update_policy: UpdatePolicy = field(
        "Stage keeps a change that needs a restart for the next one; Restart restarts gracefully at once.",
        LIVE,
        default=UpdatePolicy.STAGE,
    )
    drift_policy: DriftPolicy = field(
        "Correct undoes changes made behind xVirt's back; Report only says so in the conditions.",
        LIVE,
        default=DriftPolicy.CORRECT,
    )
    termination_grace_period_seconds: int = field(
        "Time for the guest to shut down before it is powered off.",
        LIVE,
        default=180,
        unit="s",
        minimum=0,
        maximum=86400,
    )
    deletion_policy: MachineDeletionPolicy = field(
        "Delete stops and undefines the domain; Detach leaves it as it is, without xVirt's mark.",
        LIVE,
        default=MachineDeletionPolicy.DELETE,
    )
    placement: Placement | None = field("Which host may run the machine.", LIVE, default=None)
    base: MachineBase = field(
        "Standard adds what a new machine should have (clock, console, balloon, spare ports ...); Bare adds nothing, so that the"
        " domain is what is declared here and in `domain`: adopted machines have it.",
        FIXED,
        default=MachineBase.STANDARD,
    )
    domain: Tree | None = field(
        "Everything else libvirt can do: a tree laid over the generated domain XML, strings only.",
        RESTART,
        default=None,
    )

    @property
    def asks_by_command(self) -> bool:
        """Whether a probe runs commands in the guest."""
        return any(
            probe is not None and probe.command is not None for probe in (self.readiness_probe, self.liveness_probe)
        )
