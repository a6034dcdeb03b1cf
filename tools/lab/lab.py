"""A lab: a fabric and its nodes, brought up and taken down as one."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tools.lab.errors import LabError
from tools.lab.fabric import build_bridge
from tools.lab.node import Node, end_recorded, isolate, module_command
from tools.lab.processes import Process, children_of, read_record, spawn_recorded, wait_until
from tools.lab.settings import CLIENT_NAME, CLUSTER_CLIENTS, STACKS_CLIENT_NAME
from tools.lab.spec import BASE_DIRECTORY, Accelerator, LabSpec, Lifetime, Services

_STATE_FILE = "lab.json"
_LOCK_FILE = "lock"
_FABRIC = "fabric"
_NEEDED = {"libvirtd": "libvirt-daemon-system", "qemu-system-x86_64": "qemu-system-x86", "ip": "iproute2"}


@dataclass
class Lab:
    """A running lab. Made by `Lab.up` or `Lab.attach`; a context manager that takes it down."""

    spec: LabSpec
    nodes: dict[str, Node]
    _owner_pipe: tuple[int, int] | None = None

    @classmethod
    def up(cls, spec: LabSpec | None = None) -> "Lab":
        """Bring a lab up. Whatever interrupts it, what was started is ended. Raises LabError, also when it is up already."""
        spec = spec or LabSpec()
        _check_machine()
        _claim_directory(spec.path)
        with _locked(spec.path):
            if is_up(spec.path):
                raise LabError(f"lab {spec.name} is up already in {spec.path}; end it with `./dev lab down`")
            _clear(spec.path)
            lab = cls(spec, {}, os.pipe2(os.O_CLOEXEC) if spec.lifetime is Lifetime.OWNER else None)
            try:
                lab._build()
            except BaseException:
                lab._end()
                raise
        return lab

    @classmethod
    def attach(cls, directory: Path) -> "Lab":
        """The lab that runs over `directory`, whoever brought it up. Raises LabError when there is none."""
        if not is_up(directory):
            raise LabError(f"no lab runs in {directory}; start one with `./dev lab up`")
        state = json.loads((directory / _STATE_FILE).read_text())
        spec = LabSpec(
            name=state["name"],
            nodes=len(state["tcp_ports"]),
            directory=directory,
            lifetime=Lifetime(state["lifetime"]),
            services=Services(state["services"]),
            accelerator=Accelerator(state["accelerator"]),
            cluster=state["cluster"],
        )
        fabric = _fabric_process(directory)
        nodes = {
            name: Node(spec, index, fabric, tcp_port=state["tcp_ports"][name])
            for index, name in enumerate(spec.node_names)
        }
        return cls(spec, nodes)

    @property
    def pki(self) -> Path:
        """Where the lab's CA and certificates are (`ca.crt`, `admin.crt`, `admin.key`, ...)."""
        return self.spec.path / "pki"

    @property
    def shared(self) -> Path:
        """A directory that every node sees at this same path."""
        return self.spec.path / "shared"

    def client_environment(self, node: str) -> dict[str, str]:
        """What `xvirt` needs to talk to a node over mutual TLS."""
        return {
            "XVIRT_NODE": f"tcp://{self.nodes[node].tls_address}",
            "XVIRT_NODE_NAME": node,
            "XVIRT_TLS_CA": str(self.pki / "ca.crt"),
            "XVIRT_TLS_CERT": str(self.pki / f"{CLIENT_NAME}.crt"),
            "XVIRT_TLS_KEY": str(self.pki / f"{CLIENT_NAME}.key"),
        }

    def down(self) -> None:
        """End everything and remove the directory. Harmless when it is down."""
        if self.spec.path.exists():
            with _locked(self.spec.path):
                self._end()

    def __enter__(self) -> "Lab":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def _build(self) -> None:
        self.shared.mkdir(exist_ok=True)
        if self.spec.services is Services.ALL:
            self._make_certificates()
        fabric = self._start_fabric()
        owner_fd = self._owner_pipe[0] if self._owner_pipe else None
        for index, name in enumerate(self.spec.node_names):
            node = Node(self.spec, index, fabric, owner_fd)
            node.boot()
            self.nodes[name] = node
        self._write_state()

    def _make_certificates(self) -> None:
        # Imported here: a lab without plugins does not need the product.
        from xvirt.client.pki import init_pki

        clients = [CLIENT_NAME, STACKS_CLIENT_NAME, *(CLUSTER_CLIENTS if self.spec.cluster else ())]
        init_pki(self.pki, nodes=self.spec.node_names, clients=clients)

    def _start_fabric(self) -> Process:
        handles = [self._owner_pipe[0]] if self._owner_pipe else []
        argv = isolate(["--net"], module_command("tools.lab.hold", str(self.spec.path), *map(str, handles)))
        record = self.spec.path / "pids" / _FABRIC
        spawn_recorded(argv, record, self.spec.path / "fabric.log", pass_fds=handles)
        wait_until(lambda: _has_fabric(self.spec.path), 10, f"the fabric of lab {self.spec.name} to start")
        fabric = _fabric_process(self.spec.path)
        build_bridge(fabric)
        return fabric

    def _write_state(self) -> None:
        state = {
            "name": self.spec.name,
            "services": self.spec.services,
            "lifetime": self.spec.lifetime,
            "accelerator": self.spec.accelerator,
            "cluster": self.spec.cluster,
            "tcp_ports": {name: node.tcp_port for name, node in self.nodes.items()},
        }
        partial = self.spec.path / f"{_STATE_FILE}.new"
        partial.write_text(json.dumps(state))
        partial.rename(self.spec.path / _STATE_FILE)

    def _end(self) -> None:
        _remove(self.spec.path)
        if self._owner_pipe:
            for handle in self._owner_pipe:
                os.close(handle)
            self._owner_pipe = None


