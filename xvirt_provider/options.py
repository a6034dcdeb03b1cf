"""What a program says of a resource beside its spec: how long to wait for what."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

WaitFor = Literal["accepted", "defined", "running", "address", "agent", "ready"]
"""How far a resource must be before its step of `pulumi up` ends: stored by the node, known to libvirt, running, with an address, with
its guest agent answering, or Ready."""
WAITS: tuple[str, ...] = ("accepted", "defined", "running", "address", "agent", "ready")
OnTimeout = Literal["warn", "fail"]
TIMEOUT_S = {"create": 600.0, "update": 600.0, "delete": 600.0}
"""Seconds; an image of some GiB is downloaded in them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds for what a step waits for; 600 each where absent. They are kept by xVirt: Pulumi's own `custom_timeouts` do not reach it."""

    create: float | None = None
    update: float | None = None
    delete: float | None = None

    def to_input(self) -> dict[str, float]:
        """As it stands among a resource's inputs."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How a step goes on. `wait_for` absent: `running` for a machine that is to run, else `ready`. `on_timeout="warn"` reports a guest
    that is late in the output `warning`; `"fail"` fails the step; in both cases the machine stays and the next `up` finds it."""

    wait_for: WaitFor | None = None
    on_timeout: OnTimeout = "warn"
    timeouts: Timeouts = Timeouts()

    def to_input(self) -> dict[str, Any]:
        """As it stands among a resource's inputs; what is as by default is left out."""
        found: dict[str, Any] = {}
        if self.wait_for is not None:
            found["waitFor"] = self.wait_for
        if self.on_timeout != "warn":
            found["onTimeout"] = self.on_timeout
        if self.timeouts != Timeouts():
            found["timeouts"] = self.timeouts.to_input()
        return found
