"""Processors, memory, firmware and the smaller devices of a VirtualMachine."""

from __future__ import annotations

import dataclasses
import enum
from typing import ClassVar

from xvirt.model import limits
from xvirt.model.fields import Format, Mutability, Rule, field
from xvirt.model.quantity import ByteSize, cel_at_least

LIVE, RESTART = Mutability.LIVE, Mutability.RESTART


class MemoryHotplug(enum.Enum):
    """How memory grows and shrinks in a running machine."""

    VIRTIO_MEM = "VirtioMem"
    BALLOON = "Balloon"


class FirmwareType(enum.Enum):
    """What the machine boots with."""

    BIOS = "Bios"
    UEFI = "Uefi"


class FeaturePolicy(enum.Enum):
    """libvirt's CPU feature policies."""

    FORCE = "force"
    REQUIRE = "require"
    OPTIONAL = "optional"
    DISABLE = "disable"
    FORBID = "forbid"


class GraphicsType(enum.Enum):
    """Graphical console; always on a Unix socket of the host, never on a network address."""

    NONE = "None"
    VNC = "Vnc"


class WatchdogAction(enum.Enum):
    """What an expired watchdog does."""

    RESET = "reset"
    SHUTDOWN = "shutdown"
    POWEROFF = "poweroff"
    PAUSE = "pause"
    NONE = "none"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CpuFeature:
    """One CPU flag."""

    name: str = field("Flag as in libvirt's cpu_map.", RESTART, format=Format.CPU_MODEL, max_length=64)
    policy: FeaturePolicy = field("What to do with it.", RESTART, default=FeaturePolicy.REQUIRE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CpuTopology:
    """Sockets, cores and threads as the guest sees them; their product is the number of possible vCPUs."""

    sockets: int = field("CPU sockets.", RESTART, minimum=1, maximum=limits.VCPUS_MAX)
    cores: int = field("Cores per socket.", RESTART, minimum=1, maximum=limits.VCPUS_MAX)
    threads: int = field("Threads per core.", RESTART, default=1, minimum=1, maximum=8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cpu:
    """Virtual CPUs."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda cpu: cpu.max is None or cpu.max >= cpu.cores,
            "!has(self.max) || self.max >= self.cores",
            "max is below cores; raise max or lower cores",
            "max",
        ),
        Rule(
            lambda cpu: (
                cpu.topology is None
                or cpu.topology.sockets * cpu.topology.cores * cpu.topology.threads == (cpu.max or cpu.cores)
            ),
            "!has(self.topology) || self.topology.sockets * self.topology.cores * self.topology.threads"
            " == (has(self.max) ? self.max : self.cores)",
            "sockets * cores * threads must equal max (or cores where max is absent)",
            "topology",
        ),
    )

    cores: int = field(
        "vCPUs that the guest has now; changed live up to `max`.", LIVE, default=1, minimum=1, maximum=limits.VCPUS_MAX
    )
    max: int | None = field(
        "vCPUs that `cores` can be raised to without a restart; absent: `cores` at the last start.",
        RESTART,
        default=None,
        minimum=1,
        maximum=limits.VCPUS_MAX,
    )
    topology: CpuTopology | None = field("Topology; absent: one socket per vCPU.", RESTART, default=None)
    model: str | None = field(
        "CPU model, `host-model`, `host-passthrough` or `maximum`; absent: host-model with KVM, QEMU's own without.",
        RESTART,
        default=None,
        format=Format.CPU_MODEL,
        max_length=64,
    )
    features: tuple[CpuFeature, ...] = field(
        "Flags to add or take away; needs `model`.", RESTART, default=(), list_key="name", max_items=128
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
    """Guest memory."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda memory: memory.max is None or memory.max >= memory.size,
            f"!has(self.max) || {cel_at_least('self.max', 'self.size')}",
            "max is below size; raise max or lower size",
            "max",
        ),
    )

    size: ByteSize = field(
        "Memory that the guest has now; changed live up to `max`.",
        LIVE,
        unit="bytes",
        minimum=limits.MEMORY_MIN_BYTES,
        maximum=limits.MEMORY_MAX_BYTES,
    )
    max: ByteSize | None = field(
        "What `size` can be raised to without a restart; absent: `size` at the last start.",
        RESTART,
        default=None,
        unit="bytes",
        minimum=limits.MEMORY_MIN_BYTES,
        maximum=limits.MEMORY_MAX_BYTES,
    )
    hotplug: MemoryHotplug = field(
        "VirtioMem adds and removes real memory in steps of 2 MiB (Linux 5.8+, Windows driver); Balloon starts the guest with"
        " `max` and takes the rest away, which every guest knows.",
        RESTART,
        default=MemoryHotplug.VIRTIO_MEM,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Firmware:
    """What the machine boots with."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda firmware: not firmware.secure_boot or firmware.type is FirmwareType.UEFI,
            "!self.secureBoot || self.type == 'Uefi'",
            "secureBoot needs type: Uefi",
            "secureBoot",
        ),
    )

    type: FirmwareType = field("Bios (SeaBIOS) or Uefi (OVMF).", RESTART, default=FirmwareType.BIOS)
    secure_boot: bool = field("Boot signed code only.", RESTART, default=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Devices:
    """Devices beside disks and NICs."""

    guest_agent: bool = field("Channel for the QEMU guest agent.", RESTART, default=True)
    rng: bool = field("virtio-rng from the host's /dev/urandom.", RESTART, default=True)
    tpm: bool = field("Emulated TPM 2.0; its state lives as long as the machine.", RESTART, default=False)
    graphics: GraphicsType = field("Graphical console.", RESTART, default=GraphicsType.NONE)
    watchdog: WatchdogAction | None = field("i6300esb watchdog and what it does.", RESTART, default=None)
    hotplug_ports: int = field(
        "Spare PCIe ports for hot-plugged disks and NICs; a q35 machine has none of its own.",
        RESTART,
        default=8,
        minimum=0,
        maximum=64,
    )
