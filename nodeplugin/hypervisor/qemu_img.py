"""Runs qemu-img and LVM's tools: no shell, a deadline for each run, and an end with this process."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from typing import IO

from xvirt.model.errors import Busy, DeadlineExceeded, Exhausted, Refused, Unavailable

COMMAND_TIMEOUT_S = 120.0
COPY_TIMEOUT_S = 6 * 3600.0
"""1 TiB at 50 MB/s."""

Progress = Callable[[int], None]

_PROGRESS = re.compile(rb"\((\d+)\.\d+/100%\)")
_END_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
"""setpriv(1): where the plugin is killed, so is what it started; a new one would begin the same copy beside it."""
_NO_SPACE = (
    "No space left",
    "Disk quota",
    "insufficient free space",
    "Insufficient free space",
    "insufficient suitable allocatable extents",
    "Insufficient suitable allocatable extents",
)
_PACKAGES = {"qemu-img": "qemu-utils", "blkdiscard": "util-linux"}
_LOCKED = ('Failed to get "write" lock', 'Failed to get shared "write" lock', "Failed to lock byte")


class QemuImg:
    """Runs of the storage's tools, which `close` ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_closed = False

    def run(
        self,
        argv: list[str],
        action: str,
        *,
        timeout_s: float = COMMAND_TIMEOUT_S,
        progress: Progress | None = None,
        good_codes: tuple[int, ...] = (0,),
    ) -> str:
        """Run `qemu-img ARGV`; `progress` gets percents of `-p`. Returns its output. Raises as `run_tool`."""
        command = ["qemu-img", *argv]
        return self.run_tool(command, action, timeout_s=timeout_s, progress=progress, good_codes=good_codes)

    def run_tool(
        self,
        command: list[str],
        action: str,
        *,
        timeout_s: float = COMMAND_TIMEOUT_S,
        progress: Progress | None = None,
        good_codes: tuple[int, ...] = (0,),
    ) -> str:
        """Run a command; returns its output.

        Raises Exhausted (no space), Busy (another process has the image locked), DeadlineExceeded, Unavailable (closed), Refused.
        """
        deadline = time.monotonic() + timeout_s
        with tempfile.TemporaryFile() as errors:
            process = self._start(command, action, errors)
            try:
                output = _follow(process, deadline, progress)
                code = process.wait(max(0.0, deadline - time.monotonic()))
            except (TimeoutError, subprocess.TimeoutExpired):
                raise DeadlineExceeded(f"{action}: {command[0]} did not end within {timeout_s:g} s") from None
            finally:
                self._end(process)
            errors.seek(0)
            text = errors.read().decode(errors="replace").strip()
        if code not in good_codes:
            raise self._fault(command[0], action, text or f"exit code {code}")
        return output.decode(errors="replace")

    def close(self) -> None:
        """End what runs, and run no more."""
        with self._lock:
            self._is_closed = True
            for process in self._running:
                process.kill()

    def _start(self, command: list[str], action: str, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_closed:
                raise Unavailable(f"{action}: the node plugin is stopping")
            try:
                process = subprocess.Popen(
                    [*_END_WITH_US, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env={**os.environ, "LC_ALL": "C", "LVM_SUPPRESS_FD_WARNINGS": "1"},
                )
            except OSError as error:
                remedy = f"install {_PACKAGES.get(command[0], 'lvm2')}"
                raise Unavailable(f"{action}: {command[0]} cannot be started: {error}; {remedy}") from error
            self._running.add(process)
            return process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._running.discard(process)
        if process.poll() is None:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5.0)  # longer only in uninterruptible I/O
        if process.stdout is not None:
            process.stdout.close()

    def _fault(self, tool: str, action: str, text: str) -> Exception:
        if self._is_closed:
            return Unavailable(f"{action}: the node plugin is stopping")
        if any(phrase in text for phrase in _NO_SPACE):
            return Exhausted(f"{action}: no space left; free some, it goes on by itself", reason="NoSpace")
        if any(phrase in text for phrase in _LOCKED):
            return Busy(f"{action}: the image is in use: {text}", reason="ImageInUse")
        return Refused(f"{action}: {tool} says: {text}", reason="VolumeFailed")


def _follow(process: subprocess.Popen[bytes], deadline: float, progress: Progress | None) -> bytes:
    """All output until its end. Raises TimeoutError."""
    assert process.stdout is not None
    output = b""
    while True:
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError
        chunk = os.read(process.stdout.fileno(), 65536)
        if not chunk:
            return output
        if progress is None:
            output += chunk
        elif found := _PROGRESS.findall(chunk):
            progress(min(99, int(found[-1])))
