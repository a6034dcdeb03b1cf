"""What machines and disks name of other objects, found in raw documents, and the hosts that this binds a machine to. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from xvirt.operator.readings import list_of, names_among, part_of

DEFAULT_POOL = "default"
"""Of a disk that names none (the model's default, which an API server writes in)."""


class References(NamedTuple):
    """Names in the object's own namespace, but for pools; each once, in the document's order.

    `disks`: VirtualDisks that are attached. `clones`: VirtualDisks that something of the object is copied from.
    """

    networks: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()
    clones: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()


def machine_references(spec: Mapping[str, Any]) -> References:
    """Of a VirtualMachine."""
    disks = [item for item in list_of(spec, "disks") if isinstance(item.get("source"), Mapping)]
    return References(
        networks=names_among(item.get("network") for item in list_of(spec, "nics")),
        images=names_among(item["source"].get("image") for item in disks),
        disks=names_among(item["source"].get("disk") for item in disks),
        clones=names_among(item["source"].get("clone") for item in disks),
        pools=names_among(item.get("pool") or DEFAULT_POOL for item in disks if _is_inline(item)),
    )


def disk_references(spec: Mapping[str, Any]) -> References:
    """Of a VirtualDisk."""
    source = part_of(spec, "source")
    return References(
        images=names_among([source.get("image")]),
        clones=names_among([source.get("clone")]),
        pools=names_among([spec.get("pool") or DEFAULT_POOL]),
    )


def image_references(spec: Mapping[str, Any]) -> References:
    """Of a VirtualImage."""
    return References(pools=names_among([spec.get("pool") or DEFAULT_POOL]))


def _is_inline(disk: Mapping[str, Any]) -> bool:
    """Whether the machine's own declaration makes a volume for it."""
    source = disk["source"]
    return not source.get("disk") and not source.get("path") and disk.get("device") != "Cdrom"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DiskPlace:
    """A VirtualDisk as far as it binds machines. `host`: where it is for good, or is to be; `clone`: the VirtualDisk that it copies;
    `user_host`: host of its first user, which decides where nothing else does."""

    host: str = ""
    clone: str | None = None
    user_host: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RequiredHosts:
    """Where a machine must be because of what it names.

    `by_host`: host to the VirtualDisks that are there. `missing`: VirtualDisks that do not exist, so that nobody knows where they will
    be. `missing_images`: VirtualImages that do not, whose pool may not be on every host. `allowed`: hosts that have all its pools; None for
    all.
    """

    by_host: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    missing: tuple[str, ...] = ()
    missing_images: tuple[str, ...] = ()
    allowed: frozenset[str] | None = None

    @property
    def host(self) -> str:
        """The only host that will do; empty where any will, or where none can."""
        return next(iter(self.by_host)) if len(self.by_host) == 1 else ""

    @property
    def is_torn(self) -> bool:
        """Whether disks of the machine are on different hosts."""
        return len(self.by_host) > 1

    def find_misplaced(self, host: str) -> str:
        """Why the machine cannot be on a host, as a sentence; empty where it can."""
        elsewhere = {place: names for place, names in self.by_host.items() if place != host}
        if not elsewhere:
            return ""
        parts = (f"VirtualDisk {', '.join(names)} on host {place}" for place, names in sorted(elsewhere.items()))
        return f"it is on host {host}, but {' and '.join(parts)}; a disk never moves: declare the machine anew, or use another disk"

    @property
    def torn_message(self) -> str:
        """Which disks are where."""
        parts = (f"VirtualDisk {', '.join(names)} is on host {host}" for host, names in sorted(self.by_host.items()))
        return (
            f"{' and '.join(parts)}, and a machine is on one host; copy one of them to the other's, or use another disk"
        )


def required_hosts(
    references: References,
    disks: Mapping[str, DiskPlace],
    pools: Mapping[str, Sequence[str]] | None = None,
    missing_images: Sequence[str] = (),
) -> RequiredHosts:
    """Hosts of a machine with these references.

    `disks`: the VirtualDisks of its namespace that it names, and those that they are copied from. `pools`: `spec.hosts` of the
    StoragePools that it needs; empty means all hosts.
    """
    by_host: dict[str, list[str]] = {}
    missing: list[str] = []
    for name in dict.fromkeys((*references.disks, *references.clones)):
        place = find_place(name, disks)
        if place is None:
            missing.append(name)
        elif place:
            by_host.setdefault(place, []).append(name)
    allowed: frozenset[str] | None = None
    for hosts in map(frozenset, (pools or {}).values()):
        if hosts:
            allowed = hosts if allowed is None else allowed & hosts
    return RequiredHosts(
        by_host={host: tuple(names) for host, names in by_host.items()},
        missing=tuple(missing),
        missing_images=tuple(missing_images),
        allowed=allowed,
    )


def find_place(name: str, disks: Mapping[str, DiskPlace]) -> str | None:
    """Host of a disk, or of what it is to be copied from; empty: any; None: something of that does not exist."""
    seen: list[DiskPlace] = []
    while True:
        disk = disks.get(name)
        if disk is None:
            return None
        seen.append(disk)
        if disk.host or disk.clone is None or any(disk.clone == other.clone for other in seen[:-1]):
            return disk.host or next((other.user_host for other in reversed(seen) if other.user_host), "")
        name = disk.clone
