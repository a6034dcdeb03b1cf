"""What the node plugin may ask of a hypervisor.

All calls block, each within its own deadline (`DeadlineExceeded`); a domain whose monitor hangs answers `Busy` at once from the
second call on, so it costs one thread. Domains, networks and pools are named by UUID in canonical lower case. Errors are those of
`xvirt.model.errors`, translated by one table (`errors.py`); `NotFound` is raised where the thing does not exist.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol


class DomainState(enum.Enum):
    """virDomainState, by name."""

    NO_STATE = "nostate"
    RUNNING = "running"
    BLOCKED = "blocked"
    PAUSED = "paused"
    SHUTDOWN = "shutdown"
    SHUTOFF = "shutoff"
    CRASHED = "crashed"
    PM_SUSPENDED = "pmsuspended"


ACTIVE_STATES = frozenset(
    {
        DomainState.RUNNING,
        DomainState.BLOCKED,
        DomainState.PAUSED,
        DomainState.SHUTDOWN,
        DomainState.PM_SUSPENDED,
    }
)
"""States with a QEMU process. CRASHED is active only with on_crash=preserve; `DomainRecord.is_active` is the truth."""


class Persistence(enum.Enum):
    """Whether libvirt keeps a definition."""

    PERSISTENT = "persistent"
    TRANSIENT = "transient"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DomainRecord:
    """One row of the bulk list. `reason` is libvirt's reason for the state, lower case as `virsh domstate --reason` says it
    (`booted`, `destroyed`, `crashed`, `failed`, `saved`, `shutdown`, `user`, `unknown`, `daemon`, `ioerror`, ...)."""

    uuid: str
    name: str
    state: DomainState
    reason: str
    is_active: bool
    persistence: Persistence
    is_autostarted: bool
    has_managed_save: bool
    domain_id: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class DomainLook:
    """One domain with its definitions: `live_xml` while it runs, `config_xml` unless it is transient."""

    record: DomainRecord
    live_xml: str | None
    config_xml: str | None


class XmlView(enum.Enum):
    """Which definition."""

    CURRENT = "current"
    """The live one where the domain is active, else the persistent one."""
    INACTIVE = "inactive"
    """The persistent one: what the next start will use."""


class Scope(enum.Enum):
    """Where a change goes."""

    LIVE = "live"
    CONFIG = "config"
    BOTH = "both"


class ShutdownMode(enum.Enum):
    """How a guest is asked."""

    AGENT = "agent"
    ACPI = "acpi"
    ANY = "any"


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkRecord:
    """One libvirt network with its inactive XML."""

    uuid: str
    name: str
    is_active: bool
    is_autostarted: bool
    bridge: str
    xml: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoolRecord:
    """One libvirt pool. Sizes in bytes, zero while inactive."""

    uuid: str
    name: str
    is_active: bool
    is_autostarted: bool
    path: str
    capacity_bytes: int
    available_bytes: int
    xml: str
    type: str = "dir"
    """libvirt's: `dir`, `logical`, ..."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What does not change while libvirtd runs. `kvm_domain_type` is True where libvirt offers type='kvm' (which proves nothing)."""

    host_uuid: str
    hostname: str
    libvirt_version: str
    qemu_version: str
    architecture: str
    cpus: int
    memory_bytes: int
    offers_kvm: bool
    probe_seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class InterfaceAddress:
    """One address that a guest has, and who said so (`lease`, `agent`, `arp`)."""

    mac: str
    address: str
    prefix: int
    source: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class AgentAnswer:
    """What a guest's agent tells of itself: `facts` by libvirt's names (virDomainGetGuestInfo). The guest can say anything."""

    facts: Mapping[str, object] = dataclasses.field(default_factory=dict)
    addresses: tuple[InterfaceAddress, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockSize:
    """Sizes of an attached disk in bytes."""

    capacity_bytes: int
    allocation_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class DomainStats:
    """One domain's row of the bulk statistics: libvirt's own names and units (virConnectGetAllDomainStats: bytes, KiB for `balloon.*`,
    nanoseconds for times). Where QEMU is busy or hangs, what only its monitor knows is missing."""

    uuid: str
    name: str
    values: Mapping[str, object]


class EventKind(enum.Enum):
    """What happened; events only wake workers, they are never believed (DESIGN law 6)."""

    LIFECYCLE = "lifecycle"
    DEVICE_REMOVED = "device-removed"
    DEVICE_REMOVAL_FAILED = "device-removal-failed"
    DEVICE_ADDED = "device-added"
    AGENT = "agent"
    REBOOT = "reboot"
    WATCHDOG = "watchdog"
    OTHER = "other"
    NETWORK = "network"
    POOL = "pool"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"


@dataclasses.dataclass(frozen=True, kw_only=True)
class HypervisorEvent:
    """`subject` is the UUID of the domain, network or pool (empty for connection events); `detail` is for logs and waiters
    (the device alias for DEVICE_*; e.g. `stopped/crashed` for LIFECYCLE, the action for WATCHDOG: `reset`, `poweroff`, ...)."""

    kind: EventKind
    subject: str = ""
    detail: str = ""


EventListener = Callable[[HypervisorEvent], None]


class Domains(Protocol):
    """Domains."""

    def list_domains(self) -> list[DomainRecord]:
        """All domains, own and foreign, in one bulk call."""

    def find_domain(self, uuid: str) -> DomainRecord | None:
        """One domain; None where there is none."""

    def look_at_domain(self, uuid: str) -> DomainLook | None:
        """One domain with its definitions, without secure fields, by one call; None where there is none."""

    def find_domain_by_name(self, name: str) -> DomainRecord | None:
        """The domain that has a name; None where there is none."""

    def domain_xml(self, uuid: str, view: XmlView) -> str:
        """A definition, without secure fields."""

    def define_domain(self, xml: str) -> None:
        """Define or redefine, with validation (DESIGN law 8). Never undefines. Secure fields of the definition that was there stay."""

    def undefine_domain(self, uuid: str) -> None:
        """Undefine a domain with NVRAM, TPM state, managed save and snapshot metadata."""

    def start_domain(self, uuid: str) -> None:
        """Start; continues from the managed save image where there is one."""

    def shutdown_domain(self, uuid: str, mode: ShutdownMode) -> None:
        """Ask the guest to power off. Returns at once, with AGENT and ANY after 5 s at the latest: where the agent does not answer, the
        power button is pressed instead."""

    def destroy_domain(self, uuid: str) -> None:
        """Power off at once (gracefully flushed by QEMU where it still can). Raises Refused where it is off. A QEMU that hangs takes 10 s,
        in which libvirt holds the domain's lock: its own state, and lists, wait that long."""

    def reset_domain(self, uuid: str) -> None:
        """Press the reset button."""

    def suspend_domain(self, uuid: str) -> None:
        """Stop the vCPUs."""

    def resume_domain(self, uuid: str) -> None:
        """Let the vCPUs go on."""

    def save_domain(self, uuid: str) -> None:
        """Managed save: memory to disk, then off."""

    def save_progress_percent(self, uuid: str) -> int | None:
        """Progress of a running save; None where no job runs."""

    def drop_managed_save(self, uuid: str) -> None:
        """Forget the managed save image; the next start boots."""

    def set_vcpus(self, uuid: str, count: int, scope: Scope) -> None:
        """Number of vCPUs online."""

    def set_memory(self, uuid: str, size_bytes: int, scope: Scope) -> None:
        """Balloon target."""

    def attach_device(self, uuid: str, xml: str, scope: Scope) -> None:
        """Plug a device in."""

    def detach_device(self, uuid: str, xml: str, scope: Scope) -> None:
        """Unplug. With LIVE the guest is only asked: the device is gone when the current XML lacks it."""

    def update_device(self, uuid: str, xml: str, scope: Scope) -> None:
        """Change a device in place (link state, network, memory device's requested size)."""

    def change_medium(self, uuid: str, xml: str, *, force: bool) -> None:
        """Put into a running CD drive what its XML says, or nothing. A guest that has locked the tray is asked to open it, and has 5 s:
        then Refused with reason TrayLocked, unless `force` takes the old medium away all the same."""

    def tune_disk(self, uuid: str, target: str, tune: Mapping[str, int | str]) -> None:
        """Limit a disk of a running domain to this, by the names of virDomainSetBlockIoTune, and to nothing else. Without `group_name` it
        stays in the group that it is in; nothing at all takes it out of that. What a disk of a group gets, all of it get."""

    def add_io_thread(self, uuid: str, number: int) -> None:
        """Start an I/O thread in a running domain. Raises Refused where it is there already."""

    def remove_io_thread(self, uuid: str, number: int) -> None:
        """End an I/O thread of a running domain. Raises Refused where a disk is pinned to it, or where there is none."""

    def resize_block(self, uuid: str, target: str, size_bytes: int) -> None:
        """Grow an attached disk."""

    def block_size(self, uuid: str, target: str) -> BlockSize:
        """Sizes of an attached disk."""

    def set_metadata(self, uuid: str, xml: str, scope: Scope) -> None:
        """Put an element with a namespace of its own into `<metadata>`, in place of what that namespace had there."""

    def remove_metadata(self, uuid: str, namespace_uri: str) -> None:
        """Take one namespace's element out of `<metadata>`, live and persistent; nothing where it is not there."""

    def ping_monitor(self, uuid: str) -> None:
        """Ask a running domain's QEMU something cheap over its monitor. Raises DeadlineExceeded or Busy where it hangs."""

    def guest_addresses(self, uuid: str) -> list[InterfaceAddress]:
        """Addresses from leases and ARP: what the host knows, without a call into the guest."""

    def is_agent_connected(self, uuid: str) -> bool:
        """Whether the agent's channel is open, from the current XML: no call into the guest."""

    def ask_agent(self, uuid: str) -> AgentAnswer:
        """What the agent tells (OS, host name, users, file systems, addresses), by at most eight calls within 3 s each; the first that is
        not answered is the last. Raises NotFound (`AgentNotConnected`) where its channel is closed, DeadlineExceeded, Busy or Unavailable
        where it does not answer, Refused where it answers nonsense."""

    def ping_agent(self, uuid: str) -> None:
        """Ask the agent something cheap, within 3 s. Raises as `ask_agent`."""

    def agent_version(self, uuid: str) -> str:
        """Version of the agent. A raw command, which taints the domain; raises as `ask_agent`."""

    def start_in_guest(self, uuid: str, argv: Sequence[str]) -> int:
        """Have the agent start a process; returns its number there. Raw and raising as `agent_version`."""

    def exit_code_in_guest(self, uuid: str, process: int) -> int | None:
        """How a process that was started there ended (128 and more: by a signal); None while it runs. Raw and raising as
        `agent_version`."""

    def domain_stats(self, uuid: str) -> dict[str, object]:
        """libvirt's bulk stats of one domain, NOWAIT."""

    def all_domain_stats(self) -> list[DomainStats]:
        """libvirt's statistics of all domains, own and foreign, in one bulk call that waits for no busy monitor (NOWAIT)."""

    def console_stream(self, uuid: str, *, force: bool) -> ConsoleStream:
        """The serial console."""


class ConsoleStream(Protocol):
    """A duplex byte stream to a serial console."""

    def read(self, limit_bytes: int, timeout_s: float) -> bytes | None:
        """Output of the guest; empty where none came in time; None at the end."""

    def write(self, data: bytes) -> None:
        """Input to the guest."""

    def close(self) -> None:
        """Give the console back."""


class Networks(Protocol):
    """libvirt networks."""

    def list_networks(self) -> list[NetworkRecord]:
        """All networks."""

    def define_network(self, xml: str) -> None:
        """Define or redefine; an active network goes on as it was until restarted."""

    def start_network(self, uuid: str) -> None:
        """Start."""

    def stop_network(self, uuid: str) -> None:
        """Stop: guests' taps lose their bridge."""

    def undefine_network(self, uuid: str) -> None:
        """Forget an inactive network."""

    def autostart_network(self, uuid: str) -> None:
        """Let libvirt start it with the host."""

    def update_network(self, uuid: str, change: NetworkChange) -> None:
        """Change an active network in place and in its definition (virNetworkUpdate)."""

    def live_network_xml(self, uuid: str) -> str:
        """XML of the running network (the definition where it is off)."""

    def has_network_port(self, uuid: str, port_id: str) -> bool:
        """Whether a network knows the port that a running domain's NIC names. A network that was stopped has lost all its ports, and the
        NICs' taps are in no bridge, also after it was started again: libvirt plugs none in by itself."""

    def list_filters(self) -> frozenset[str]:
        """Names of libvirt's network filters."""

    def define_filter(self, xml: str) -> None:
        """Define a network filter. Raises InvalidSpec for what is none."""


class NetworkSection(enum.Enum):
    """What virNetworkUpdate can change."""

    DHCP_HOST = "ip-dhcp-host"
    DHCP_RANGE = "ip-dhcp-range"
    DNS_HOST = "dns-host"
    DNS_TXT = "dns-txt"
    DNS_SRV = "dns-srv"


class NetworkCommand(enum.Enum):
    """How."""

    ADD = "add"
    MODIFY = "modify"
    DELETE = "delete"


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkChange:
    """One virNetworkUpdate; `subnet_index` counts `<ip>` elements, and is -1 for a section that is in none."""

    command: NetworkCommand
    section: NetworkSection
    subnet_index: int
    xml: str


class Pools(Protocol):
    """libvirt storage pools."""

    def list_pools(self) -> list[PoolRecord]:
        """All pools."""

    def define_pool(self, xml: str) -> None:
        """Define or redefine."""

    def start_pool(self, uuid: str) -> None:
        """Build its directory where missing, and start."""

    def stop_pool(self, uuid: str) -> None:
        """Stop; volumes stay."""

    def undefine_pool(self, uuid: str) -> None:
        """Forget an inactive pool; volumes stay."""

    def autostart_pool(self, uuid: str, *, enabled: bool) -> None:
        """Whether libvirt starts it with the host."""

    def refresh_pool(self, uuid: str) -> None:
        """Let libvirt see new volumes."""


class Hypervisor(Domains, Networks, Pools, Protocol):
    """A host's hypervisor."""

    def facts(self) -> HostFacts:
        """Facts of the host, cached per connection."""

    def subscribe(self, listener: EventListener) -> None:
        """Call `listener` for each event, from the event thread: it must only enqueue."""

    def is_connected(self) -> bool:
        """Whether libvirt answers now."""

    def is_delivering(self) -> bool:
        """Whether the thread that delivers events still turns; asks it, and waits up to 2 s."""

    def lost_threads(self) -> int:
        """Threads whose call into libvirt has not come back in time."""

    def close(self) -> None:
        """End threads and connection."""


@dataclasses.dataclass(frozen=True)
class PoolSpace:
    """Size and free space of a pool's file system or volume group at this moment (libvirt's own figures are as old as its last look)."""

    capacity_bytes: int
    available_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class VolumeFacts:
    """A volume as `qemu-img info` (never probing) sees it. Sizes in bytes; `unit_bytes`: a logical volume's is a multiple of it."""

    path: str
    format: str
    capacity_bytes: int
    allocation_bytes: int
    backing_path: str | None = None
    unit_bytes: int = 1
    is_device: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class VolumeRequest:
    """A volume to be made; in `group` where it is a logical one. `backing_path` makes it linked; `source_path` makes it a full copy; neither: blank."""

    path: str
    format: str
    capacity_bytes: int | None
    backing_path: str | None = None
    backing_format: str | None = None
    source_path: str | None = None
    source_format: str | None = None
    preallocation: str = "off"
    group: str | None = None


class Volumes(Protocol):
    """Volumes of directory pools and of volume groups. Every maker writes to a name of its own (`.<name>.<random>.partial`, or a
    logical volume `xvirt.partial+<random>`), syncs it and renames it: a crash leaves either no volume or a whole one, and `sweep`
    removes what it left."""

    def find_volume(self, path: str, volume_format: str) -> VolumeFacts | None:
        """Facts of a volume; None where the file does not exist. Raises InvalidSpec where it is not of this format."""

    def create_volume(self, request: VolumeRequest, progress: Callable[[int], None]) -> None:
        """Make a volume; does nothing where it already exists. `progress` gets percents."""

    def check_image(self, path: str, volume_format: str, subject: str) -> VolumeFacts:
        """Facts of an image that nobody vouches for; messages call it `subject`. Raises InvalidSpec for another format, a backing or
        data file, encryption, damage, or an absurd virtual size."""

    def grow_volume(self, path: str, volume_format: str, capacity_bytes: int) -> None:
        """Grow a volume that no running domain has open."""

    def delete_volume(self, path: str) -> None:
        """Remove a volume file; nothing where it is gone."""

    def backing_chain(self, path: str, volume_format: str) -> Sequence[str]:
        """Paths of the volumes below this one, nearest first."""

    def has_place(self, directory: str) -> bool:
        """Whether a pool's directory is there. A group without volumes has none, and needs none."""

    def find_space(self, directory: str) -> PoolSpace | None:
        """Size and free space of a pool; None where it is not there."""

    def has_group(self, name: str) -> bool:
        """Whether the host has a volume group."""

    def create_group(self, name: str, devices: Sequence[str]) -> None:
        """Make a volume group of blank devices; nothing where it exists. Raises Refused for a device that holds anything."""

    def list_volumes(self, directory: str) -> Sequence[str]:
        """Names of the volumes in a pool's directory, foreign ones included, sorted; none where it has vanished."""

    def sweep(self, directory: str) -> list[str]:
        """Remove `.partial` leftovers that no live maker of this process owns; returns their names."""
