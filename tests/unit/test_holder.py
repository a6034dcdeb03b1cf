"""The holder pod's process: too small to count, and no signal that a kubelet sends with a grace period ends it."""

from __future__ import annotations

import re
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "deploy" / "holder"
BUILD = ("gcc", "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror")
SURVIVED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
RSS_MAX_KIB = 1024
START_TIMEOUT_S = 30.0
PT_LOAD, PT_INTERP = 1, 3


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("holder") / "xvirt-holder"
    subprocess.run([*BUILD, "-o", str(made), str(FOLDER / "holder.c")], check=True, timeout=120)
    return made


@pytest.fixture
def holder(program: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([program])
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=START_TIMEOUT_S)


def _status(process: subprocess.Popen[bytes], name: str) -> str:
    found = re.search(rf"^{name}:\s*(\S+)", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
    assert found, f"the process has no {name} any more"
    return found[1]


def _ignored(process: subprocess.Popen[bytes]) -> set[signal.Signals]:
    mask = int(_status(process, "SigIgn"), 16)
    return {item for item in signal.Signals if mask >> (item - 1) & 1}


def _wait_until_it_ignores(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not set(SURVIVED) <= _ignored(process):
        assert time.monotonic() < deadline, f"ignores {_ignored(process)} only"
        time.sleep(0.01)


def test_the_holder_survives_what_a_kubelet_sends_first(holder: subprocess.Popen[bytes]) -> None:
    _wait_until_it_ignores(holder)
    for number in SURVIVED:
        holder.send_signal(number)
    assert int(_status(holder, "SigPnd"), 16) == 0
    assert holder.poll() is None


def test_the_holder_ends_with_sigkill(holder: subprocess.Popen[bytes]) -> None:
    _wait_until_it_ignores(holder)
    holder.kill()
    assert holder.wait(timeout=START_TIMEOUT_S) == -signal.SIGKILL


def test_the_holder_takes_less_than_a_mebibyte(holder: subprocess.Popen[bytes]) -> None:
    _wait_until_it_ignores(holder)
    assert int(_status(holder, "VmRSS")) < RSS_MAX_KIB
    assert _status(holder, "Threads") == "1"


def test_the_holder_needs_no_loader_and_so_nothing_of_its_image(program: Path) -> None:
    elf = program.read_bytes()
    (table,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    kinds = {struct.unpack_from("<I", elf, table + size * at)[0] for at in range(count)}
    assert PT_LOAD in kinds
    assert PT_INTERP not in kinds
