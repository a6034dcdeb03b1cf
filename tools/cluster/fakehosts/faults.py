"""What is to go wrong with a fake host, and what was asked of it."""

from __future__ import annotations

import collections
import dataclasses
import enum

from xvirt.model.errors import XvirtError
from xvirt.model.exchange import Token

MUTATING = ("Apply", "Delete", "Operate", "Adopt")


class Loss(enum.Enum):
    """What becomes of a call whose answer is lost."""

    BEFORE = "before"
    """It never arrived."""
    AFTER = "after"
    """It took effect."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """One mutating call that arrived: its RPC, the object (uid or name), its token, and the error class it ended with; "" for none."""

    method: str
    subject: str
    token: Token
    outcome: str = ""


class HostFaults:
    """Knobs of one host. A test turns them from its own thread; each is one assignment or one append."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        """Before every call is looked at."""
        self.is_frozen = False
        """It takes connections and answers nothing, as a process that got SIGSTOP."""
        self.start_delay_s = 0.0
        """From Apply to a machine's running."""
        self.does_hold_deletions = False
        """Machines that are deleted stay, as with a guest that does not shut down; `FakeNode.release` lets them go."""
        self.refusals: dict[str, collections.deque[XvirtError]] = collections.defaultdict(collections.deque)
        """RPC -> errors of its next calls, which have no effect."""
        self.losses: dict[str, collections.deque[Loss]] = collections.defaultdict(collections.deque)
        """RPC -> how its next calls end with a broken connection."""
        self.asked: list[Asked] = []
        """Every mutating call, in order."""

    def refuse(self, method: str, error: XvirtError, times: int = 1) -> None:
        """The next calls of an RPC raise `error`."""
        self.refusals[method].extend([error] * times)

    def lose(self, method: str, loss: Loss, times: int = 1) -> None:
        """The next calls of an RPC end without an answer."""
        self.losses[method].extend([loss] * times)

    def asked_of(self, subject: str) -> list[Asked]:
        """Mutating calls about one object."""
        return [call for call in self.asked if call.subject == subject]
