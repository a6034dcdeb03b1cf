"""VirtualMachine: one libvirt domain with its disks, NICs and first-boot data.

Words are KubeVirt's where the concept is the same (`runStrategy`, `terminationGracePeriodSeconds`), so manifests can move over.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import ClassVar

from xvirt.model import limits
from xvirt.model.fields import Format, Mutability, Rule, Tree, field
from xvirt.model.meta import Condition, LastError
from xvirt.model.quantity import ByteSize

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


class MachineDeletionPolicy(enum.Enum):
    """What becomes of the domain when its object is deleted."""

    DELETE = "Delete"
    DETACH = "Detach"


class DiskDeletionPolicy(enum.Enum):
    """What becomes of a volume when its declaration is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class MemoryHotplug(enum.Enum):
    """How memory grows and shrinks in a running machine."""

    VIRTIO_MEM = "VirtioMem"
    BALLOON = "Balloon"


class FirmwareType(enum.Enum):
    """What the machine boots with."""

    BIOS = "Bios"
    UEFI = "Uefi"


class DiskDevice(enum.Enum):
    """What the guest sees."""

    DISK = "Disk"
    CDROM = "Cdrom"


class DiskBus(enum.Enum):
    """Bus of a disk; `sata` needs AHCI in the guest, which Debian's cloud kernel lacks."""

    VIRTIO = "virtio"
    SCSI = "scsi"
    SATA = "sata"
    USB = "usb"


class DiskFormat(enum.Enum):
    """Format of a volume."""

    QCOW2 = "qcow2"
    RAW = "raw"


class DiskCache(enum.Enum):
    """Host cache mode (https://libvirt.org/formatdomain.html#hard-drives-floppy-disks-cdroms)."""

    NONE = "none"
    WRITEBACK = "writeback"
    WRITETHROUGH = "writethrough"
    DIRECTSYNC = "directsync"
    UNSAFE = "unsafe"


class DiskDiscard(enum.Enum):
    """Whether a guest's discard frees space on the host."""

    UNMAP = "unmap"
    IGNORE = "ignore"


class CopyMode(enum.Enum):
    """Whether a volume made from another depends on it."""

    LINKED = "Linked"
    FULL = "Full"


class NicModel(enum.Enum):
    """Emulated network card."""

    VIRTIO = "virtio"
    E1000E = "e1000e"
    E1000 = "e1000"
    RTL8139 = "rtl8139"


class LinkState(enum.Enum):
    """Whether the cable is plugged in."""

    UP = "Up"
    DOWN = "Down"


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


class TolerationOperator(enum.Enum):
    """As in a pod."""

    EXISTS = "Exists"
    EQUAL = "Equal"


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
            "!has(self.max) || quantity(string(self.max)).compareTo(quantity(string(self.size))) >= 0",
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


