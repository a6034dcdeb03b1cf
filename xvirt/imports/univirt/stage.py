"""What the acts are played upon: the manifests as they stand, and what is remembered of machines between acts."""

from __future__ import annotations

import string
from typing import Any

from xvirt.imports.result import Document, Manifests, make, to_label
from xvirt.imports.source import Source
from xvirt.imports.univirt.words import stem
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.meta import DEFAULT_NAMESPACE

_PREFIXES = {"virtio": "vd", "scsi": "sd", "sata": "sd", "usb": "sd", "ide": "hd"}
BUSES = {"vd": "virtio", "sd": "scsi", "hd": "sata"}
"""virsh's reading of a target's prefix; IDE, which q35 has not, becomes SATA."""
_FLAGS = ("live", "config", "persistent", "current", "print-xml", "verbose", "domain")


def take_flags(params: Source) -> None:
    """How virsh was to do it. A declaration holds now and at each start, which is all of them."""
    for key in _FLAGS:
        params.take(key)


class Stage:
    """The state between acts. Machines are named as in the documents; `targets` are those that acts gave to disks."""

    def __init__(self, manifests: Manifests) -> None:
        self.manifests = manifests
        self.acts: list[str] = []
        self._targets: dict[str, dict[str, str]] = {}

    def machine(self, name: str, params: Source) -> dict[str, Any] | None:
        """The spec of a machine that an act is upon, whose flags are read; None, and told, where it is not known."""
        found = self.manifests.find("VirtualMachine", DEFAULT_NAMESPACE, name)
        if found is None:
            params.take_all()
            params.ledger.miss(
                params.path,
                f"VirtualMachine {name} is not among the documents",
                "give its manifest with --onto, or the document that creates it before this one",
            )
            return None
        take_flags(params)
        spec: dict[str, Any] = found["spec"]
        return spec

    def find(self, kind: str, name: str) -> Document | None:
        """An object's document."""
        return self.manifests.find(kind, DEFAULT_NAMESPACE, name)

    def declare(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        """Add or replace a document."""
        self.manifests.put(make(kind, name, spec))

    def drop(self, kind: str, short: str, name: str) -> None:
        """The object goes; one that is not declared here, or that another is still to be copied from, is deleted by command."""
        is_copied = any(
            (item["spec"].get("source") or {}).get("clone") == name for item in self.manifests.of_kind("VirtualDisk")
        )
        if (kind == "VirtualDisk" and is_copied) or not self.manifests.drop(kind, DEFAULT_NAMESPACE, name):
            self.acts.append(f"xvirt delete {short} {name}")

    def name_target(self, machine: str, target: str, disk: str) -> None:
        """An act chose a disk's target."""
        self._targets.setdefault(machine, {})[disk] = target

    def forget_targets(self, machine: str) -> None:
        """The machine is made anew, or is gone."""
        self._targets.pop(machine, None)

    def targets(self, machine: str, spec: dict[str, Any]) -> dict[str, str]:
        """Each disk's target. A disk keeps the one that it has; one that has none gets the first free one of its bus."""
        disks: list[dict[str, Any]] = spec.get("disks", [])
        names = {disk["name"] for disk in disks}
        known = {disk: target for disk, target in self._targets.get(machine, {}).items() if disk in names}
        known.update({disk["name"]: disk["name"] for disk in disks if disk.get("adopted")})
        for disk in disks:
            if disk["name"] not in known:
                known[disk["name"]] = _free_target(_PREFIXES.get(disk.get("bus", "virtio"), "vd"), set(known.values()))
        self._targets[machine] = known
        return known

    def disk_at(self, machine: str, spec: dict[str, Any], target: str) -> dict[str, Any] | None:
        """The disk that has a target, by what acts said, else as libvirt numbers them. A path means its volume."""
        disks: list[dict[str, Any]] = spec.get("disks", [])
        known = self.targets(machine, spec)
        if "/" in target:
            name = to_label(stem(target))
            return next(
                (disk for disk in disks if name in (disk["name"], (disk.get("source") or {}).get("disk"))), None
            )
        return next((disk for disk in disks if known[disk["name"]] == target), None)


def wrong(params: Source, key: str, error: ValueError) -> InvalidSpec:
    """A parameter's value is not of its form."""
    return InvalidSpec([Problem(params.at(key), str(error))], params.ledger.subject)


def _free_target(prefix: str, taken: set[str]) -> str:
    letters: list[str] = list(string.ascii_lowercase)
    endings: list[str] = [*letters, *(first + second for first in letters for second in letters)]
    free: list[str] = [prefix + ending for ending in endings if prefix + ending not in taken]
    return free[0]
