"""One node of a lab, as tests drive it."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.lab import capabilities
from tools.lab.boot import FORWARDER, Boot
from tools.lab.control import Control
from tools.lab.errors import LabError
from tools.lab.fabric import attach_node
from tools.lab.processes import (
    Process,
    children_of,
    outer_pid,
    plain_environment,
    read_record,
    reap,
    spawn_recorded,
    wait_until,
)
from tools.lab.settings import empty_directory, install_certificates, write_node_directories
from tools.lab.spec import PLUGIN_PORT, LabSpec, NodePaths, QemuUser, Services, node_address

LIBVIRTD = "libvirtd"
VIRTLOGD = "virtlogd"
PLUGIN = "plugin"
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 60.0
"""The plugin lets running steps end, which takes about half a minute at most."""
_AGENT_TIMEOUT_S = 5
_KILL_AFTER_S = 5
# timeout(1): 124 when SIGTERM was enough, 137 when it took SIGKILL.
_TIMED_OUT = (124, 137)
_LOG_TAIL_BYTES = 2000
_VIRSH = ("virsh", "-q", "-c", "qemu:///system")
_AGENT_COMMAND = ("qemu-agent-command", "--timeout", str(_AGENT_TIMEOUT_S))
_PROJECT = Path(__file__).resolve().parents[2]


def isolate(flags: Sequence[str], argv: Sequence[str]) -> list[str]:
    """`argv` as PID 1 of a PID namespace of its own: when it is killed, so is everything below it."""
    return ["unshare", "--pid", "--fork", "--kill-child", *flags, *argv]


def module_command(module: str, *arguments: str) -> list[str]:
    """A module of this project, run by this interpreter whatever the working directory."""
    return ["env", f"PYTHONPATH={_PROJECT}", sys.executable, "-m", module, *arguments]


@dataclass
class Node:
    """A booted node. `fabric` is the process that holds the lab's bridge, `owner_fd` the pipe its life depends on."""

    spec: LabSpec
    index: int
    fabric: Process
    owner_fd: int | None = None
    tcp_port: int = 0
    _control: Control = field(init=False)

    def __post_init__(self) -> None:
        self._control = Control(self.name, self.paths.control)

    @property
    def name(self) -> str:
        """node-a, node-b, ...; also the host name and the TLS server name."""
        return self.spec.node_names[self.index]

    @property
    def paths(self) -> NodePaths:
        """The node's directories, seen from outside."""
        return NodePaths(self.spec.path / self.name)

    @property
    def address(self) -> str:
        """Its IPv4 address in the lab's fabric."""
        return node_address(self.index)

    @property
    def tls_address(self) -> str:
        """HOST:PORT on this machine's loopback that leads to the plugin's mutual-TLS port."""
        return f"127.0.0.1:{self.tcp_port}"

    @property
    def socket_path(self) -> Path:
        """The plugin's Unix socket, reachable from outside."""
        return self.paths.run_xvirt / "node.sock"

    @property
    def libvirt_uri(self) -> str:
        """A libvirt URI that works from outside the node."""
        return f"qemu+unix:///system?socket={self.paths.run_libvirt / 'libvirt-sock'}"

    @property
    def libvirt_pid(self) -> int:
        """libvirtd's pid, as this machine sees it."""
        return self._service_pid(LIBVIRTD)

    @property
    def plugin_pid(self) -> int:
        """The node plugin's pid, as this machine sees it."""
        return self._service_pid(PLUGIN)

    @property
    def init(self) -> Process:
        """The node's PID 1. Raises LabError when the node is down."""
        record = self.spec.path / "pids" / self.name
        outer = read_record(record) if record.exists() else None
        inner = children_of(outer) if outer and outer.is_alive() else []
        if not inner:
            raise LabError(f"{self.name} is not running; {self._tail('init')}")
        return inner[0]

    def boot(self) -> None:
        """Start the node over its directories, with the services the lab is to have."""
        write_node_directories(self.spec, self.index, self.paths)
        for volatile in (self.paths.run_libvirt, self.paths.run_xvirt):
            empty_directory(volatile)
        capabilities.warm(self.paths.binds["/var/cache/libvirt"], self.spec.qemu_user)
        self._start_init()
        attach_node(self.fabric, self.init, self.name, self.address)
        self.start_service(FORWARDER, module_command("tools.lab.forwarder", self.address, str(PLUGIN_PORT)))
        if self.spec.qemu_user is QemuUser.DEBIAN:
            self.start_service(VIRTLOGD, ["virtlogd"])
            self._wait_serving(VIRTLOGD, self.paths.run_libvirt / "virtlogd-sock")
        self.start_libvirtd()
        if self.spec.services is Services.ALL:
            install_certificates(self.spec, self.index, self.paths)
            self.start_plugin()

    def power_off(self) -> None:
        """End the whole node at once, as pulling its plug would."""
        end_recorded(self.spec.path / "pids" / self.name)

    def reboot(self) -> None:
        """Pull the plug and boot over the same directories; the addresses outside stay the same."""
        self.power_off()
        self.boot()

    def run(
        self, argv: Sequence[str], *, check: bool = True, timeout_s: float = 60.0, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the node. With `check`, LabError carries what it printed on failure.

        A command that takes longer than `timeout_s` is ended, and is a LabError in any case.
        """
        # `timeout` runs beside the command: killing nsenter from outside would leave the command running in the node.
        limit = ["timeout", f"--kill-after={_KILL_AFTER_S}", str(timeout_s)]
        done = subprocess.run(
            [*self.enter_command(), *limit, *argv], text=True, input=stdin, capture_output=True, env=plain_environment()
        )
        said = (done.stderr or done.stdout).strip()
        if done.returncode in _TIMED_OUT:
            raise LabError(f"`{' '.join(argv)}` in {self.name} did not end within {timeout_s:g} s: {said}")
        if check and done.returncode != 0:
            raise LabError(f"`{' '.join(argv)}` in {self.name} failed with exit code {done.returncode}: {said}")
        return done

    def enter_command(self) -> list[str]:
        """What to put before a command to run it inside the node."""
        return ["nsenter", "--target", str(self.init.pid), "--mount", "--net", "--pid", "--uts", "--root", "--wd", "--"]

    def virsh(self, *arguments: str, check: bool = True, timeout_s: float = 60.0, stdin: str = "") -> str:
        """Standard output of `virsh ARGUMENTS` against the node's libvirtd, run inside the node."""
        return self.run([*_VIRSH, *arguments], check=check, timeout_s=timeout_s, stdin=stdin).stdout

    def guest_exec(self, domain: str, argv: Sequence[str], *, timeout_s: float = 30.0) -> str:
        """Standard output of a command inside a guest, through its agent. Raises LabError with its errors if it fails."""
        arguments = {"path": argv[0], "arg": list(argv[1:]), "capture-output": True}
        pid = self._ask_agent(domain, "guest-exec", arguments)["pid"]
        state: dict[str, Any] = {}

        def has_exited() -> bool:
            state.update(self._ask_agent(domain, "guest-exec-status", {"pid": pid}))
            return bool(state["exited"])

        wait_until(has_exited, timeout_s, f"`{' '.join(argv)}` in guest {domain} to end")
        output, errors = (base64.b64decode(state.get(key, "")).decode() for key in ("out-data", "err-data"))
        if state.get("exitcode") != 0:
            said = errors.strip() or output.strip()
            raise LabError(f"`{' '.join(argv)}` in guest {domain} failed ({state.get('exitcode')}): {said}")
        return output

    def wait_for_agent(self, domain: str, *, timeout_s: float = 60.0) -> None:
        """Until the guest's agent answers."""
        ping = [*_VIRSH, *_AGENT_COMMAND, domain, '{"execute":"guest-ping"}']
        wait_until(lambda: self.run(ping, check=False).returncode == 0, timeout_s, f"the agent of guest {domain}")

    def start_libvirtd(self) -> None:
        """Start libvirtd and wait until it serves."""
        argv = ["libvirtd", "--listen", "--config", "/etc/libvirt/libvirtd.conf"]
        self.start_service(LIBVIRTD, argv)
        self._wait_serving(LIBVIRTD, self.paths.run_libvirt / "libvirt-sock")
        self.virsh("domcapabilities", "--virttype", "qemu")
        capabilities.save(self.paths.binds["/var/cache/libvirt"], self.spec.qemu_user)

    def stop_libvirtd(self) -> None:
        """SIGTERM, and wait until it has ended. Guests go on."""
        self.kill_libvirtd(signal.SIGTERM)

    def kill_libvirtd(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal (SIGSTOP freezes, SIGCONT thaws); waits for the end where it is to end."""
        self.kill_service(LIBVIRTD, number)

    def restart_libvirtd(self) -> None:
        """Stop it and start it."""
        self.stop_libvirtd()
        self.start_libvirtd()

    def start_plugin(self, extra_env: Mapping[str, str] | None = None, module: str = "") -> None:
        """Start the node plugin, or a module of the project in its place, and wait until its Unix socket accepts.

        Raises LabError with its log when it ends.
        """
        program = Path(sys.executable).with_name("xvirt-node")
        if not program.exists():
            raise LabError(f"{program} is missing; run ./dev setup")
        command = module_command(module) if module else [str(program)]
        self.start_service(PLUGIN, [*command, "--config", "/etc/xvirt/node.yaml"], extra_env)
        self._wait_serving(PLUGIN, self.socket_path)

    def stop_plugin(self) -> None:
        """SIGTERM, and wait until it has ended. Guests go on."""
        self.kill_plugin(signal.SIGTERM)

    def kill_plugin(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal (SIGSTOP freezes, SIGCONT thaws); waits for the end where it is to end."""
        self.kill_service(PLUGIN, number)

    def start_service(self, service: str, argv: Sequence[str], extra_env: Mapping[str, str] | None = None) -> None:
        """Start a program that stays until it ends, is killed, or the node ends; it logs to log/SERVICE.log."""
        self._control.start(service, argv, {**plain_environment(), **(extra_env or {})})

    def kill_service(self, service: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal a service; waits for its end where the signal is to end it."""
        self._control.send(service, number)
        if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            what = f"{service} of {self.name} to end after {number.name}"
            wait_until(lambda: not self._is_running(service), _STOP_TIMEOUT_S, what)

    def wait_plugin_exit(self, timeout_s: float = _STOP_TIMEOUT_S) -> int:
        """Its exit code (-N: ended by signal N), once it has ended by itself."""
        wait_until(lambda: not self._is_running(PLUGIN), timeout_s, f"the plugin of {self.name} to end")
        code = self._control.states()[PLUGIN].exit
        assert code is not None  # not running means that it was collected
        return code

    def log_text(self, service: str) -> str:
        """What `libvirtd`, `plugin`, `forwarder` or `init` wrote since the lab began."""
        file = self.paths.log / f"{service}.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def _start_init(self) -> None:
        with socket.create_server(("127.0.0.1", self.tcp_port)) as listener:
            self.tcp_port = listener.getsockname()[1]
            handles = [listener.fileno()] + ([self.owner_fd] if self.owner_fd is not None else [])
            places = {"control": self.paths.control, "log": self.paths.log, "directory": self.spec.path}
            # A /dev/kvm that root alone can open would make libvirt probe QEMU anew at every define, for four seconds each.
            has_kvm = self.spec.qemu_user is QemuUser.ROOT
            boot = Boot(
                self.name,
                binds=self.paths.binds,
                listener_fd=handles[0],
                owner_fd=self.owner_fd,
                has_kvm=has_kvm,
                **places,
            )
            self.paths.boot.write_text(boot.to_json())
            self.paths.control.unlink(missing_ok=True)
            argv = isolate(
                ["--mount", "--net", "--uts", "--mount-proc"], module_command("tools.lab.init", str(self.paths.boot))
            )
            record, log = self.spec.path / "pids" / self.name, self.paths.log / "init.log"
            outer = spawn_recorded(argv, record, log, pass_fds=handles)
        try:
            wait_until(lambda: self._control.is_ready() or not outer.is_alive(), 20, f"{self.name} to boot")
            self._control.states()
        except LabError as error:
            raise LabError(f"{self.name} did not boot: {error}; {self._tail('init')}") from error

    def _wait_serving(self, service: str, path: Path) -> None:
        def is_decided() -> bool:
            return _accepts(path) or not self._is_running(service)

        wait_until(is_decided, _START_TIMEOUT_S, f"{service} of {self.name} to accept at {path}; {self._tail(service)}")
        state = self._control.states()[service]
        if state.exit is not None:
            raise LabError(f"{service} of {self.name} ended with {state.exit}; {self._tail(service)}")

    def _is_running(self, service: str) -> bool:
        state = self._control.states().get(service)
        return state is not None and state.exit is None

    def _service_pid(self, service: str) -> int:
        state = self._control.states().get(service)
        if state is None or state.exit is not None:
            raise LabError(f"{service} of {self.name} is not running")
        return outer_pid(self.init, state.pid)

    def _ask_agent(self, domain: str, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        request = json.dumps({"execute": command, "arguments": arguments})
        answer: dict[str, Any] = json.loads(self.virsh(*_AGENT_COMMAND, domain, request))["return"]
        return answer

    def _tail(self, service: str) -> str:
        tail = self.log_text(service)[-_LOG_TAIL_BYTES:].strip()
        return f"{self.paths.log / service}.log ends with: {tail or '(nothing)'}"


def end_recorded(record: Path) -> None:
    """Kill a recorded process tree and wait for its end. Harmless when it is gone or was never started."""
    outer = read_record(record) if record.exists() else None
    if outer is None:
        return
    # Stopped first, so that it cannot fork between the look at its children and its end.
    outer.send(signal.SIGSTOP)
    inner = children_of(outer)
    for process in [*inner, outer]:
        process.send(signal.SIGKILL)
    for process in [*inner, outer]:
        process.wait_gone(_STOP_TIMEOUT_S)
    reap()


def _accepts(path: Path) -> bool:
    if not os.path.exists(path):
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
