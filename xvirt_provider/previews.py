"""What a preview says of a change: each field with what it costs, what the node would do, and why an object would be made anew.

Values are shown where they are plain; what may hold somebody's secrets (text for the guest, headers, overlays) is named, not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from xvirt.model.changes import FieldDifference
from xvirt.model.errors import XvirtError
from xvirt.model.exchange import ApplyResult, ObjectRef
from xvirt.model.fields import Mutability
from xvirt_provider.core import Difference, ref_of, sentence
from xvirt_provider.unknowns import Pending

SHOWN_LENGTH = 60
_NEVER_SHOWN = ("spec.cloudInit", "spec.readinessProbe", "spec.livenessProbe")
_OVERLAYS = ("spec.domain", "spec.network", "spec.pool")
_COST = {Mutability.LIVE: "live", Mutability.RESTART: "at the next start", Mutability.FIXED: "by replacing"}


def describe_change(found: Difference, news: Mapping[str, Any], plan: Callable[[], ApplyResult | None]) -> list[str]:
    """Lines for people. `plan` asks the node; None where it cannot be reached."""
    subject = ref_of(news)
    lines = [f"{subject}: {_field(change)} [{_COST[change.mutability]}]" for change in found.changes]
    lines += [f"{subject}: {_unknown(item)}" for item in found.pending]
    lines += [f"{subject}: {text}, and is put back" for text in found.drift]
    if found.pending:
        return [*lines, f"{subject}: the node is asked for its plan once all is known"]
    return [*lines, *_planned(subject, plan)]


def describe_replacement(found: Difference, olds: Mapping[str, Any], collision: str) -> list[str]:
    """Lines for people. `collision`: what the old and the new object would both have; empty where they can be there together."""
    subject = ref_of(olds)
    fields = ", ".join(found.replaced)
    verb = "never changes" if len(found.replaced) == 1 else "never change"
    order = f"deleted first, since both would have {collision}" if collision else "deleted once the new one is there"
    lines = [f"{subject}: {fields} {verb}: a new object takes its place, and this one is {order}"]
    if "node" in found.replaced and olds["kind"] in ("VirtualMachine", "VirtualDisk"):
        lines.append(f"{subject}: its data does not move: what is on its disks stays on the node that it leaves")
    return lines


def _field(change: FieldDifference) -> str:
    if change.path.endswith("]") and None in (change.old, change.new):
        return f"{change.path} {'is added' if change.old is None else 'is taken out'}"
    if _is_hidden(change):
        return f"{change.path} changes"
    return f"{change.path} {_shown(change.old)} -> {_shown(change.new)}"


def _is_hidden(change: FieldDifference) -> bool:
    if any(change.path == path or change.path.startswith(f"{path}.") for path in _NEVER_SHOWN):
        return True
    return change.path in _OVERLAYS and any(isinstance(value, Mapping) for value in (change.old, change.new))


def _unknown(item: Pending) -> str:
    cost = _COST[item.mutability]
    return f"{item.path} is not known yet [{cost}, if it changes]"


def _planned(subject: ObjectRef, plan: Callable[[], ApplyResult | None]) -> Iterator[str]:
    try:
        result = plan()
    except XvirtError as error:
        yield f"{subject}: the node would refuse it: {sentence(error)}"
        return
    if result is None:
        yield f"{subject}: the node cannot be asked now; this is what the model says"
        return
    yield from (f"{subject}: {step.summary} [{step.impact.value}]" for step in result.plan)
    yield from (f"{subject}: waits: {text}" for text in result.waiting_for)


def _shown(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= SHOWN_LENGTH else f"{text[: SHOWN_LENGTH - 3]}..."
