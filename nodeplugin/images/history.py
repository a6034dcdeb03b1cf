"""How transfers ended, and when another try makes sense."""

from __future__ import annotations

import dataclasses
import time

from nodeplugin.images.files import check_space
from nodeplugin.images.limits import ImageLimits
from nodeplugin.images.port import TransferFacts
from xvirt.model.errors import RetryLater


@dataclasses.dataclass
class _Past:
    facts: TransferFacts | None = None
    retry_at_s: float = 0.0
    refusals: int = 0
    needed_bytes: int = 0


class History:
    """By uid. Not thread-safe: guarded by the lock of who holds it."""

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits
        self._past: dict[str, _Past] = {}

    def facts(self, uid: str) -> TransferFacts | None:
        """The end that was not told yet, or stands."""
        past = self._past.get(uid)
        return past.facts if past is not None else None

    def note(self, uid: str, facts: TransferFacts, allocated_bytes: int = 0) -> None:
        """A transfer ended; its files took so much space."""
        past = self._past.setdefault(uid, _Past())
        past.facts = facts
        past.needed_bytes = allocated_bytes + self._limits.chunk_bytes if allocated_bytes else 0
        if facts.error is None or isinstance(facts.error, RetryLater):
            past.refusals = 0
            return
        pause_s = min(self._limits.refused_retry_max_s, self._limits.refused_retry_s * 2.0 ** min(past.refusals, 30))
        past.retry_at_s = time.monotonic() + pause_s
        past.refusals += 1

    def check(self, uid: str, path: str) -> None:
        """Before another try. Raises what the last one failed with: once, where repeating helps; else until its time has come. Raises
        Exhausted while the disk has not even the space that the last try took."""
        past = self._past.get(uid)
        if past is None:
            return
        error = past.facts.error if past.facts is not None else None
        if error is not None and isinstance(error, RetryLater):
            past.facts = None
            raise error
        if error is not None and time.monotonic() < past.retry_at_s:
            raise error
        if past.needed_bytes:
            check_space(path, past.needed_bytes, self._limits)

    def clear(self, uid: str) -> None:
        """A new try begins; how often it was refused is remembered."""
        past = self._past.get(uid)
        if past is not None:
            past.facts = None

    def forget(self, uid: str) -> None:
        """The image is gone, or its content another one."""
        self._past.pop(uid, None)
