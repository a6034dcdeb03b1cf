"""Watches of a fake node, on one thread."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterable
from typing import Any

from xvirt.model.exchange import ObjectRef, ObjectView, WatchEvent, WatchType


class Reader:
    """One watch. `wake` is called when there is something to read."""

    def __init__(self, readers: Readers, wants: Callable[[ObjectRef], bool]) -> None:
        self._readers = readers
        self._wants = wants
        self._queue: collections.deque[WatchEvent] = collections.deque()
        self.wake: Callable[[], None] = lambda: None

    def offer(self, event: WatchEvent, ref: ObjectRef | None) -> None:
        """Queue what the reader wants."""
        if ref is None or self._wants(ref):
            self._queue.append(event)
            self.wake()

    def next_event(self, timeout_s: float = 0.0) -> WatchEvent | None:
        """The next message; None where there is none now, for everything that happens is told before its call returns."""
        return self._queue.popleft() if self._queue else None

    def close(self) -> None:
        """End it."""
        self._readers.drop(self)


class Readers:
    """All watches, and the numbers of their messages."""

    def __init__(self, boot_id: str) -> None:
        self.boot_id = boot_id
        self._sequence = itertools.count(1)
        self._open: list[Reader] = []

    def subscribe(self, wants: Callable[[ObjectRef], bool], views: Iterable[ObjectView]) -> Reader:
        """A new watch, which begins with a snapshot."""
        reader = Reader(self, wants)
        for view in views:
            reader.offer(self._event(WatchType.OBJECT, object=view), view.ref)
        reader.offer(self._event(WatchType.SYNCED), None)
        self._open.append(reader)
        return reader

    def tell(self, kind: WatchType, ref: ObjectRef, **content: Any) -> None:
        """A delta for all."""
        event = self._event(kind, **content)
        for reader in self._open:
            reader.offer(event, ref)

    def drop(self, reader: Reader) -> None:
        """Forget one."""
        if reader in self._open:
            self._open.remove(reader)

    def _event(self, kind: WatchType, **content: Any) -> WatchEvent:
        return WatchEvent(type=kind, boot_id=self.boot_id, sequence=next(self._sequence), **content)
