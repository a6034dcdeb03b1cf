"""A real SIGKILL in the middle of a download."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from tests.unit.nodeplugin.images.conftest import WAIT_S, Pool, checksum
from tests.unit.nodeplugin.images.killed import request
from tests.unit.nodeplugin.images.server import FaultServer, Reply
from tools.lab.processes import wait_until


def test_a_killed_plugin_goes_on_with_its_file_and_there_is_never_half_an_image(
    pool: Pool, serve: Callable[..., FaultServer], content: bytes
) -> None:
    server = serve(Reply(stall_after=300_000), Reply())
    wanted = request(str(pool.directory), server.url)
    module = "tests.unit.nodeplugin.images.killed"
    with subprocess.Popen([sys.executable, "-m", module, str(pool.directory), server.url]) as process:
        try:
            wait_until(lambda: _partial_bytes(pool) == 300_000, WAIT_S, "the first part on disk")
        finally:
            process.kill()
    assert "one.img" not in pool.names()
    assert pool.fetch(wanted).checksum == checksum(content)
    assert server.ranges == [None, "bytes=300000-"]
    assert pool.names() == ["one.img"]


def _partial_bytes(pool: Pool) -> int:
    return max((path.stat().st_size for path in pool.directory.glob("*.download")), default=0)
