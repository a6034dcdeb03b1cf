"""How long a client waits, and what it asks again: one table for both clients, and the attempts of one call. Pure: times are given.

          +---------------- pause, twice as long each time --------------------------------+
          v                                                                                |
attempt (what is left of the deadline) --NodeUnreachable or TooManyCalls, SAFE, time left--+
          |
          +-- answer, another error, NEVER, or no time left --> the caller
"""

from __future__ import annotations

import dataclasses
import enum

from xvirt.model.errors import Exhausted, Unavailable, XvirtError
from xvirt.wire.limits import HEARTBEAT_INTERVAL_S, UNARY_TIMEOUT_S
from xvirt.wire.status import TOO_MANY_CALLS, UNREACHABLE

PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 1.0


class Method(enum.Enum):
    """The RPCs, as node.proto names them."""

    APPLY = "Apply"
    DELETE = "Delete"
    GET = "Get"
    LIST = "List"
    OPERATE = "Operate"
    DESCRIBE = "Describe"
    NODE_INFO = "NodeInfo"
    LIST_EVENTS = "ListEvents"
    LIST_ORPHANS = "ListOrphans"
    ADOPT = "Adopt"
    LIST_FOREIGN = "ListForeign"
    ACCEPT_EPOCH = "AcceptEpoch"
    WATCH = "Watch"
    CONSOLE = "Console"
    CONSOLE_LOG = "ConsoleLog"
    UPLOAD = "Upload"


class Repeat(enum.Enum):
    """Whether the client itself may ask again after a call that may or may not have arrived."""

    SAFE = "safe"
    NEVER = "never"


REPEATS: dict[Method, Repeat] = {
    Method.APPLY: Repeat.SAFE,  # the same document under the same token changes nothing the second time
    Method.DELETE: Repeat.SAFE,  # marks what is marked; NotFound where it is gone meanwhile
    Method.GET: Repeat.SAFE,
    Method.LIST: Repeat.SAFE,
    Method.OPERATE: Repeat.SAFE,  # the same operation id answers the same operation
    Method.DESCRIBE: Repeat.SAFE,
    Method.NODE_INFO: Repeat.SAFE,
    Method.LIST_EVENTS: Repeat.SAFE,
    Method.LIST_ORPHANS: Repeat.SAFE,
    Method.ADOPT: Repeat.SAFE,  # whoever has adopted it finds it adopted
    Method.LIST_FOREIGN: Repeat.SAFE,
    Method.ACCEPT_EPOCH: Repeat.SAFE,  # what was applied in between is applied once more
    Method.WATCH: Repeat.NEVER,  # the reader must know: what follows is a new snapshot
    Method.CONSOLE: Repeat.NEVER,  # keys would be typed twice
    Method.CONSOLE_LOG: Repeat.NEVER,  # lines would come twice
    Method.UPLOAD: Repeat.NEVER,  # it goes on where it was, which the sender must ask first
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Patience:
    """A client's deadlines, in seconds.

    `call_s`: one call with all its attempts. `repeat_within_s`: a node that is restarted is back by then; longer waits are the
    caller's business. `silence_s`: a watch that brings no message, not even a heartbeat, is broken; so is a log that is not followed.
    """

    call_s: float = UNARY_TIMEOUT_S
    repeat_within_s: float = 3.0
    silence_s: float = 3 * HEARTBEAT_INTERVAL_S + 5.0


PATIENCE = Patience()


class Attempts:
    """The attempts of one call. Times are readings of one monotonic clock, in seconds."""

    def __init__(self, method: Method, patience: Patience, began_s: float, timeout_s: float | None = None) -> None:
        self._is_repeatable = REPEATS[method] is Repeat.SAFE
        total_s = patience.call_s if timeout_s is None else timeout_s
        self._deadline_s = began_s + total_s
        self._last_begin_s = began_s + min(total_s, patience.repeat_within_s)
        self._pause_s = PAUSE_FIRST_S

    def left_s(self, now_s: float) -> float:
        """What an attempt that begins now may take; above zero."""
        return max(self._deadline_s - now_s, 0.001)

    def pause_s(self, failure: XvirtError, now_s: float) -> float | None:
        """How long to wait before the next attempt; None where the failure is the caller's."""
        is_lost = isinstance(failure, Unavailable) and failure.reason == UNREACHABLE
        is_crowded = isinstance(failure, Exhausted) and failure.reason == TOO_MANY_CALLS
        last_begin_s = self._deadline_s if is_crowded else self._last_begin_s
        if not ((is_lost or is_crowded) and self._is_repeatable) or now_s + self._pause_s > last_begin_s:
            return None
        pause_s, self._pause_s = self._pause_s, min(self._pause_s * 2, PAUSE_MAX_S)
        return pause_s