def take_down(directory: Path) -> bool:
    """End whatever a lab in `directory` left, also after a crash. False when there is nothing."""
    if not directory.exists():
        return False
    _check_is_lab(directory)
    with _locked(directory):
        _remove(directory)
    return True


def is_up(directory: Path) -> bool:
    """True when a lab was brought up completely and its first process still runs."""
    return (directory / _STATE_FILE).exists() and _has_fabric(directory)


def _has_fabric(directory: Path) -> bool:
    record = directory / "pids" / _FABRIC
    fabric = read_record(record) if record.exists() else None
    return fabric is not None and fabric.has_become("unshare") and bool(children_of(fabric))


def _fabric_process(directory: Path) -> Process:
    outer = read_record(directory / "pids" / _FABRIC)
    inner = children_of(outer) if outer else []
    if not inner:
        raise LabError(f"the fabric of the lab in {directory} is gone; run `./dev lab down`")
    return inner[0]


def _end_processes(directory: Path) -> None:
    """Nodes first, then the fabric."""
    records = sorted((directory / "pids").glob("*"), key=lambda record: record.name == _FABRIC)
    for record in records:
        if record.suffix != ".new":
            end_recorded(record)
            record.unlink()


def _clear(directory: Path) -> None:
    """End and remove what an earlier lab left, except the lock."""
    _end_processes(directory)
    # The node's mounts live in namespaces of their own. One here would mean that deleting reaches through it.
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    inside = [line.split()[4] for line in mounts if Path(line.split()[4]).is_relative_to(directory)]
    if inside:
        raise LabError(f"{directory} is not removed, since these mounts are in it: {', '.join(inside)}")
    for entry in directory.iterdir():
        if entry.name != _LOCK_FILE:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _remove(directory: Path) -> None:
    _clear(directory)
    shutil.rmtree(directory)
    if directory.parent == BASE_DIRECTORY and not any(BASE_DIRECTORY.iterdir()):
        BASE_DIRECTORY.rmdir()


def _claim_directory(directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    if any(directory.iterdir()):
        _check_is_lab(directory)
    (directory / _LOCK_FILE).touch()


def _check_is_lab(directory: Path) -> None:
    if directory.is_symlink() or not (directory / _LOCK_FILE).is_file() or directory.stat().st_uid != os.getuid():
        raise LabError(f"{directory} holds something that is not a lab; choose another directory or remove it yourself")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with (directory / _LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LabError(f"another process is bringing the lab in {directory} up or down; wait for it") from error
        yield


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise LabError("a lab needs root for its namespaces and libvirtd; run it through ./dev or sudo")
    missing = [package for program, package in _NEEDED.items() if shutil.which(program) is None]
    if missing:
        raise LabError(f"missing packages: {', '.join(missing)}; run ./dev setup")
