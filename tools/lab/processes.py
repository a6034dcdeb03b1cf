"""Processes by pid and start time, so that a recorded pid that now belongs to someone else is never signalled."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.lab.errors import LabError

# The record is written by the new process itself before it becomes anything: a crash of its parent at any moment
# leaves either a record or nothing. $0 is the record; one line each of /proc/self/stat and the machine's boot id.
_RECORD_THEN_EXEC = (
    "read -r stat </proc/$$/stat && read -r boot </proc/sys/kernel/random/boot_id"
    ' && printf "%s\\n%s\\n" "$stat" "$boot" >"$0.new" && mv "$0.new" "$0" && exec "$@"'
)
_POLL_S = 0.01


@dataclass(frozen=True)
class Process:
    """A process of this machine's initial view: `start_ticks` since boot tells it from a later one with its pid."""

    pid: int
    start_ticks: int

    def is_alive(self) -> bool:
        """True until it has ended; a zombie counts as ended."""
        stat = _read_stat(self.pid)
        return stat is not None and stat.start_ticks == self.start_ticks and stat.state not in "ZX"

    def has_become(self, program: str) -> bool:
        """Whether it runs this program by now. Until then it is the shell that records it, and has that one's `mv` as a child."""
        try:
            return self.is_alive() and Path(f"/proc/{self.pid}/comm").read_text().strip() == program
        except (FileNotFoundError, ProcessLookupError):
            return False

    def send(self, number: int) -> None:
        """Signal it if it is still that process. The pidfd closes the gap between the look and the signal."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            if self.is_alive():
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return
        finally:
            os.close(handle)

    def wait_gone(self, timeout_s: float) -> None:
        """Until it has ended. Raises LabError after `timeout_s`."""
        wait_until(lambda: not self.is_alive(), timeout_s, f"process {self.pid} to end")


@dataclass(frozen=True)
class _Stat:
    state: str
    parent: int
    start_ticks: int


def _parse_stat(text: str) -> _Stat:
    # proc(5): the command in parentheses may hold anything; state is field 3, ppid 4, starttime 22.
    fields = text.rpartition(")")[2].split()
    return _Stat(state=fields[0], parent=int(fields[1]), start_ticks=int(fields[19]))


def _read_stat(pid: int) -> _Stat | None:
    try:
        return _parse_stat(Path(f"/proc/{pid}/stat").read_text(errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None


def find_process(pid: int) -> Process | None:
    """The process that has this pid now."""
    stat = _read_stat(pid)
    return Process(pid, stat.start_ticks) if stat else None


def children_of(parent: Process) -> list[Process]:
    """Its direct children."""
    found = []
    for entry in Path("/proc").iterdir():
        stat = _read_stat(int(entry.name)) if entry.name.isdigit() else None
        if stat is not None and stat.parent == parent.pid:
            found.append(Process(int(entry.name), stat.start_ticks))
    return found


def outer_pid(init: Process, inner_pid: int) -> int:
    """The machine's pid of a process that `init`'s PID namespace calls `inner_pid`. Raises LabError when it is gone."""
    namespace = os.readlink(f"/proc/{init.pid}/ns/pid")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _inner_pid(int(entry.name), namespace) == inner_pid:
            return int(entry.name)
    raise LabError(f"no process has pid {inner_pid} inside the node of process {init.pid}")


def _inner_pid(pid: int, namespace: str) -> int | None:
    try:
        if os.readlink(f"/proc/{pid}/ns/pid") != namespace:
            return None
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    line = next((line for line in status.splitlines() if line.startswith("NSpid:")), "")
    return int(line.split()[-1]) if line else None


def spawn_recorded(argv: Sequence[str], record: Path, log: Path, pass_fds: Sequence[int] = ()) -> Process:
    """Start `argv` in a session of its own, recorded in the file `record` before it does anything."""
    record.parent.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            ["sh", "-c", _RECORD_THEN_EXEC, str(record), *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=pass_fds,
            cwd="/",
            env=plain_environment(),
        )
    wait_until(lambda: record.exists() or child.poll() is not None, 10, f"{record} to be written")
    process = read_record(record) if record.exists() else None
    if process is None:
        raise LabError(f"`{' '.join(argv)}` did not start; see {log}")
    _reap_later(child)
    return process


def read_record(record: Path) -> Process | None:
    """The recorded process; None when the record is from before this boot of the machine or is torn."""
    lines = record.read_text(errors="replace").splitlines()
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if len(lines) != 2 or lines[1] != boot_id:
        return None
    return Process(int(lines[0].split()[0]), _parse_stat(lines[0]).start_ticks)


def plain_environment() -> dict[str, str]:
    """What the lab's processes see: nothing of the caller's session, and no way to the host's D-Bus or systemd."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "LIBVIRT_AUTOSTART": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def wait_until(is_met: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll until `is_met()`. Raises LabError naming `what` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not is_met():
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout_s:g} s for {what}")
        time.sleep(_POLL_S)


_unreaped: list[subprocess.Popen[bytes]] = []


def _reap_later(child: subprocess.Popen[bytes]) -> None:
    """Keep the handle so that a finished child is reaped at the next start instead of staying a zombie."""
    _unreaped[:] = [other for other in _unreaped if other.poll() is None]
    _unreaped.append(child)


def reap() -> None:
    """Collect ended children that this process started through `spawn_recorded`."""
    _unreaped[:] = [child for child in _unreaped if child.poll() is None]
