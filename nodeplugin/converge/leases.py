"""Who reads a volume right now to make another one of it: such a volume is not removed, and one that goes is not begun with.

What is observed before a step may be old when the step runs: a disk's maker and an image's remover are two workers.
"""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

from xvirt.model.errors import Busy


class Leases:
    """Uses and removals by path. Neither waits: who comes second is refused and tries again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: Counter[str] = Counter()
        self._removed: set[str] = set()

    @contextlib.contextmanager
    def use(self, path: str) -> Iterator[None]:
        """Hold a volume. Raises Busy while it is being removed."""
        with self._lock:
            if path in self._removed:
                raise Busy(f"volume {path} is being deleted", reason="BeingDeleted")
            self._used[path] += 1
        try:
            yield
        finally:
            with self._lock:
                self._used[path] -= 1
                if not self._used[path]:
                    del self._used[path]

    @contextlib.contextmanager
    def removal(self, path: str) -> Iterator[None]:
        """Hold a volume alone. Raises Busy while something is made of it."""
        with self._lock:
            if self._used[path] or path in self._removed:
                raise Busy(f"volume {path} is being copied; it is deleted afterwards", reason="InUse")
            self._removed.add(path)
        try:
            yield
        finally:
            with self._lock:
                self._removed.discard(path)
