"""Exit codes: one table, documented in docs/cli.md. 130 is Ctrl-C, as in every shell."""

from __future__ import annotations

from xvirt.model import errors
from xvirt.model.errors import XvirtError

OK = 0
GENERAL = 1
"""Also: `diff` found differences, `wait` ran out of time."""
USAGE = 2
INTERRUPTED = 130

CODES: dict[type[XvirtError], int] = {
    errors.XvirtError: GENERAL,
    errors.InvalidSpec: 3,
    errors.NotFound: 4,
    errors.Conflict: 5,
    errors.Forbidden: 6,
    errors.PolicyRefused: 6,
    errors.Refused: 7,
    errors.Unsupported: 7,
    errors.RetryLater: 8,
    errors.Unavailable: 8,
    errors.DeadlineExceeded: 8,
    errors.Busy: 8,
    errors.Exhausted: 8,
    errors.InternalError: 9,
}


def exit_code(error: XvirtError) -> int:
    """The code that a command which failed so ends with."""
    return CODES.get(type(error), GENERAL)
