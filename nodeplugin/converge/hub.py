"""Tells watchers what changed: one full snapshot, then deltas, numbered within this process's boot id.

A reader that does not keep up is cut and starts over; it never holds anybody up, and its queue never grows beyond its limit.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import threading
from collections.abc import Callable

from xvirt.model.authority import is_served
from xvirt.model.errors import Exhausted
from xvirt.model.exchange import Caller, Event, ObjectRef, ObjectView, Operation, WatchEvent, WatchType

READER_QUEUE_MAX = 4096
"""Messages that one reader may be behind, its snapshot not counted."""


def may_see(caller: Caller, ref: ObjectRef) -> bool:
    """Whether a caller may know of an object: its authority's, or one that nobody's rules hide, in a namespace of its own."""
    in_namespace = not ref.namespace or "*" in caller.namespaces or ref.namespace in caller.namespaces
    return in_namespace and is_served(caller.authorities, ref.authority)


class Subscription:
    """One reader."""

    def __init__(self, hub: Hub, wants: Callable[[ObjectRef], bool]) -> None:
        self._hub = hub
        self._wants = wants
        self._condition = threading.Condition()
        self._queue: collections.deque[WatchEvent] = collections.deque()
        self._limit = READER_QUEUE_MAX
        self._is_overrun = False
        self._is_closed = False

    def offer(self, event: WatchEvent, ref: ObjectRef | None) -> None:
        """Queue a message; marks the reader as overrun where it is too far behind."""
        if ref is not None and not self._wants(ref):
            return
        with self._condition:
            if len(self._queue) >= self._limit:
                self._is_overrun = True
                self._queue.clear()
            elif not self._is_overrun:
                self._queue.append(event)
            self._condition.notify()

    def prime(self, events: list[WatchEvent]) -> None:
        """Put the snapshot in; it does not count against the limit."""
        with self._condition:
            self._limit += len(events)
            self._queue.extend(events)
            self._condition.notify()

    def next_event(self, timeout_s: float) -> WatchEvent | None:
        with self._condition:
            self._condition.wait_for(lambda: self._queue or self._is_overrun or self._is_closed, timeout_s)
            if self._is_overrun:
                raise Exhausted(
                    f"the reader fell more than {READER_QUEUE_MAX} messages behind; watch again", reason="SlowReader"
                )
            return self._queue.popleft() if self._queue else None

    def close(self) -> None:
        self._hub.drop(self)
        with self._condition:
            self._is_closed = True
            self._condition.notify()


class Hub:
    """All readers."""

    def __init__(self, boot_id: str) -> None:
        self.boot_id = boot_id
        self._lock = threading.Lock()
        self._sequence = itertools.count(1)
        self._readers: set[Subscription] = set()

    def subscribe(self, wants: Callable[[ObjectRef], bool], snapshot: Callable[[], list[ObjectView]]) -> Subscription:
        """Nothing is told while the snapshot is read, so that its numbers are below those of all deltas; what was stored before and is
        told afterwards comes twice rather than never."""
        subscription = Subscription(self, wants)
        with self._lock:
            events = [self._event(WatchType.OBJECT, object=view) for view in snapshot() if wants(view.ref)]
            subscription.prime([*events, self._event(WatchType.SYNCED)])
            self._readers.add(subscription)
        return subscription

    def count_readers(self) -> int:
        """How many there are."""
        with self._lock:
            return len(self._readers)

    def drop(self, subscription: Subscription) -> None:
        """Forget a reader."""
        with self._lock:
            self._readers.discard(subscription)

    def object_changed(self, read: Callable[[], ObjectView | None]) -> None:
        """An object was stored or its status changed. It is read here, in the order of the numbers: what a caller had read before another
        one wrote would be told last, and stay."""
        with self._lock:
            view = read()
            if view is not None:
                self._offer(WatchType.OBJECT, view.ref, object=view)

    def object_deleted(self, view: ObjectView, read: Callable[[], ObjectView | None]) -> None:
        """An object is gone, unless somebody has declared it anew meanwhile: then it has changed."""
        with self._lock:
            again = read()
            if again is not None:
                self._offer(WatchType.OBJECT, again.ref, object=again)
            else:
                self._offer(WatchType.DELETED, view.ref, object=view)

    def operation_changed(self, operation: Operation) -> None:
        """An operation went on."""
        self._publish(WatchType.OPERATION, operation.ref, operation=operation)

    def event_seen(self, event: Event) -> None:
        """Something worth telling happened."""
        self._publish(WatchType.EVENT, event.ref, event=event)

    def _event(self, kind: WatchType, **content: object) -> WatchEvent:
        empty = WatchEvent(type=kind, boot_id=self.boot_id, sequence=next(self._sequence))
        return dataclasses.replace(empty, **content)  # type: ignore[arg-type]

    def _publish(self, kind: WatchType, ref: ObjectRef, **content: object) -> None:
        with self._lock:  # numbering and queueing are one, else a reader could see numbers out of order
            self._offer(kind, ref, **content)

    def _offer(self, kind: WatchType, ref: ObjectRef, **content: object) -> None:
        event = self._event(kind, **content)
        for reader in self._readers:
            reader.offer(event, ref)
