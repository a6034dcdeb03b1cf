"""PID 1 of a node: builds the node's view of the file system, then starts, signals and reaps its services.

`python -m tools.lab.init BOOT_FILE`. Orders come one JSON object per connection over the control socket:
`{"act": "start", "service": S, "argv": [..], "env": {..}}` -> `{"pid": N}` (pids are this node's),
`{"act": "signal", "service": S, "signal": N}` -> `{}`, `{"act": "status"}` -> `{"services": {S: {"pid", "exit"}}}`;
a refused order gives `{"error": "..."}`. A service that ends is not started again: tests decide that.
The node ends when this process is killed, on SIGTERM, or when the owner's end of the pipe `owner_fd` closes.
"""

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.lab.boot import FORWARDER, LISTENER_FD, read_boot
from tools.lab.mounts import build_view, hide_kvm

_ORDER_TIMEOUT_S = 5.0
_MAX_ORDER_BYTES = 1 << 20


@dataclass
class _Service:
    pid: int
    exit: int | None = None


@dataclass
class Supervisor:
    """The services of one node. Single-threaded: everything happens in `serve`'s loop."""

    log: Path
    listener_fd: int
    services: dict[str, _Service] = field(default_factory=dict)

    def serve(self, control: socket.socket, owner_fd: int | None) -> None:
        """Take orders until told to end."""
        selector = selectors.DefaultSelector()
        selector.register(control, selectors.EVENT_READ, lambda: self._answer(control.accept()[0]))
        alarm = _open_child_alarm()
        selector.register(alarm, selectors.EVENT_READ, lambda: self._wake(alarm))
        if owner_fd is not None:
            # The owner never writes: readable means that it is gone.
            selector.register(owner_fd, selectors.EVENT_READ, lambda: sys.exit(0))
        while True:
            for key, _events in selector.select():
                act: Callable[[], None] = key.data
                act()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(_ORDER_TIMEOUT_S)
            try:
                order = json.loads(connection.makefile("rb").readline(_MAX_ORDER_BYTES))
                answer = self._obey(order)
            except (OSError, ValueError, KeyError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            try:
                connection.sendall(json.dumps(answer).encode() + b"\n")
            except OSError as error:
                print(f"init: cannot answer: {error}", file=sys.stderr, flush=True)

    def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        self._reap()
        match order["act"]:
            case "start":
                return {"pid": self._start(order["service"], order["argv"], order["env"])}
            case "signal":
                self._signal(order["service"], order["signal"])
                return {}
            case "status":
                return {"services": {name: vars(service) for name, service in self.services.items()}}
        raise ValueError(f"unknown order {order['act']!r}")

    def _start(self, name: str, argv: list[str], env: dict[str, str]) -> int:
        running = self.services.get(name)
        if running is not None and running.exit is None:
            raise ValueError(f"{name} runs already as process {running.pid}")
        log = str(self.log / f"{name}.log")
        actions: list[Any] = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            (os.POSIX_SPAWN_DUP2, self.listener_fd, LISTENER_FD)
            if name == FORWARDER
            else (os.POSIX_SPAWN_CLOSE, LISTENER_FD),
        ]
        pid = os.posix_spawnp(argv[0], argv, env, file_actions=actions, setsid=True, setsigdef=signal.valid_signals())
        self.services[name] = _Service(pid)
        return pid

    def _signal(self, name: str, number: int) -> None:
        service = self.services.get(name)
        if service is None or service.exit is not None:
            raise ValueError(f"{name} is not running")
        os.kill(service.pid, number)

    def _wake(self, alarm: int) -> None:
        os.read(alarm, 4096)
        self._reap()

    def _reap(self) -> None:
        """Collect every ended child; orphans of the node (QEMU, dnsmasq) are children of PID 1, too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for service in self.services.values():
                if service.pid == pid and service.exit is None:
                    service.exit = os.waitstatus_to_exitcode(status)


def _open_child_alarm() -> int:
    """A descriptor that becomes readable after SIGCHLD."""
    readable, writable = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    return readable


def main() -> None:
    """Build the view, open the control socket, serve."""
    boot = read_boot(Path(sys.argv[1]).read_text())
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    # Opened before the view hides the place; it stays reachable from outside under the lab's directory.
    control = socket.socket(socket.AF_UNIX)
    boot.control.unlink(missing_ok=True)
    control.bind(str(boot.control))
    socket.sethostname(boot.hostname)
    build_view(boot.binds, boot.directory)
    if not boot.has_kvm:
        hide_kvm()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.chdir("/")
    control.listen(16)
    for handle in (boot.listener_fd, boot.owner_fd):
        if handle is not None:
            os.set_inheritable(handle, False)
    Supervisor(boot.log, boot.listener_fd).serve(control, boot.owner_fd)


if __name__ == "__main__":
    main()
