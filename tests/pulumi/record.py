"""`python -m tests.pulumi.record RELEASE`: keep the state that this release writes, for later ones to be tested with. As root."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from tools.lab import Lab, LabSpec
from tools.pulumi import engine_directory
from tools.pulumi.stack import Stack

STATES = Path(__file__).parent / "states"
NAME = "recorded"
"""Of the stack: it stands in each URN of a state."""
_PLACES = ("sourcePosition", "stackTrace")
"""Paths of the machine that it is recorded on; nothing depends on them."""


def main() -> int:
    """Runs `program.py` of the release's directory, and writes `state.json` beside it."""
    directory = STATES / sys.argv[1]
    engine = engine_directory()
    with tempfile.TemporaryDirectory() as place, Lab.up(LabSpec(f"stacks-{os.getpid()}")) as lab:
        stack = Stack(engine, Path(place) / "project", Path(place) / "backend", NAME)
        stack.make(node=f"unix://{lab.nodes['node-a'].socket_path}")
        stack.write((directory / "program.py").read_text())
        stack.up().assert_ok()
        exported = json.loads(stack.run("stack", "export").assert_ok().text)
        stack.destroy().assert_ok()
    for resource in exported["deployment"]["resources"]:
        for key in _PLACES:
            resource.pop(key, None)
    (directory / "state.json").write_text(json.dumps(exported, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
