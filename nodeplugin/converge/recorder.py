"""Writes what happened: status only on change, events counted, operations as they go on; and tells watchers."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

from nodeplugin.clock import Clock
from nodeplugin.converge.hub import Hub
from nodeplugin.plan.outcome import Kept, kept_message
from nodeplugin.records import StoredObject
from nodeplugin.store import Store
from xvirt.model.codec import decode, encode
from xvirt.model.errors import RetryLater, XvirtError
from xvirt.model.exchange import Event, EventType, Operation, OperationState
from xvirt.model.kinds import BY_NAME

logger = logging.getLogger(__name__)


class Recorder:
    """The one place where workers write status, events and operations."""

    def __init__(self, store: Store, hub: Hub, clock: Clock) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock

    def now(self) -> str:
        """Time stamp of this moment."""
        return self._clock.timestamp()

    def old_status(self, stored: StoredObject) -> Any:
        """The status that is stored, typed; the kind's empty one where there is none."""
        cls = BY_NAME[stored.kind].status
        return decode(cls, stored.status) if stored.status else cls()

    def write_status(self, stored: StoredObject, status: Any) -> bool:
        """Store a status where it differs, and tell watchers. Returns whether it did."""
        document = encode(status)
        if document == stored.status:
            return False
        self._store.set_status(stored.uid, document)
        self._hub.object_changed(lambda: self._store.view(stored.uid))
        return True

    def tell(self, stored: StoredObject, kind: EventType, reason: str, message: str) -> None:
        """Store an event and tell watchers. Where the store has no room for it, only watchers and the log."""
        event = Event(ref=stored.ref, type=kind, reason=reason, message=message, last_seen=self.now())
        logger.log(
            logging.INFO if kind is EventType.NORMAL else logging.WARNING, "%s: %s: %s", stored.key, reason, message
        )
        try:
            event = self._store.add_event(event)
        except RetryLater as error:  # what it tells of has happened all the same
            logger.warning("%s: the event %s was not stored: %s", stored.key, reason, error.message)
            event = dataclasses.replace(event, first_seen=event.last_seen)
        self._hub.event_seen(event)

    def tell_kept(self, stored: StoredObject, kept: Sequence[Kept]) -> None:
        """Tell of volumes that outlive their object, of all at once: events of one object are few."""
        if kept:
            self.tell(stored, EventType.NORMAL, "VolumeRetained", kept_message(kept))

    def fail(self, stored: StoredObject, error: XvirtError) -> None:
        """Tell of an error."""
        self.tell(stored, EventType.WARNING, error.reason, error.message)

    def finish(self, operation: Operation, error: XvirtError | None = None) -> None:
        """End an operation."""
        done = dataclasses.replace(
            operation,
            state=OperationState.SUCCEEDED if error is None else OperationState.FAILED,
            finished=self.now(),
            progress_percent=100 if error is None else operation.progress_percent,
            message="" if error is None else error.message,
            reason="" if error is None else error.reason,
            libvirt_code=(error.libvirt_code or 0) if error is not None else 0,
        )
        self._store.put_operation(done)
        self._hub.operation_changed(done)

    def progress(self, operation: Operation, percent: int) -> None:
        """An operation goes on; told to watchers, stored with its end."""
        if percent != operation.progress_percent or operation.state is not OperationState.RUNNING:
            going = dataclasses.replace(operation, state=OperationState.RUNNING, progress_percent=percent)
            self._hub.operation_changed(going)
