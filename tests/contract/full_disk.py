"""Run by `test_full_disk.py` in a mount namespace of its own: fetches into a small file system that fills up. Prints JSON."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

from nodeplugin.images.limits import DEFAULT_LIMITS
from nodeplugin.images.port import ImageRequest, Origin, TransferState, Trust
from nodeplugin.images.transfers import Transfers
from tests.unit.nodeplugin.images.server import FaultServer, Framing, Reply
from tools.lab.processes import wait_until
from xvirt.model.errors import Exhausted

MIB = 1 << 20
NO_RESERVE = dataclasses.replace(
    DEFAULT_LIMITS, space_reserve_percent=0, space_check_bytes=1 << 40, attempt_pause_s=0.01
)
"""Nobody looks ahead: writes themselves meet the end of the disk."""


def run(directory: Path) -> dict[str, object]:
    """What was seen."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(directory)], check=True)
    (directory / "ballast").write_bytes(bytes(6 * MIB))
    content = b"raw:" + os.urandom(4 * MIB)
    # Without a length nothing can be judged beforehand.
    with FaultServer(content, [Reply(framing=Framing.CHUNKED)]).running() as server:
        transfers = Transfers(lambda *_: None, limits=NO_RESERVE)
        request = ImageRequest(
            uid="one",
            path=str(directory / "image"),
            format="raw",
            origin=Origin.URL,
            source=server.url,
            trust=Trust.ANY,
        )
        first = _fetch(transfers, request)
        names = sorted(os.listdir(directory))
        with contextlib.suppress(Exhausted):  # told once more
            transfers.start(request)
        again = _refusal(transfers, request)
        requests = len(server.ranges)
        os.unlink(directory / "ballast")
        second = _fetch(transfers, request)
        transfers.close()
    is_whole = (directory / "image").read_bytes() == content
    return {
        "first": first,
        "names": names,
        "again": again,
        "requests": requests,
        "second": second,
        "left": sorted(os.listdir(directory)),
        "whole": is_whole,
    }


def _refusal(transfers: Transfers, request: ImageRequest) -> str:
    try:
        transfers.start(request)
    except Exhausted as error:
        return error.reason
    return "begun"


def _fetch(transfers: Transfers, request: ImageRequest) -> str:
    transfers.start(request)
    ended = (TransferState.DONE, TransferState.FAILED)
    wait_until(lambda: (facts := transfers.find("one")) is not None and facts.state in ended, 60, "the end")
    facts = transfers.find("one")
    assert facts is not None
    return f"{type(facts.error).__name__}/{facts.error.reason}" if facts.error is not None else facts.state.value


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]))))
