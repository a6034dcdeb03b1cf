"""Exit codes: one table, documented in docs/cli.md. 130 is Ctrl-C, 141 a reader that went away, as in every shell."""

from __future__ import annotations

from xvirt.model import errors
from xvirt.model.errors import XvirtError

OK = 0
GENERAL = 1
"""Also: `diff` found differences. No failure of `diff` ends with it."""
USAGE = 2
BUG = 9
OUTPUT = 10
"""What was to be printed could not be written."""
INTERRUPTED = 130
PIPE_CLOSED = 141

CODES: dict[type[XvirtError], int] = {
    errors.XvirtError: BUG,
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
    errors.InternalError: BUG,
}


def exit_code(error: XvirtError) -> int:
    """The code that a command which failed so ends with."""
    return CODES.get(type(error), BUG)
