"""The node's clocks, handed in so that tests can hold them. Durations use the monotonic one: a jump of the wall clock moves nothing."""

from __future__ import annotations

import datetime
import time
from typing import Protocol


class Clock(Protocol):
    """Elapsed seconds, and a time stamp for people."""

    def monotonic_s(self) -> float:
        """Seconds since some moment; never goes back."""

    def timestamp(self) -> str:
        """Wall clock, RFC 3339 in UTC with seconds."""


class SystemClock:
    """The machine's clocks."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def timestamp(self) -> str:
        return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
