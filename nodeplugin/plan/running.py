"""What a running domain was made from: the document it was started with, and of later devices the one they were attached with.

It stands in the running domain's own mark (the definition's is newer), so it is there as long as the process is, whoever restarts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from nodeplugin.plan.intent import MachineDesired
from nodeplugin.plan.observation import MachineObservation
from nodeplugin.plan.step import AttachDevice, NoteRunning, Step
from nodeplugin.records import read_document
from xvirt.domainxml.mark import mark_element
from xvirt.domainxml.tree import to_text
from xvirt.model.changes import field_changes
from xvirt.model.errors import InvalidSpec
from xvirt.model.fields import Mutability
from xvirt.model.identity import device_alias

_LISTS = {"disk": "disks", "nic": "nics"}


def restart_fields(desired: MachineDesired, observed: MachineObservation) -> list[str]:
    """RESTART fields that differ between what the running domain was made from and the newest document."""
    started, newest = _started(observed), desired.stored.document
    if started is None or started.get("spec") == newest["spec"] or not _is_valid(started):
        return []
    differences = field_changes("VirtualMachine", started.get("spec"), newest["spec"])
    return [item.path for item in differences if item.mutability is Mutability.RESTART]


def note_attached(desired: MachineDesired, observed: MachineObservation, steps: Sequence[Step]) -> tuple[Step, ...]:
    """Before devices are attached: write into the running mark what they are made from. An attach that then fails is planned, and
    noted, again."""
    attached = {step.alias for step in steps if isinstance(step, AttachDevice)}
    mark, started = observed.live.facts.mark if observed.live else None, _started(observed)
    if not attached or mark is None or started is None or not _is_valid(started):
        return ()
    spec = dict(started["spec"])
    newest = desired.stored.document["spec"]
    for kind, field in _LISTS.items():
        fresh = {item["name"]: item for item in newest.get(field, ()) if device_alias(kind, item["name"]) in attached}
        if fresh:
            spec[field] = [item for item in spec.get(field, ()) if item["name"] not in fresh] + list(fresh.values())
    if spec == started["spec"]:
        return ()
    noted = dataclasses.replace(mark, document={**started, "spec": spec})
    return (NoteRunning(uuid=desired.stored.uid, xml=to_text(mark_element(noted))),)


def _started(observed: MachineObservation) -> Mapping[str, Any] | None:
    mark = observed.live.facts.mark if observed.live else None
    return mark.document if mark is not None else None


def _is_valid(document: Mapping[str, Any]) -> bool:
    """A mark can be edited by hand; what is no document of ours says nothing about the domain."""
    try:
        return read_document(document).kind == "VirtualMachine"
    except InvalidSpec:
        return False
