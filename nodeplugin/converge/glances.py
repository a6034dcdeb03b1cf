"""What Apply's preview saw of a machine's host, for the worker that begins a moment later: it need not look at the same once more.

A glance is believed for the first plan of that visit alone, and only where nothing can have changed since: no event and no step of any
worker touched the host's index, no other document was stored or removed, nobody brought the object up, and no time to speak of went by.
Whatever is in doubt is looked at anew, and every plan after the first step always is.
"""

from __future__ import annotations

import dataclasses
import threading

from nodeplugin.clock import Clock
from nodeplugin.converge.host import HostIndex
from nodeplugin.plan.observation import MachineObservation
from nodeplugin.records import StoredObject
from nodeplugin.store import Store

GLANCE_MAX_S = 0.1
"""Between an Apply's look and its worker's beginning on an idle node lie 2 to 6 ms."""
GLANCES_MAX = 64
"""Kept at once; the oldest goes first."""


@dataclasses.dataclass(frozen=True)
class Moment:
    """A state of everything that tells of changes."""

    host_changes: int
    stored_changes: int
    taken_s: float


@dataclasses.dataclass(frozen=True)
class _Glance:
    stored: StoredObject
    observed: MachineObservation
    moment: Moment


class Glances:
    """The glances of all machines. Thread-safe."""

    def __init__(self, index: HostIndex, store: Store, clock: Clock) -> None:
        self._index = index
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, _Glance] = {}

    def moment(self) -> Moment:
        """Now: to be asked before one looks."""
        return Moment(self._index.count_changes(), self._store.count_changes(), self._clock.monotonic_s())

    def keep(self, stored: StoredObject, observed: MachineObservation, moment: Moment) -> None:
        """Keep what was seen since `moment` for a stored object."""
        with self._lock:
            self._kept.pop(stored.uid, None)
            while len(self._kept) >= GLANCES_MAX:
                self._kept.pop(next(iter(self._kept)))
            self._kept[stored.uid] = _Glance(stored, observed, moment)

    def drop(self, uid: str) -> None:
        """Something about the object may have changed."""
        with self._lock:
            self._kept.pop(uid, None)

    def take(self, stored: StoredObject) -> MachineObservation | None:
        """What was seen of this very object a moment ago, once; None where it must be looked at."""
        with self._lock:
            glance = self._kept.pop(stored.uid, None)
        if glance is None or dataclasses.replace(glance.stored, status=stored.status) != stored:
            return None
        now = self.moment()
        is_same = (now.host_changes, now.stored_changes) == (glance.moment.host_changes, glance.moment.stored_changes)
        return glance.observed if is_same and now.taken_s - glance.moment.taken_s <= GLANCE_MAX_S else None
