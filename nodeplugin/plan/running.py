"""What a running domain was made from: the document it was started with, and of later devices the one they were attached with.

It stands in the running domain's own mark (the definition's is newer), so it is there as long as the process is, whoever restarts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from nodeplugin.plan.intent import MachineDesired
from nodeplugin.plan.observation import MachineObservation
from nodeplugin.plan.seed import seed_of
from nodeplugin.plan.step import AttachDevice, ChangeMedium, NoteRunning, Step, TuneDisk
from nodeplugin.records import read_document
from xvirt.domainxml.mark import mark_element
from xvirt.domainxml.tree import to_text
from xvirt.model.changes import field_changes
from xvirt.model.errors import InvalidSpec
from xvirt.model.fields import Mutability
from xvirt.model.identity import device_alias
from xvirt.model.machine.disk import DiskDevice

_SEED_FIELD = "spec.cloudInit"
_LISTS = {"disk": "disks", "nic": "nics"}


def restart_fields(desired: MachineDesired, observed: MachineObservation, seed_path: str | None) -> list[str]:
    """RESTART fields that differ between what the running domain was made from and the newest document; a Secret whose content changed is
    known by the seed."""
    found = _changed_fields(desired, observed)
    running = seed_of(observed.live)
    is_other_seed = None not in (running, seed_path) and running != seed_path
    if is_other_seed and not any(path.startswith(_SEED_FIELD) for path in found):
        found.append(_SEED_FIELD)
    return found


def _changed_fields(desired: MachineDesired, observed: MachineObservation) -> list[str]:
    started, newest = started_document(observed), desired.stored.document
    if started is None or started["spec"] == newest["spec"]:
        return []
    differences = field_changes("VirtualMachine", started["spec"], newest["spec"])
    return [item.path for item in differences if item.mutability is Mutability.RESTART]


_SIZES = {"cpu": "cores", "memory": "size"}


def is_resized_by_hand(desired: MachineDesired, observed: MachineObservation, part: str) -> bool:
    """Whether a size that the running domain has otherwise than it is declared was the declared one already: `part` is cpu or memory."""
    started = started_document(observed)
    if started is None:
        return False
    before, now = started["spec"], desired.stored.document["spec"]
    return bool(_size(before, part) == _size(now, part))


def _size(spec: Mapping[str, Any], part: str) -> Any:
    return spec.get(part, {}).get(_SIZES[part])


def note_running(
    desired: MachineDesired, observed: MachineObservation, steps: Sequence[Step], sized: Iterable[str]
) -> tuple[Step, ...]:
    """Write into the running mark what devices are made from that are about to be attached (an attach that then fails is planned, and
    noted, again), what has been changed of disks since (limits and media), and the sizes that are as declared (`sized`: cpu, memory)."""
    attached = {step.alias for step in steps if isinstance(step, AttachDevice)}
    pending = {step.what for step in steps if isinstance(step, TuneDisk | ChangeMedium)}
    mark, started = observed.live.facts.mark if observed.live else None, started_document(observed)
    if mark is None or started is None:
        return ()
    spec = dict(started["spec"])
    newest = desired.stored.document["spec"]
    if spec == newest:
        return ()
    for kind, field in _LISTS.items():
        fresh = {item["name"]: item for item in newest.get(field, ()) if device_alias(kind, item["name"]) in attached}
        if fresh:
            spec[field] = [item for item in spec.get(field, ()) if item["name"] not in fresh] + list(fresh.values())
    for part in sized:
        if _size(spec, part) != _size(newest, part):
            spec[part] = {**spec.get(part, {}), _SIZES[part]: _size(newest, part)}
    current = {item["name"]: item for item in newest.get("disks", ())}
    if "disks" in spec:
        spec["disks"] = [_with_changed(item, current.get(item["name"]), pending) for item in spec["disks"]]
    if spec == started["spec"]:
        return ()
    noted = dataclasses.replace(mark, document={**started, "spec": spec})
    return (NoteRunning(uuid=desired.stored.uid, xml=to_text(mark_element(noted))),)


def _with_changed(
    started: Mapping[str, Any], newest: Mapping[str, Any] | None, pending: Collection[str]
) -> Mapping[str, Any]:
    """A disk as it was started, with what of it has been changed in place."""
    is_cdrom = started.get("device") == DiskDevice.CDROM.value
    if newest is None or f"{'Cdrom' if is_cdrom else 'disk'} {started['name']}" in pending:
        return started
    field = "source" if is_cdrom else "ioLimits"
    rest = {name: value for name, value in started.items() if name != field}
    return {**rest, field: newest[field]} if newest.get(field) is not None else rest


def started_document(observed: MachineObservation) -> Mapping[str, Any] | None:
    """The document in the running domain's mark; None where there is none, or none of ours."""
    mark = observed.live.facts.mark if observed.live else None
    document = mark.document if mark is not None else None
    return document if document is not None and _is_valid(document) else None


def _is_valid(document: Mapping[str, Any]) -> bool:
    """A mark can be edited by hand; what is no document of ours says nothing about the domain."""
    try:
        return read_document(document).kind == "VirtualMachine"
    except InvalidSpec:
        return False
