"""Run by `test_killed.py`, to be killed in the middle: fetches a URL into a directory."""

from __future__ import annotations

import dataclasses
import sys
import threading
from pathlib import Path

from nodeplugin.images.limits import DEFAULT_LIMITS
from nodeplugin.images.port import ImageRequest, Origin, Trust
from nodeplugin.images.transfers import Transfers


def request(directory: str, url: str) -> ImageRequest:
    """The one image."""
    path = str(Path(directory) / "one.img")
    return ImageRequest(uid="one", path=path, format="raw", origin=Origin.URL, source=url, trust=Trust.ANY)


if __name__ == "__main__":
    limits = dataclasses.replace(DEFAULT_LIMITS, space_reserve_percent=0)
    Transfers(lambda *_: None, limits=limits).start(request(*sys.argv[1:3]))
    threading.Event().wait()
