"""The way in: KubeVirt's and CDI's documents, and Secrets beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from xvirt.imports.kubevirt.machine import read_instance, read_machine
from xvirt.imports.kubevirt.volumes import read_data_volume
from xvirt.imports.result import Imported, Manifests, Report
from xvirt.imports.source import Ledger, Source
from xvirt.model.kinds import SECRET_KIND
from xvirt.model.meta import DEFAULT_NAMESPACE

GROUPS = ("kubevirt.io/", "cdi.kubevirt.io/")
_UNKNOWN = "only VirtualMachine, VirtualMachineInstance, DataVolume and Secret are read"


def _data_volume(root: Source, manifests: Manifests) -> None:
    read_data_volume(root, manifests, root.enter("metadata").text("namespace") or DEFAULT_NAMESPACE)


_READERS: dict[str, Callable[[Source, Manifests], None]] = {
    "DataVolume": _data_volume,
    "VirtualMachine": read_machine,
    "VirtualMachineInstance": read_instance,
}


def is_kubevirt(document: Mapping[str, Any]) -> bool:
    """Whether a document is KubeVirt's or CDI's."""
    return str(document.get("apiVersion", "")).startswith(GROUPS)


def read_kubevirt(documents: Iterable[Mapping[str, Any]]) -> Imported:
    """xVirt's documents for a stream of KubeVirt's. Data volumes are read before the machines that have them.

    Raises InvalidSpec where a value is of the wrong kind, and where what comes out would not be valid.
    """
    manifests = Manifests()
    reports = [_read(document, manifests) for document in sorted(documents, key=_machines_last)]
    return Imported(manifests.checked(), tuple(reports))


def _machines_last(document: Mapping[str, Any]) -> int:
    return 1 if document.get("kind") in ("VirtualMachine", "VirtualMachineInstance") else 0


def _read(document: Mapping[str, Any], manifests: Manifests) -> Report:
    metadata = document.get("metadata") or {}
    kind = str(document.get("kind", ""))
    ledger = Ledger(f"{kind} {metadata.get('namespace') or DEFAULT_NAMESPACE}/{metadata.get('name', '')}")
    if kind == SECRET_KIND:
        manifests.add(dict(document))
        return Report.of(ledger)
    reader = _READERS.get(kind) if is_kubevirt(document) else None
    if reader is None:
        ledger.miss("kind", f"{kind} is not read", _UNKNOWN)
        return Report.of(ledger)
    root = ledger.open(document)
    for key in ("apiVersion", "kind", "status"):
        root.take(key)
    reader(root, manifests)
    return Report.of(ledger)
