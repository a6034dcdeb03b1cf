"""Run by `test_full_store.py` in a mount namespace of its own: a node in memory whose store lies on a small file system that fills up.
Prints JSON."""

from __future__ import annotations

import contextlib
import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.unit.nodeplugin.test_crash_walk import IMAGE, MACHINE, NETWORK, WEB
from tests.unit.nodeplugin.world import CALLER, World
from xvirt.model.errors import Exhausted, RetryLater, XvirtError

TRIES_MAX = 200
"""What SQLite has allocated of its log already is written without new space; then every commit needs some."""


def _changed(number: int) -> dict[str, Any]:
    document = copy.deepcopy(MACHINE)
    document["spec"]["cpu"]["cores"] = 1 + number % 4
    document["metadata"]["annotations"] = {"example.org/number": f"{number:04d}" * 2000}
    return document


def _fill(directory: Path) -> None:
    with contextlib.suppress(OSError), (directory / "ballast").open("wb", buffering=0) as file:
        while file.write(bytes(4096)) == 4096:
            pass


def _apply_until_refused(world: World) -> tuple[int, str]:
    """The number that was taken last, and the refusal of the next."""
    for number in range(1, TRIES_MAX):
        try:
            world.apply(_changed(number))
        except Exhausted as error:
            return number - 1, error.reason
    return TRIES_MAX, "never refused"


def _stored_number(world: World) -> int:
    annotations = world.service.get(CALLER, WEB).document["metadata"].get("annotations", {})
    return int(annotations.get("example.org/number", "0000")[:4])


def _restart(world: World) -> str:
    """How a new process fares while there is no space: it serves, or says that it may be tried again, and never that the file is
    damaged."""
    try:
        world.boot()
    except RetryLater as error:
        return "" if error.reason in ("StoreFull", "StoreUnavailable") else error.reason
    except XvirtError as error:
        return error.reason
    return ""


def run(directory: Path) -> dict[str, object]:
    """What was seen."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(directory)], check=True)
    world = World(directory)
    for document in (NETWORK, IMAGE, MACHINE):
        world.apply(copy.deepcopy(document))
    world.settle()
    _fill(directory)
    taken, refusal = _apply_until_refused(world)
    is_whole = _stored_number(world) == taken
    world.settle()  # no worker ends
    again = _apply_until_refused(world)[1]
    restarted = _restart(world)
    (directory / "ballast").unlink()
    world.boot()
    kept = _stored_number(world)
    world.apply(_changed(999))
    world.settle()
    status = world.service.get(CALLER, WEB).document["status"]
    return {
        "refusal": refusal,
        "whole": is_whole,
        "again": again,
        "restarted": restarted,
        "lost": kept < taken,
        "end": (
            status["printableStatus"],
            status["observedGeneration"] == world.service.get(CALLER, WEB).token.generation,
        ),
        "cpus": status["cpus"],
    }


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]))))
