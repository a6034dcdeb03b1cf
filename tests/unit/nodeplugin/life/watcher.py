"""A reader that watches for ever: what it knows at the end of a day must be what the node would list."""

from __future__ import annotations

import threading
import time
from typing import Any

from xvirt.client.blocking import NodeClient
from xvirt.model.errors import XvirtError
from xvirt.model.exchange import ObjectView, WatchEvent, WatchType

PATIENCE_S = 60.0


class Watcher:
    """Keeps a picture of all objects from a watch alone; a broken stream starts over with a snapshot."""

    def __init__(self, client: NodeClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._known: dict[str, Any] = {}
        self._is_closed = False
        self.disorder: list[str] = []
        """Numbers that did not rise."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def knows(self, views: list[ObjectView]) -> bool:
        """Whether the picture becomes this one, in good time."""
        wanted = {view.ref.uid: view.document for view in views}
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            with self._lock:
                if self._known == wanted:
                    return True
            threading.Event().wait(0.002)
        return False

    def close(self) -> None:
        self._is_closed = True
        self._client.close()
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        while not self._is_closed:
            try:
                self._follow()
            except XvirtError:
                threading.Event().wait(0.005)

    def _follow(self) -> None:
        fresh: dict[str, Any] = {}
        is_synced, last = False, 0
        with self._client.watch() as events:
            for event in events:
                if is_synced:
                    self._check(event, last)
                    last = max(last, event.sequence)
                if event.type is WatchType.SYNCED:
                    is_synced = True
                with self._lock:
                    _take_in(fresh, event)
                    if is_synced:
                        self._known = fresh

    def _check(self, event: WatchEvent, last: int) -> None:
        if event.sequence <= last and event.type is not WatchType.HEARTBEAT:
            self.disorder.append(f"{event.sequence} after {last}")


def _take_in(known: dict[str, Any], event: WatchEvent) -> None:
    if event.object is None:
        return
    if event.type is WatchType.DELETED:
        known.pop(event.object.ref.uid, None)
    else:
        known[event.object.ref.uid] = event.object.document
