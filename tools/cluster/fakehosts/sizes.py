"""What a running machine of a fake node was made from, and what of a newer document it takes without a restart. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from xvirt.model.changes import field_changes
from xvirt.model.fields import Mutability
from xvirt.model.quantity import ByteSize

Spec = Mapping[str, Any]


@dataclass(frozen=True)
class Running:
    """The spec that a domain was started with, and the sizes that it has now."""

    spec: Spec
    cores: int
    memory_bytes: int


def started(spec: Spec) -> Running:
    """A domain that was just started."""
    return Running(spec, _cores(spec), _size(spec))


def follow(running: Running, spec: Spec) -> tuple[Running, tuple[str, ...]]:
    """What it is with a newer spec, and the paths that wait for a restart."""
    if running.spec == spec:
        return started(spec), ()
    differences = field_changes("VirtualMachine", running.spec, spec)
    waits = [item.path for item in differences if item.mutability is Mutability.RESTART]
    cores, size = _cores(spec), _size(spec)
    if cores <= (running.spec.get("cpu", {}).get("max") or _cores(running.spec)):
        running = replace(running, cores=cores)
    else:
        waits.append("spec.cpu.cores")
    most = running.spec["memory"].get("max")
    if size == running.memory_bytes or (most is not None and size <= ByteSize(most)):
        running = replace(running, memory_bytes=size)
    else:
        waits.append("spec.memory.size")
    return running, tuple(dict.fromkeys(waits))


def _cores(spec: Spec) -> int:
    return int(spec.get("cpu", {}).get("cores", 1))


def _size(spec: Spec) -> int:
    return int(ByteSize(spec["memory"]["size"]))