def _source_count(source: DiskSource) -> int:
    return sum(item is not None for item in (source.image, source.disk, source.clone))


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiskSource:
    """Where a disk's content comes from: at most one of `image`, `disk`, `clone`; none of them is a blank disk of `size`."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda source: _source_count(source) <= 1,
            "(has(self.image) ? 1 : 0) + (has(self.disk) ? 1 : 0) + (has(self.clone) ? 1 : 0) <= 1",
            "image, disk and clone exclude each other; keep one",
        ),
        Rule(
            lambda source: _source_count(source) > 0 or source.size is not None,
            "has(self.image) || has(self.disk) || has(self.clone) || has(self.size)",
            "a blank disk needs a size such as 10Gi",
            "size",
        ),
        Rule(
            lambda source: source.disk is None or source.size is None,
            "!has(self.disk) || !has(self.size)",
            "a VirtualDisk has its own size; remove this one",
            "size",
        ),
    )

    image: str | None = field(
        "VirtualImage to start from.",
        FIXED,
        default=None,
        format=Format.LABEL,
        max_length=63,
        references="VirtualImage",
    )
    disk: str | None = field(
        "VirtualDisk to attach; it outlives this machine.",
        FIXED,
        default=None,
        format=Format.LABEL,
        max_length=63,
        references="VirtualDisk",
    )
    clone: str | None = field(
        "VirtualDisk to copy once.", FIXED, default=None, format=Format.LABEL, max_length=63, references="VirtualDisk"
    )
    copy: CopyMode = field(
        "Linked keeps only differences from an image; Full stands alone. A clone is always Full.",
        FIXED,
        default=CopyMode.LINKED,
    )
    size: ByteSize | None = field(
        "Size of the volume; grows live, never shrinks; absent: the source's size.",
        LIVE,
        default=None,
        unit="bytes",
        minimum=limits.VOLUME_MIN_BYTES,
        maximum=limits.VOLUME_MAX_BYTES,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Disk:
    """One disk or CD drive."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda disk: disk.source is not None or disk.device is DiskDevice.CDROM,
            "has(self.source) || self.device == 'Cdrom'",
            "a disk needs a source; only a Cdrom may be empty",
            "source",
        ),
        Rule(
            lambda disk: disk.device is not DiskDevice.CDROM or disk.bus is not DiskBus.VIRTIO,
            "self.device != 'Cdrom' || self.bus != 'virtio'",
            "a Cdrom cannot be on the virtio bus; use scsi, sata or usb",
            "bus",
        ),
    )

    name: str = field("Name of the disk in this machine.", FIXED, format=Format.LABEL, max_length=63)
    source: DiskSource | None = field("Content; only a Cdrom may have none.", LIVE, default=None)
    device: DiskDevice = field("Disk or Cdrom.", FIXED, default=DiskDevice.DISK)
    bus: DiskBus = field("Bus that the guest sees.", RESTART, default=DiskBus.VIRTIO)
    pool: str = field(
        "StoragePool of the volume that this declaration makes.",
        FIXED,
        default="default",
        format=Format.LABEL,
        max_length=63,
        references="StoragePool",
    )
    format: DiskFormat = field("Format of the volume that this declaration makes.", FIXED, default=DiskFormat.QCOW2)
    read_only: bool = field("Whether the guest may only read.", RESTART, default=False)
    cache: DiskCache | None = field("Host cache mode; absent: QEMU's default.", RESTART, default=None)
    discard: DiskDiscard = field("What a guest's discard does.", RESTART, default=DiskDiscard.UNMAP)
    serial: str | None = field(
        "Serial that the guest sees; absent: the disk's name.",
        RESTART,
        default=None,
        format=Format.SERIAL,
        max_length=20,
    )
    boot_order: int | None = field("Place in the boot order.", RESTART, default=None, minimum=1, maximum=64)
    deletion_policy: DiskDeletionPolicy = field(
        "What becomes of the volume with the machine; a VirtualDisk is never touched.",
        LIVE,
        default=DiskDeletionPolicy.RETAIN,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrafficLimit:
    """How fast one direction of a card may be."""

    average: ByteSize = field(
        "Bytes per second in the long run; rounded up to whole kilobytes (1000 bytes).",
        LIVE,
        unit="bytes",
        minimum=1000,
        maximum=limits.NIC_RATE_MAX_BYTES,
    )
    peak: ByteSize | None = field(
        "Bytes per second while `burst` lasts; absent: `average`.",
        LIVE,
        default=None,
        unit="bytes",
        minimum=1000,
        maximum=limits.NIC_RATE_MAX_BYTES,
    )
    burst: ByteSize | None = field(
        "Bytes that may pass at `peak`; rounded up to whole KiB; absent: libvirt's.",
        LIVE,
        default=None,
        unit="bytes",
        minimum=1024,
        maximum=limits.NIC_BURST_MAX_BYTES,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class NicBandwidth:
    """Limits of a card, as the guest sees them."""

    inbound: TrafficLimit | None = field("What the guest receives; absent: not limited.", LIVE, default=None)
    outbound: TrafficLimit | None = field("What the guest sends; absent: not limited.", LIVE, default=None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nic:
    """One network card."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda nic: nic.queues is None or nic.model is NicModel.VIRTIO,
            "!has(self.queues) || !has(self.model) || self.model == 'virtio'",
            "only model virtio has queues; remove queues or use virtio",
            "queues",
        ),
    )

    name: str = field("Name of the card in this machine.", FIXED, format=Format.LABEL, max_length=63)
    network: str = field(
        "VirtualNetwork that it is plugged into.", LIVE, format=Format.LABEL, max_length=63, references="VirtualNetwork"
    )
    mac: str | None = field(
        "MAC address; absent: derived from the machine's UID and this name.", FIXED, default=None, format=Format.MAC
    )
    addresses: tuple[str, ...] = field(
        "Addresses that the guest may use where the network has antiSpoofing; those of its fixed leases are known. None at all: any.",
        LIVE,
        default=(),
        format=Format.IP,
        max_items=64,
    )
    model: NicModel = field("Emulated card.", RESTART, default=NicModel.VIRTIO)
    link_state: LinkState = field("Whether the cable is plugged in.", LIVE, default=LinkState.UP)
    bandwidth: NicBandwidth | None = field("Limits of its traffic; absent: none.", LIVE, default=None)
    queues: int | None = field(
        "Queues of a virtio card, at best one per vCPU; absent: one.", RESTART, default=None, minimum=1, maximum=256
    )
    mtu: int | None = field(
        "MTU that the card offers its guest and its tap has; absent: the network's.",
        RESTART,
        default=None,
        unit="bytes",
        minimum=68,
        maximum=65535,
    )
    boot_order: int | None = field("Place in the boot order.", RESTART, default=None, minimum=1, maximum=64)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSource:
    """Text, given here or by reference to a Secret: exactly one of the two."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda source: (source.inline is None) != (source.secret is None),
            "has(self.inline) != has(self.secret)",
            "give exactly one of inline and secret",
        ),
    )

    inline: str | None = field("The text itself.", RESTART, default=None, max_length=limits.USER_DATA_MAX_BYTES)
    secret: str | None = field(
        "Secret that holds the text.", RESTART, default=None, format=Format.LABEL, max_length=63, references="Secret"
    )
    key: str | None = field(
        "Key in the Secret; absent: `userData` or `networkData`, as the field is called.",
        RESTART,
        default=None,
        format=Format.SERIAL,
        max_length=253,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CloudInit:
    """First-boot data on a NoCloud volume labelled `cidata`
    (https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html)."""

    hostname: str | None = field(
        "Host name; absent: the machine's name.", RESTART, default=None, format=Format.DOMAIN_NAME
    )
    user_data: TextSource | None = field("cloud-config or script.", RESTART, default=None)
    network_data: TextSource | None = field("Network configuration, version 1 or 2.", RESTART, default=None)


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toleration:
    """As in a pod."""

    key: str = field("Taint's key; empty: every key.", LIVE, default="")
    operator: TolerationOperator = field("How the value is compared.", LIVE, default=TolerationOperator.EQUAL)
    value: str = field("Taint's value.", LIVE, default="")
    effect: str = field("Taint's effect; empty: every effect.", LIVE, default="")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Placement:
    """Which host may run the machine. A node plugin runs what it is given; only a cluster's scheduler reads these."""

    host: str | None = field("The one host.", FIXED, default=None, format=Format.LABEL, max_length=63)
    node_selector: Mapping[str, str] | None = field(
        "Labels that the host must have.", LIVE, default=None, format=Format.LABEL_VALUE, max_length=63
    )
    tolerations: tuple[Toleration, ...] = field("Taints that are put up with.", LIVE, default=())
    priority_class_name: str | None = field("PriorityClass.", LIVE, default=None, format=Format.DOMAIN_NAME)


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
    nics: tuple[Nic, ...] = field("Network cards.", LIVE, default=(), list_key="name", max_items=limits.NICS_MAX)
    cloud_init: CloudInit | None = field("First-boot data.", RESTART, default=None)
    devices: Devices = field("Other devices.", RESTART, default=Devices)
    run_strategy: RunStrategy = field("When the machine is to run.", LIVE, default=RunStrategy.ALWAYS)
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
    domain: Tree | None = field(
        "Everything else libvirt can do: a tree laid over the generated domain XML, strings only.",
        RESTART,
        default=None,
    )


class PowerState(enum.Enum):
    """What the domain does now."""

    RUNNING = "Running"
    PAUSED = "Paused"
    STOPPED = "Stopped"
    SAVED = "Saved"
    CRASHED = "Crashed"
    STOPPING = "Stopping"
    NOT_DEFINED = "NotDefined"
    UNKNOWN = "Unknown"


class AddressSource(enum.Enum):
    """Who said so."""

    LEASE = "lease"
    AGENT = "agent"
    ARP = "arp"


@dataclasses.dataclass(frozen=True, kw_only=True)
class NicAddress:
    """One address of a NIC."""

    address: str = field("IPv4 or IPv6 address.", LIVE, format=Format.IP)
    prefix: int = field("Prefix length.", LIVE, default=0, minimum=0, maximum=128)
    source: AddressSource = field("Who said so.", LIVE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NicStatus:
    """One NIC as it is."""

    name: str = field("Declared name; empty for a NIC that was not declared.", LIVE, default="")
    mac: str = field("MAC address.", LIVE, format=Format.MAC)
    network: str = field("libvirt network or bridge.", LIVE, default="")
    device: str = field("Host's tap device.", LIVE, default="")
    addresses: tuple[NicAddress, ...] = field("Addresses.", LIVE, default=())


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiskStatus:
    """One disk as it is."""

    name: str = field("Declared name; empty for a disk that was not declared.", LIVE, default="")
    target: str = field("Target such as vda.", LIVE, default="")
    path: str = field("Volume's path on the host.", LIVE, default="", max_length=4096)
    size: ByteSize | None = field("Virtual size.", LIVE, default=None, unit="bytes")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VirtualMachineStatus:
    """What the machine is. Written by the node, only on change."""

    observed_generation: int = field("Generation that this status is of; -1: none yet.", LIVE, default=-1)
    printable_status: str = field("One word for a table.", LIVE, default="Pending")
    power_state: PowerState = field("What the domain does now.", LIVE, default=PowerState.UNKNOWN)
    power_reason: str = field("Why, in libvirt's words.", LIVE, default="")
    uuid: str | None = field("UUID of the domain.", LIVE, default=None, format=Format.UUID)
    domain_name: str = field("Name of the domain on its host.", LIVE, default="")
    node_name: str = field("Host that it is on.", LIVE, default="")
    cpus: int = field("vCPUs now.", LIVE, default=0)
    memory: ByteSize | None = field("Memory now.", LIVE, default=None, unit="bytes")
    restart_required: tuple[str, ...] = field("Fields that wait for a restart.", LIVE, default=())
    drift: tuple[str, ...] = field("What was changed behind xVirt's back.", LIVE, default=())
    interfaces: tuple[NicStatus, ...] = field("NICs.", LIVE, default=())
    disks: tuple[DiskStatus, ...] = field("Disks.", LIVE, default=())
    restart_count: int = field("Restarts by runStrategy since the machine was last started by hand.", LIVE, default=0)
    last_error: LastError | None = field("What went wrong last.", LIVE, default=None)
    conditions: tuple[Condition, ...] = field("Conditions.", LIVE, default=(), list_key="type")
