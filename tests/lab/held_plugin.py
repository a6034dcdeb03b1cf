"""The node plugin, holding still after a step that the test chooses: there it is killed, or something else is done to its host.

The file HOLD_AFTER holds a number; that many steps later the file HELD appears with the step's name, and the worker waits until it is
removed. Run as `python -m tests.lab.held_plugin --config FILE`, in place of `xvirt-node`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from nodeplugin import main
from nodeplugin.converge import machine, resource
from nodeplugin.converge.host import Host
from nodeplugin.plan.step import Step
from nodeplugin.steps.run import run_step

DIRECTORY = Path("/run/xvirt")
HOLD_AFTER = "hold-after"
HELD = "held"

_counting = threading.Lock()


def _run_and_hold(step: Step, host: Host, progress: Callable[[int], None]) -> str:
    found = run_step(step, host, progress)
    if _is_chosen():
        held = DIRECTORY / HELD
        held.write_text(step.name)
        while held.exists():
            time.sleep(0.01)
    return found


def _is_chosen() -> bool:
    with _counting:
        file = DIRECTORY / HOLD_AFTER
        if not file.exists():
            return False
        left = int(file.read_text()) - 1
        if left > 0:
            file.write_text(str(left))
        else:
            file.unlink()
        return left <= 0


if __name__ == "__main__":
    for module in (machine, resource):
        module.run_step = _run_and_hold  # type: ignore[attr-defined]
    main.run()
