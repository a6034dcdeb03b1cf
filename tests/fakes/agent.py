"""A guest's agent, as a test wants it to be."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from nodeplugin.hypervisor.port import InterfaceAddress
from xvirt.model.errors import Refused


@dataclasses.dataclass
class FakeAgent:
    """What it says, and how commands end: `run` gives an exit code, or None for one that does not end."""

    facts: dict[str, object] = dataclasses.field(default_factory=dict)
    addresses: list[InterfaceAddress] = dataclasses.field(default_factory=list)
    version: str = "7.2.0"
    is_frozen: bool = False
    run: Callable[[Sequence[str]], int | None] = lambda argv: 0
    started: list[tuple[str, ...]] = dataclasses.field(default_factory=list)

    def start(self, argv: Sequence[str]) -> int:
        """Start a process; its number."""
        self.started.append(tuple(argv))
        return len(self.started)

    def exit_code(self, process: int) -> int | None:
        """How a process ended."""
        if not 1 <= process <= len(self.started):
            raise Refused(f"Invalid parameter 'pid': {process}", reason="LibvirtRefused")
        return self.run(self.started[process - 1])
