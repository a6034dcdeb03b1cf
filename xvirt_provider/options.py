"""What a program says of a resource beside its spec: how long to wait for what."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

Target = Literal["node", "cluster"]
"""Who makes an object so: the node itself, by xVirt's own RPC, or a cluster's operator, by a custom resource."""
WaitFor = Literal["accepted", "defined", "running", "address", "agent", "cloud-init", "ready"]
"""How far a resource must be before its step of `pulumi up` ends: stored by the node, known to libvirt, running, with an address, with
its guest agent answering, with cloud-init ended without an error, or Ready."""
WAITS: tuple[str, ...] = ("accepted", "defined", "running", "address", "agent", "cloud-init", "ready")
GUEST_WAITS = ("running", "address", "agent", "cloud-init")
"""Those that only a machine that runs can reach."""
OnTimeout = Literal["warn", "fail"]
TIMEOUT_S = {"create": 600.0, "update": 600.0, "delete": 600.0}
"""Seconds; an image of some GiB is downloaded in them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds for what a step waits for; 600 each where absent. They are kept by xVirt: Pulumi's own `custom_timeouts` do not reach it."""

    create: float | None = None
    update: float | None = None
    delete: float | None = None

    def over(self, default: Timeouts) -> Timeouts:
        """These, and the other's where these say nothing."""
        names = (item.name for item in dataclasses.fields(self))
        return Timeouts(**{name: getattr(self, name) or getattr(default, name) for name in names})

    def to_input(self) -> dict[str, float]:
        """As it stands among a resource's inputs."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How a step goes on; what is absent is the stack's configuration (`xvirt:waitFor`, `xvirt:onTimeout`, `xvirt:timeouts`).

    `wait_for` absent there, too: `running` for a machine that is to run, else `ready`. `on_timeout`: `"warn"`, the default, reports a
    guest that is late in the output `warning`; `"fail"` fails the step; in both cases the machine stays and the next `up` finds it.
    """

    wait_for: WaitFor | None = None
    on_timeout: OnTimeout | None = None
    timeouts: Timeouts = Timeouts()

    def to_input(self) -> dict[str, Any]:
        """As it stands among a resource's inputs; what is as by default is left out."""
        found: dict[str, Any] = {}
        if self.wait_for is not None:
            found["waitFor"] = self.wait_for
        if self.on_timeout not in (None, "warn"):
            found["onTimeout"] = self.on_timeout
        if self.timeouts != Timeouts():
            found["timeouts"] = self.timeouts.to_input()
        return found
