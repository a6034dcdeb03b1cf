"""What a node's PID 1 is told, as a file: the agreement between the lab outside and `init.py` inside."""

import json
from dataclasses import dataclass
from pathlib import Path

# Where a service finds the listening socket that the node was given.
LISTENER_FD = 3
FORWARDER = "forwarder"


@dataclass(frozen=True)
class Boot:
    """What the node is; written by the lab as JSON (`to_json`)."""

    hostname: str
    directory: Path
    binds: dict[str, Path]
    control: Path
    log: Path
    listener_fd: int
    owner_fd: int | None = None
    has_kvm: bool = True

    def to_json(self) -> str:
        """The boot file's content."""
        binds = {target: str(source) for target, source in self.binds.items()}
        places = {"directory": str(self.directory), "control": str(self.control), "log": str(self.log), "binds": binds}
        handles = {"listener_fd": self.listener_fd, "owner_fd": self.owner_fd}
        return json.dumps({"hostname": self.hostname, "has_kvm": self.has_kvm, **places, **handles})


def read_boot(text: str) -> Boot:
    """The inverse of `Boot.to_json`."""
    raw = json.loads(text)
    return Boot(
        hostname=raw["hostname"],
        has_kvm=raw["has_kvm"],
        directory=Path(raw["directory"]),
        binds={target: Path(source) for target, source in raw["binds"].items()},
        control=Path(raw["control"]),
        log=Path(raw["log"]),
        listener_fd=raw["listener_fd"],
        owner_fd=raw["owner_fd"],
    )
