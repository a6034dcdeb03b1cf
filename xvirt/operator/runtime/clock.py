"""Time: monotonic for every decision, wall time only for what people read."""

from __future__ import annotations

import datetime
import time
from typing import Protocol


class Clock(Protocol):
    """What the runtime asks of time. Waiting is asyncio's: tests turn both by one event loop with virtual time."""

    def monotonic_s(self) -> float:
        """Seconds that never go back and go on while the process is stopped or the machine sleeps."""

    def wall(self) -> datetime.datetime:
        """Now, in UTC. May jump: never compare two of them to decide."""


class SystemClock:
    """The machine's clocks. CLOCK_BOOTTIME, unlike CLOCK_MONOTONIC, counts the time that a machine was suspended."""

    def monotonic_s(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)


def format_time(moment: datetime.datetime) -> str:
    """As `metav1.Time`: whole seconds, `2026-01-31T12:00:00Z`."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(moment: datetime.datetime) -> str:
    """As `metav1.MicroTime`: microseconds, `2026-01-31T12:00:00.000000Z`."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
