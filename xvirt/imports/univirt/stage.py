"""What the acts are played upon: the manifests as they stand, and what is remembered of machines between acts."""

from __future__ import annotations

from typing import Any

from xvirt.imports.result import Document, Manifests, make, to_label
from xvirt.imports.source import Source
from xvirt.imports.univirt.words import stem
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.meta import DEFAULT_NAMESPACE

_PREFIXES = {"virtio": "vd", "scsi": "sd", "sata": "sd", "usb": "sd"}
BUSES = {"vd": "virtio", "sd": "scsi", "hd": "sata"}
"""virsh's reading of a target's prefix; IDE, which q35 has not, becomes SATA."""
FLAGS = ("live", "config", "persistent", "current", "print-xml", "verbose", "domain")


class Stage:
    """The state between acts. Machines are named as in the documents; `targets` are those that acts gave to disks."""

    def __init__(self, manifests: Manifests) -> None:
        self.manifests = manifests
        self.acts: list[str] = []
        self._targets: dict[str, dict[str, str]] = {}

    def machine(self, name: str, params: Source) -> dict[str, Any] | None:
        """The spec of a machine; None, and told, where it is not known."""
        found = self.manifests.find("VirtualMachine", DEFAULT_NAMESPACE, name)
        if found is None:
            params.take_all()
            params.ledger.miss(
                params.path,
                f"VirtualMachine {name} is not among the documents",
                "give its manifest with --onto, or the document that creates it before this one",
            )
            return None
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
        self._targets.setdefault(machine, {})[target] = disk

    def disk_at(self, machine: str, spec: dict[str, Any], target: str) -> dict[str, Any] | None:
        """The disk that has a target, by what acts said, else in the order in which libvirt numbers them. A path means its volume."""
        disks: list[dict[str, Any]] = spec.get("disks", [])
        name = self._targets.get(machine, {}).get(target)
        if name is None and "/" in target:
            name = to_label(stem(target))
            return next(
                (disk for disk in disks if name in (disk["name"], (disk.get("source") or {}).get("disk"))), None
            )
        if name is None:
            name = _numbered(disks).get(target)
        return next((disk for disk in disks if disk["name"] == name), None)


def wrong(params: Source, key: str, error: ValueError) -> InvalidSpec:
    """A parameter's value is not of its form."""
    return InvalidSpec([Problem(params.at(key), str(error))], params.ledger.subject)


def _numbered(disks: list[dict[str, Any]]) -> dict[str, str]:
    counts: dict[str, int] = {}
    found: dict[str, str] = {}
    for disk in disks:
        prefix = _PREFIXES[disk.get("bus", "virtio")]
        number = counts.get(prefix, 0)
        counts[prefix] = number + 1
        found[f"{prefix}{chr(ord('a') + number % 26)}"] = disk["name"]
    return found
