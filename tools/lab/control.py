"""Orders to a node's PID 1 (the other end is `init.py`)."""

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.lab.errors import LabError

_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class ServiceState:
    """A service that was started at least once: its pid inside the node, and its exit code (-N: signal N) if it ended."""

    pid: int
    exit: int | None


@dataclass(frozen=True)
class Control:
    """The control socket of the node `name`."""

    name: str
    path: Path

    def is_ready(self) -> bool:
        """True when PID 1 answers."""
        try:
            self.states()
        except LabError:
            return False
        return True

    def start(self, service: str, argv: Sequence[str], env: Mapping[str, str]) -> int:
        """Start a service; its pid inside the node."""
        return int(self._ask({"act": "start", "service": service, "argv": list(argv), "env": dict(env)})["pid"])

    def send(self, service: str, number: int) -> None:
        """Signal a running service."""
        self._ask({"act": "signal", "service": service, "signal": number})

    def states(self) -> dict[str, ServiceState]:
        """Every service that was started."""
        answer = self._ask({"act": "status"})["services"]
        return {name: ServiceState(state["pid"], state["exit"]) for name, state in answer.items()}

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_TIMEOUT_S)
                connection.connect(str(self.path))
                connection.sendall(json.dumps(order).encode() + b"\n")
                answer: dict[str, Any] = json.loads(connection.makefile("rb").readline())
        except (OSError, ValueError) as error:
            raise LabError(f"{self.name} does not answer at {self.path}: {error}") from error
        if "error" in answer:
            raise LabError(f"{self.name} refused to {order['act']} {order.get('service', '')}: {answer['error']}")
        return answer
