"""What the agent in a VirtualMachine's guest tells: the guest's own words, cut to bounds. Nothing is decided by them alone."""

from __future__ import annotations

import dataclasses

from xvirt.model import limits
from xvirt.model.fields import Mutability, field
from xvirt.model.quantity import ByteSize

LIVE = Mutability.LIVE
_TEXT = limits.GUEST_TEXT_MAX_LENGTH


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuestOs:
    """Operating system, in the words of its os-release file."""

    id: str = field("Short name such as debian.", LIVE, default="", max_length=_TEXT)
    name: str = field("Name for people.", LIVE, default="", max_length=_TEXT)
    version: str = field("Version.", LIVE, default="", max_length=_TEXT)
    kernel: str = field("Release of its kernel.", LIVE, default="", max_length=_TEXT)
    machine: str = field("Architecture.", LIVE, default="", max_length=_TEXT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuestUser:
    """Somebody who is logged in."""

    name: str = field("Login name.", LIVE, max_length=_TEXT)
    domain: str = field("Domain of a Windows account.", LIVE, default="", max_length=_TEXT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuestFileSystem:
    """A file system that is mounted."""

    mount_point: str = field("Where it is mounted.", LIVE, max_length=_TEXT)
    type: str = field("Type such as ext4.", LIVE, default="", max_length=_TEXT)
    device: str = field("The guest's name of its device.", LIVE, default="", max_length=_TEXT)
    size: ByteSize | None = field("Size; absent: not told.", LIVE, default=None, unit="bytes")
    used: ByteSize | None = field(
        "Used; brought up to date once it has moved by a hundredth of `size`.", LIVE, default=None, unit="bytes"
    )
    disks: tuple[str, ...] = field(
        "Targets of the disks below it, such as vda, where libvirt knows them.",
        LIVE,
        default=(),
        max_length=_TEXT,
        max_items=limits.GUEST_DISKS_MAX,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuestStatus:
    """What the guest's agent told last. Beyond the bounds, entries are left out and text is cut."""

    agent_version: str = field(
        "Version of the agent; known only where an exec probe speaks to it.", LIVE, default="", max_length=_TEXT
    )
    host_name: str = field("Host name.", LIVE, default="", max_length=_TEXT)
    time_zone: str = field("Time zone, and its distance from UTC.", LIVE, default="", max_length=_TEXT)
    os: GuestOs | None = field("Operating system.", LIVE, default=None)
    users: tuple[GuestUser, ...] = field(
        "Who is logged in, each once.", LIVE, default=(), max_items=limits.GUEST_USERS_MAX
    )
    file_systems: tuple[GuestFileSystem, ...] = field(
        "File systems, by mount point.", LIVE, default=(), max_items=limits.GUEST_FILE_SYSTEMS_MAX
    )
