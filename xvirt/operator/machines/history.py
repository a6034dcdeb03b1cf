"""What of a machine's life becomes an Event of the cluster, read from its status as it is written. Pure.

Created, Started, Stopped, Crashed, Paused, Resumed, Saved, RestartRequired; what nodes tell themselves is `telling`'s. A status tells what
has become of a machine also where its node's word was missed, and while its host was away: where the one before says Unknown, it is
compared with the last power that this operator knows of. On its way to Running a machine has one Event, `Started`, because each is a write
to the API server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from xvirt.model.machine.status import PowerState

ENTRIES = frozenset(("Created", "Started"))
"""The first word of a machine that was made."""
_OFF = frozenset((PowerState.STOPPED, PowerState.CRASHED, PowerState.SAVED, PowerState.NOT_DEFINED))
_ON = frozenset((PowerState.RUNNING, PowerState.PAUSED, PowerState.STOPPING))


_CRASHED = ("crashed", "failed")
"""libvirt's reasons of a domain that is off and was not stopped by anybody."""


class News(NamedTuple):
    """An Event. `kind` is Normal or Warning."""

    kind: str
    reason: str
    message: str


def find_news(
    before: Mapping[str, Any], after: Mapping[str, Any], *, is_made: bool, last_power: PowerState | None = None
) -> tuple[News, ...]:
    """What a status tells that the one before did not. `is_made`: this operator has had the machine made since that one. `last_power`:
    what it knew last of the machine's power, for where that one does not say."""
    old = read_power(before) or last_power
    told = (_power_news(old, after, is_made=is_made), _restart_news(before, after))
    return tuple(news for news in told if news is not None)


def _power_news(old: PowerState | None, after: Mapping[str, Any], *, is_made: bool) -> News | None:
    new = read_power(after)
    host, why = f"host {after.get('nodeName')}", str(after.get("powerReason") or "")
    if is_made:
        if new is PowerState.RUNNING:
            return News("Normal", "Started", f"{host}: created and started")
        is_there = new in _OFF and _condition(after, "Ready").get("status") == "True"
        return News("Normal", "Created", f"{host}: created") if is_there else None
    match old, new:
        case PowerState.PAUSED, PowerState.RUNNING:
            return News("Normal", "Resumed", f"{host}: resumed")
        case _, PowerState.RUNNING if old in _OFF:
            return News("Normal", "Started", f"{host}: started")
        case PowerState.RUNNING, PowerState.PAUSED:
            return News("Normal", "Paused", f"{host}: paused" + (f" ({why})" if why else ""))
        case _, PowerState.STOPPED if old in _ON and why in _CRASHED:
            return News("Warning", "Crashed", f"{host}: the guest or its QEMU ended by a crash ({why})")
        case _, PowerState.STOPPED if old in _ON:
            return News("Normal", "Stopped", f"{host}: stopped" + (f" ({why})" if why else ""))
        case _, PowerState.SAVED if old in _ON:
            return News("Normal", "Saved", f"{host}: saved with its memory")
        case _, PowerState.CRASHED if old in _ON:
            return News("Warning", "Crashed", f"{host}: the guest has crashed" + (f" ({why})" if why else ""))
    return None


def _restart_news(before: Mapping[str, Any], after: Mapping[str, Any]) -> News | None:
    old, new = _condition(before, "RestartRequired"), _condition(after, "RestartRequired")
    if new.get("status") != "True" or (old.get("status"), old.get("message")) == ("True", new.get("message")):
        return None
    return News("Normal", "RestartRequired", str(new.get("message") or "some fields wait for a restart"))


def read_power(status: Mapping[str, Any]) -> PowerState | None:
    """What a status says of the machine's power; None where nothing is known of it."""
    word = status.get("powerState")
    known = {state.value: state for state in PowerState if state is not PowerState.UNKNOWN}
    return known.get(str(word))


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    found: list[Mapping[str, Any]] = [item for item in status.get("conditions") or () if item["type"] == kind]
    return found[0] if found else {}
