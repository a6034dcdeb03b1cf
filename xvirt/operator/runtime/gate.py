"""One gate for all calls to one API server: whoever was told to come back later holds everybody back."""

from __future__ import annotations

import asyncio
import random

from xvirt.operator.runtime.clock import Clock
from xvirt.operator.runtime.errors import RetryLater, TooManyRequests

HOLD_MAX_S = 60.0
"""Longer holds are cut: the next refusal closes the gate again."""
SPREAD = 0.25
"""Those who waited leave within this part of the wait, not all at once."""


class Gate:
    """Open until an answer with Retry-After closes it for that long."""

    def __init__(self, clock: Clock, chance: random.Random | None = None) -> None:
        self._clock = clock
        self._chance = chance or random.Random()
        self._opens_at_s = 0.0

    def closed_for_s(self) -> float:
        """Seconds until it opens; 0 where it is open."""
        return max(0.0, self._opens_at_s - self._clock.monotonic_s())

    def close(self, error: RetryLater) -> None:
        """Hold everybody back for what the answer said; nothing where it said nothing."""
        if error.retry_after_s > 0:
            until_s = self._clock.monotonic_s() + min(error.retry_after_s, HOLD_MAX_S)
            self._opens_at_s = max(self._opens_at_s, until_s)

    async def enter(self, patience_s: float) -> None:
        """Wait until it is open. Raises TooManyRequests at once where that would take longer than `patience_s`."""
        while (wait_s := self.closed_for_s()) > 0:
            if wait_s > patience_s:
                message = f"the API server asked for {wait_s:.1f} s of quiet, the call has {patience_s:.1f} s"
                raise TooManyRequests(message, retry_after_s=wait_s)
            spread_s = wait_s * self._chance.uniform(0, SPREAD)
            await asyncio.sleep(wait_s + spread_s)
            patience_s -= wait_s + spread_s
