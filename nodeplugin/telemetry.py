"""What the parts of the node tell about their own work: durations and how they ended. They know nothing of metrics."""

from __future__ import annotations

import enum
from typing import Protocol


class Work(enum.Enum):
    """What took its time. The subject of each, in this order: a kind, a kind, a step's name, what a call waits for
    (`nodeplugin.hypervisor.calls.LaneKind`), an RPC's name."""

    CONVERGENCE = "convergence"
    """From the Apply that asked for it to Ready at that generation."""
    VISIT = "visit"
    """One look at an object, with the steps that it needed."""
    STEP = "step"
    LIBVIRT_CALL = "libvirt-call"
    """From asking to the answer or the deadline, waiting for its turn included."""
    RPC = "rpc"


class Telemetry(Protocol):
    """Where it goes. Called from any thread, often: must be quick, and raise nothing."""

    def ended(self, work: Work, subject: str, outcome: str, elapsed_s: float) -> None:
        """Something ended. `outcome` is `ok` or the name of an error class of `xvirt.model.errors`."""


class Silent:
    """Tells nobody."""

    def ended(self, work: Work, subject: str, outcome: str, elapsed_s: float) -> None:
        """Nothing."""


SILENT = Silent()
OK = "ok"
