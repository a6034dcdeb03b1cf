"""The volumes of a fake node: names alone, by the plugin's own rules of what an object makes and what of that outlives it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nodeplugin.plan.outcome import Kept
from nodeplugin.records import StoredObject
from xvirt.model.identity import VolumeOwner

_DIRECTORY = "/var/lib/xvirt/pool"
_POLICIES = {"VirtualDisk": "Retain", "VirtualImage": "Delete"}


def path_of(name: str) -> str:
    """Where a volume of this name lies."""
    return f"{_DIRECTORY}/{name}"


class Volumes:
    """What is on one host. Nothing here fails: what a volume needs was looked at before."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    @property
    def names(self) -> frozenset[str]:
        """Of all files."""
        return frozenset(self._names)

    def make(self, stored: StoredObject) -> list[str]:
        """Make what an object declares; the names of those that were there before."""
        wanted = [name for name, _ in volumes_of(stored)]
        before = [name for name in wanted if name in self._names]
        self._names.update(wanted)
        return before

    def end(self, stored: StoredObject, users: Mapping[str, tuple[str, ...]]) -> list[Kept]:
        """The object goes; what stays. `users`: names of the domains that have a volume which is to go."""
        kept = []
        for name, policy in volumes_of(stored):
            if policy == "Delete" and not users.get(name):
                self._names.discard(name)
            elif name in self._names:
                kept.append(Kept(path_of(name), users.get(name, ())))
        return kept


def volumes_of(stored: StoredObject) -> Iterator[tuple[str, str]]:
    """Name and deletionPolicy of each volume that an object declares."""
    spec, place = stored.document["spec"], (stored.kind, stored.namespace, stored.name)
    if stored.kind in _POLICIES:
        owner = VolumeOwner(*place, spec.get("format", "qcow2"))
        yield owner.file_name, spec.get("deletionPolicy", _POLICIES[stored.kind])
    for disk in spec.get("disks", ()) if stored.kind == "VirtualMachine" else ():
        source = disk.get("source") or {}
        if source and not source.get("disk") and not source.get("path") and disk.get("device") != "Cdrom":
            owner = VolumeOwner(*place, disk.get("format", "qcow2"), disk["name"])
            yield owner.file_name, disk.get("deletionPolicy", "Retain")
