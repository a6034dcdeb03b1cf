"""How answers to a probe become a verdict: so many in a row, as in Kubernetes.

            successThreshold good answers in a row
  UNKNOWN  ---------------------------------------->  PASSING
     |                                                 |  ^
     |   failureThreshold bad answers in a row         v  |
     +---------------------------------------------> FAILING

A liveness probe counts no failure before the guest was once there to be asked (an address, an agent): a machine that takes long to boot
is not dead.
"""

from __future__ import annotations

import dataclasses
import enum

from xvirt.model.machine.probe import Probe


class Health(enum.Enum):
    """What a probe's answers say so far."""

    UNKNOWN = "unknown"
    PASSING = "passing"
    FAILING = "failing"


class ProbeKind(enum.Enum):
    """Which of a machine's probes."""

    READINESS = "readiness"
    LIVENESS = "liveness"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer. `was_there`: there was somebody to ask, whatever came of it."""

    is_good: bool
    message: str = ""
    was_there: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tally:
    """Answers in a row, and the verdict that they make."""

    good: int = 0
    bad: int = 0
    health: Health = Health.UNKNOWN
    message: str = ""
    was_ever_there: bool = False


@dataclasses.dataclass(frozen=True)
class Readiness:
    """What a readiness probe says of a running machine, for its status."""

    health: Health
    message: str = ""


def count(tally: Tally, answer: Answer, probe: Probe, kind: ProbeKind) -> Tally:
    """The tally with one more answer."""
    was_ever_there = tally.was_ever_there or answer.was_there
    if answer.is_good:
        good = tally.good + 1
        health = Health.PASSING if good >= probe.success_threshold else tally.health
        message = "" if health is Health.PASSING else tally.message
        return Tally(good=good, health=health, message=message, was_ever_there=True)
    if kind is ProbeKind.LIVENESS and not was_ever_there:
        return dataclasses.replace(tally, message=answer.message)
    bad = tally.bad + 1
    health = Health.FAILING if bad >= probe.failure_threshold else tally.health
    return Tally(bad=bad, health=health, message=answer.message, was_ever_there=was_ever_there)
