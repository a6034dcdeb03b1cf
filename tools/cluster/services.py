"""The processes of a cluster, by name: recorded in `pids/NAME`, writing to `logs/NAME.log`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from tools.cluster.errors import ClusterError
from tools.cluster.spec import Lifetime
from tools.lab.processes import Process, read_record, reap, spawn_recorded, wait_until

_LOG_TAIL_BYTES = 3000
_STOP_TIMEOUT_S = 20.0
# The kernel's own bond: it holds also where the owner is killed, and needs no cooperation of the program.
_WITH_OWNER = ("setpriv", "--pdeathsig", "KILL", "--")


class Services:
    """Named processes below one directory. One that ends is not started again: that is for whoever uses it to decide."""

    def __init__(self, directory: Path, lifetime: Lifetime) -> None:
        self._directory = directory
        self._lifetime = lifetime
        for folder in ("pids", "logs"):
            (directory / folder).mkdir(exist_ok=True)

    def start(self, name: str, argv: Sequence[str]) -> Process:
        """Start a program. Raises ClusterError where it runs already."""
        if self.is_running(name):
            raise ClusterError(f"{name} runs already")
        bond = _WITH_OWNER if self._lifetime is Lifetime.OWNER else ()
        return spawn_recorded([*bond, *argv], self._record(name), self.log(name))

    def process(self, name: str) -> Process:
        """The process that was started last, ended or not. Raises ClusterError where there was none."""
        record = self._record(name)
        found = read_record(record) if record.exists() else None
        if found is None:
            raise ClusterError(f"{name} was never started")
        return found

    def is_running(self, name: str) -> bool:
        """True while it runs, frozen or not."""
        record = self._record(name)
        found = read_record(record) if record.exists() else None
        return found is not None and found.is_alive()

    def freeze(self, name: str) -> None:
        """SIGSTOP: it is there and does not answer."""
        self.process(name).send(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        self.process(name).send(signal.SIGCONT)

    def kill(self, name: str) -> None:
        """SIGKILL, and wait for its end."""
        self._end(name, signal.SIGKILL)

    def stop(self, name: str) -> None:
        """SIGTERM and wait for its end; SIGKILL where it does not come."""
        try:
            self._end(name, signal.SIGTERM)
        except ClusterError:
            self._end(name, signal.SIGKILL)

    def kill_all(self) -> None:
        """End every process that was recorded here, the newest first."""
        records = [file for file in (self._directory / "pids").iterdir() if file.suffix != ".new"]
        for record in sorted(records, key=lambda file: file.stat().st_mtime_ns, reverse=True):
            self.kill(record.name)
            record.unlink()

    def wait(self, name: str, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Until a service is ready. Raises ClusterError with the end of its log where it ended or took too long."""
        try:
            wait_for(lambda: is_ready() or not self.is_running(name), timeout_s, f"{name} to serve")
        except ClusterError as error:
            raise ClusterError(f"{error}; {self.log(name)} ends with: {self.tail(name)}") from error
        if not self.is_running(name):
            raise ClusterError(f"{name} ended; {self.log(name)} ends with: {self.tail(name)}")

    def log(self, name: str) -> Path:
        """Where a service writes to."""
        return self._directory / "logs" / f"{name}.log"

    def tail(self, name: str) -> str:
        """The end of its log."""
        file = self.log(name)
        return file.read_text(errors="replace")[-_LOG_TAIL_BYTES:].strip() if file.exists() else "(nothing)"

    def _record(self, name: str) -> Path:
        return self._directory / "pids" / name

    def _end(self, name: str, number: signal.Signals) -> None:
        record = self._record(name)
        found = read_record(record) if record.exists() else None
        if found is None:
            return
        found.send(number)
        if number is not signal.SIGKILL:
            found.send(signal.SIGCONT)  # a frozen one would never see it
        wait_for(lambda: _is_over(found), _STOP_TIMEOUT_S, f"{name} to end after {number.name}")
        reap()


def _is_over(process: Process) -> bool:
    """Whether it has let its ports go: a thread that still ends holds them, though the process itself counts as dead already."""
    if process.is_alive():
        return False
    try:
        return len(os.listdir(f"/proc/{process.pid}/task")) <= 1
    except FileNotFoundError:
        return True


def wait_for(is_met: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll until `is_met()`. Raises ClusterError naming `what` after `timeout_s`."""
    try:
        wait_until(is_met, timeout_s, what)
    except RuntimeError as error:
        raise ClusterError(str(error)) from error
