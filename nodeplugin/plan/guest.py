"""What a guest told, and how much of it is taken into status. Nothing here trusts a guest: what is not of the expected kind is
passed over, text is cleaned and cut, lists are cut, each by a limit that `xvirt.model.limits` names."""

from __future__ import annotations

import dataclasses
import enum
import ipaddress
from collections.abc import Iterable, Mapping

from nodeplugin.hypervisor.port import InterfaceAddress
from nodeplugin.plan.probe import Readiness
from xvirt.model import limits
from xvirt.model.machine.guest import GuestFileSystem, GuestOs, GuestStatus, GuestUser
from xvirt.model.names import is_clean_text
from xvirt.model.quantity import ByteSize

_COUNT_MAX = 4096
"""Entries of one list that are looked at, whatever number the guest says it has."""
_BYTES_MAX = 1 << 63
USED_STEP_SHARE = 1 / 100
"""Of a file system's size: a smaller change of what is used is not worth a write of status and a message to each watcher."""


class AgentState(enum.Enum):
    """How the guest's agent is, as far as it was asked."""

    UNASKED = "unasked"
    ANSWERING = "answering"
    SILENT = "silent"


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuestFacts:
    """What the guest told last. `is_responding`: whether its QEMU does. `silence`: why its agent does not."""

    addresses: tuple[InterfaceAddress, ...] = ()
    is_responding: bool = True
    agent: AgentState = AgentState.UNASKED
    silence: str = ""
    told: GuestStatus | None = None
    readiness: Readiness | None = None
    """None: no readiness probe is declared, or the machine does not run."""


def read_guest(facts: Mapping[str, object], old: GuestStatus | None) -> GuestStatus:
    """libvirt's guest information (virDomainGetGuestInfo) as status; what is used of file systems stays as in `old` while it hardly moves."""
    return GuestStatus(
        agent_version=old.agent_version if old is not None else "",
        host_name=_text(facts.get("hostname")),
        time_zone=_time_zone(facts),
        os=_os(facts),
        users=_users(facts),
        file_systems=_keep_used(_file_systems(facts), old.file_systems if old is not None else ()),
    )


def usable_addresses(answers: Iterable[InterfaceAddress]) -> tuple[InterfaceAddress, ...]:
    """Addresses that are some, each once per card by whoever said so first, in an order of their own."""
    found: dict[tuple[str, str], InterfaceAddress] = {}
    for item in answers:
        address = _address(item.address)
        if address is None or not 0 <= item.prefix <= address.max_prefixlen:
            continue
        found.setdefault((item.mac, str(address)), dataclasses.replace(item, address=str(address)))
    ordered = sorted(found.values(), key=lambda item: (item.mac, ":" in item.address, item.address))
    return tuple(ordered[: limits.GUEST_ADDRESSES_MAX])


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """A zone (`fe80::1%eth0`) is the guest's own business, as are link-local addresses."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    is_nobodys = address.is_unspecified or address.is_loopback or address.is_multicast
    is_near = isinstance(address, ipaddress.IPv6Address) and address.is_link_local
    return None if is_nobodys or is_near else address


def clean_words(value: object) -> str:
    """One line of a guest's text, fit for a document and a terminal, and cut."""
    if not isinstance(value, str):
        return ""
    cut = value[: limits.GUEST_TEXT_MAX_LENGTH]
    return "".join(char if char >= " " and is_clean_text(char) else "\N{REPLACEMENT CHARACTER}" for char in cut)


_text = clean_words


def _time_zone(facts: Mapping[str, object]) -> str:
    offset = facts.get("timezone.offset")
    name = _text(facts.get("timezone.name"))
    if not isinstance(offset, int) or abs(offset) > 86400:
        return name
    minutes = abs(offset) // 60
    distance = f"{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"
    return f"{name} ({distance})" if name else distance


def _os(facts: Mapping[str, object]) -> GuestOs | None:
    found = GuestOs(
        id=_text(facts.get("os.id")),
        name=_text(facts.get("os.pretty-name")) or _text(facts.get("os.name")),
        version=_text(facts.get("os.version-id")) or _text(facts.get("os.version")),
        kernel=_text(facts.get("os.kernel-release")),
        machine=_text(facts.get("os.machine")),
    )
    return found if found != GuestOs() else None


def _users(facts: Mapping[str, object]) -> tuple[GuestUser, ...]:
    found = {
        GuestUser(name=name, domain=_text(facts.get(f"user.{number}.domain")))
        for number in range(_count(facts, "user.count"))
        if (name := _text(facts.get(f"user.{number}.name")))
    }
    return tuple(sorted(found, key=lambda user: (user.name, user.domain))[: limits.GUEST_USERS_MAX])


def _file_systems(facts: Mapping[str, object]) -> tuple[GuestFileSystem, ...]:
    found: dict[str, GuestFileSystem] = {}
    for number in range(_count(facts, "fs.count")):
        prefix = f"fs.{number}"
        mount_point = _text(facts.get(f"{prefix}.mountpoint"))
        if mount_point:
            found[mount_point] = GuestFileSystem(
                mount_point=mount_point,
                type=_text(facts.get(f"{prefix}.fstype")),
                device=_text(facts.get(f"{prefix}.name")),
                size=_size(facts.get(f"{prefix}.total-bytes")),
                used=_size(facts.get(f"{prefix}.used-bytes")),
                disks=_disks(facts, prefix),
            )
    return tuple(found[name] for name in sorted(found)[: limits.GUEST_FILE_SYSTEMS_MAX])


def _disks(facts: Mapping[str, object], prefix: str) -> tuple[str, ...]:
    count = min(_count(facts, f"{prefix}.disk.count"), limits.GUEST_DISKS_MAX)
    names = [
        _text(facts.get(f"{prefix}.disk.{number}.alias")) or _text(facts.get(f"{prefix}.disk.{number}.device"))
        for number in range(count)
    ]
    return tuple(dict.fromkeys(name for name in names if name))


def _keep_used(new: tuple[GuestFileSystem, ...], old: tuple[GuestFileSystem, ...]) -> tuple[GuestFileSystem, ...]:
    known = {item.mount_point: item for item in old}
    return tuple(
        dataclasses.replace(item, used=known[item.mount_point].used)
        if item.mount_point in known and _is_near(item, known[item.mount_point])
        else item
        for item in new
    )


def _is_near(new: GuestFileSystem, old: GuestFileSystem) -> bool:
    if new.used is None or old.used is None or not new.size or new.size != old.size:
        return False
    return abs(int(new.used) - int(old.used)) < int(new.size) * USED_STEP_SHARE


def _count(facts: Mapping[str, object], name: str) -> int:
    value = facts.get(name)
    return max(0, min(value, _COUNT_MAX)) if isinstance(value, int) else 0


def _size(value: object) -> ByteSize | None:
    return ByteSize(value) if isinstance(value, int) and 0 <= value < _BYTES_MAX else None
