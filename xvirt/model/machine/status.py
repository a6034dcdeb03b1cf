"""What a node reports of a VirtualMachine."""

from __future__ import annotations

import dataclasses
import enum

from xvirt.model.fields import Format, Mutability, field
from xvirt.model.machine.disk import DiskStatus
from xvirt.model.machine.guest import GuestStatus
from xvirt.model.machine.nic import NicStatus
from xvirt.model.meta import Condition, LastError
from xvirt.model.quantity import ByteSize

LIVE = Mutability.LIVE


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
    guest: GuestStatus | None = field(
        "What the guest's agent told last; absent while it runs without one.", LIVE, default=None
    )
    restart_count: int = field("Restarts by runStrategy since the machine was last started by hand.", LIVE, default=0)
    last_error: LastError | None = field("What went wrong last.", LIVE, default=None)
    conditions: tuple[Condition, ...] = field("Conditions.", LIVE, default=(), list_key="type")
