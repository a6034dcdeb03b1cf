"""Devices that a domain had before xVirt: known by target or MAC, told here by the names that documents give them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from nodeplugin.plan.observation import Definition
from xvirt.domainxml.facts import name_adopted
from xvirt.model.virtualmachine import VirtualMachineSpec


def recognise(definition: Definition | None, spec: VirtualMachineSpec) -> Definition | None:
    """The definition with facts that name its adopted devices: those of the document, and those of the one that it was made from, so that
    what is no longer declared is not taken for plugged in by hand."""
    if definition is None:
        return None
    targets = {disk.name for disk in spec.disks if disk.adopted}
    nics = {nic.mac: nic.name for nic in spec.nics if nic.adopted and nic.mac is not None}
    mark = definition.facts.mark
    former = (mark.document if mark is not None else None) or {}
    for disk in _entries(former, "disks"):
        targets.add(str(disk.get("name")))
    for nic in _entries(former, "nics"):
        nics.setdefault(str(nic.get("mac")), str(nic.get("name")))
    if not targets and not nics:
        return definition
    return dataclasses.replace(definition, facts=name_adopted(definition.facts, targets, nics))


def _entries(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Adopted entries of a list; a mark can be edited by hand, so nothing of it is believed."""
    spec = document.get("spec")
    found = spec.get(name) if isinstance(spec, Mapping) else None
    entries = found if isinstance(found, list) else []
    return [entry for entry in entries if isinstance(entry, Mapping) and entry.get("adopted") is True]
