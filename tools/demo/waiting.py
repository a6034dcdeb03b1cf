"""How demos wait."""

from __future__ import annotations

import time
from collections.abc import Callable

DEADLINE_S = 90.0


def until(wanted: Callable[[], bool], what: str) -> None:
    """Wait for a condition; ends the demo where it does not come."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if wanted():
            return
        time.sleep(0.2)
    raise SystemExit(f"demo: {what} was not seen within {DEADLINE_S:g} s")
