"""What has failed and when it is tried again; and how long words wait that nobody waits for. Pure.

What was tried is a *subject*: a digest of what was sent, a deletion. Another subject is tried at once; the same one again after 1 s,
doubled to 5 min, until something has come through.
"""

from __future__ import annotations

import dataclasses

from xvirt.model.errors import RetryLater, XvirtError

RETRY_FIRST_S = 1.0
RETRY_MAX_S = 300.0
_DOUBLINGS_MAX = 20
_PASSING = frozenset(("Deleting",))
"""Reasons of refusals that end by themselves."""


@dataclasses.dataclass(frozen=True, slots=True)
class Trouble:
    """The last try of something failed. `is_passing`: it may come through as it is. `until_s`: when it is tried again (monotonic)."""

    subject: str
    reason: str
    message: str
    is_passing: bool
    until_s: float


def current_trouble(trouble: Trouble | None, subject: str, now_s: float) -> Trouble | None:
    """The trouble with a subject, as long as its time has not come."""
    return trouble if trouble is not None and trouble.subject == subject and now_s < trouble.until_s else None


@dataclasses.dataclass(slots=True)
class Tries:
    """Of one thing, in this life of the process."""

    trouble: Trouble | None = None
    failures: int = 0

    def refuse(self, subject: str, error: XvirtError, now_s: float) -> None:
        """A node has answered with an error."""
        is_passing = isinstance(error, RetryLater) or error.reason in _PASSING
        self.fail(subject, error.reason, error.message, now_s, is_passing=is_passing)

    def fail(self, subject: str, reason: str, message: str, now_s: float, *, is_passing: bool = True) -> None:
        """It did not come through. Another subject is another matter: it begins with the first pause."""
        if self.trouble is not None and self.trouble.subject != subject:
            self.failures = 0
        pause_s = min(RETRY_FIRST_S * 2.0 ** min(self.failures, _DOUBLINGS_MAX), RETRY_MAX_S)
        self.failures += 1
        self.trouble = Trouble(subject, reason, message, is_passing, now_s + pause_s)

    def succeed(self) -> None:
        """It came through."""
        self.trouble, self.failures = None, 0


@dataclasses.dataclass(slots=True)
class Patience:
    """What nobody waits for is told together, some time after the first of it."""

    since_s: float | None = None

    def hold(self, now_s: float, hold_s: float, *, is_urgent: bool) -> float | None:
        """Seconds to wait with what there is to tell; None where it is to be told now."""
        if self.since_s is None:
            self.since_s = now_s
        left_s = self.since_s + hold_s - now_s
        if left_s > 0 and not is_urgent:
            return left_s
        self.since_s = None
        return None

    def end(self) -> None:
        """There is nothing to tell."""
        self.since_s = None
