"""A whole dev cluster: control plane, xVirt's kinds and rules, hosts, operator and gateway, brought up and taken down as one."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tools.cluster.api import Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.errors import ClusterError
from tools.cluster.hosts import HostsSpec, end_hosts, lab_directory, parse_hosts, start_hosts
from tools.cluster.install import install_base, wait_for_policies
from tools.cluster.nodes import add_nodes
from tools.cluster.processes import GATEWAY, OPERATOR, ProcessSpec, start_gateway, start_operator
from tools.cluster.services import Services, wait_for
from tools.cluster.spec import ControlPlaneSpec, Lifetime
from tools.lab.spec import BASE_DIRECTORY

STATE_FILE = "cluster.json"
LOCK_FILE = "lock"
_HOST_TIMEOUT_S = 90.0

Tell = Callable[[str], None]


def default_directory() -> Path:
    """Of a user's only cluster: root's where the labs are, another user's with the user's state."""
    if os.geteuid() == 0:
        return BASE_DIRECTORY / "cluster"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "xvirt" / "cluster"


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs in `directory`."""

    directory: Path
    hosts: HostsSpec

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.directory / "kubeconfig"


def bring_up(directory: Path, hosts: HostsSpec, lifetime: Lifetime = Lifetime.DETACHED, tell: Tell = print) -> Cluster:
    """Start everything, and return when each host is Ready. One that runs already with the same hosts is left as it is.

    Raises ClusterError, LabError, GoBuildError; then nothing of it runs.
    """
    _claim(directory)
    with _locked(directory):
        running = _find(directory)
        if running is not None:
            if running.hosts != hosts:
                raise ClusterError(
                    f"a cluster with {running.hosts} runs in {directory}; end it first with `./dev cluster down`"
                )
            tell("the cluster was up already")
            return running
        _clear(directory)
        try:
            _build(directory, hosts, lifetime, tell)
            _hand_over(directory)
        except BaseException:
            _end(directory)  # logs stay, for whoever asks why
            raise
    return Cluster(directory, hosts)


def take_down(directory: Path) -> bool:
    """End a cluster, or what a crash left of it, and remove its directory. False where there is none."""
    if not directory.exists():
        return False
    _check_is_cluster(directory)
    with _locked(directory):
        _clear(directory)
        shutil.rmtree(directory)
    if directory.parent == BASE_DIRECTORY and not any(BASE_DIRECTORY.iterdir()):
        BASE_DIRECTORY.rmdir()
    return True


def _build(directory: Path, hosts: HostsSpec, lifetime: Lifetime, tell: Tell) -> None:
    tell("starting the control plane")
    plane = ControlPlane.up(ControlPlaneSpec(directory, lifetime))
    tell(f"starting hosts: {hosts}")
    with ThreadPoolExecutor(1) as pool:  # the API server takes some seconds to compile the policies
        installing = pool.submit(install_base, plane.api)
        started = start_hosts(plane, hosts)
        installing.result()
    add_nodes(plane.api, started.nodes)
    tell("starting operator and gateway")
    start_operator(plane, ProcessSpec(OPERATOR, started.pki))
    start_gateway(plane, ProcessSpec(GATEWAY, started.pki))
    for node in started.nodes:
        what = f"VirtualHost {node.name} to be Ready; see {plane.services.log(OPERATOR)}"
        wait_for(partial(is_host_ready, plane, node.name), _HOST_TIMEOUT_S, what)
    wait_for_policies(plane.api)
    partial_file = directory / f"{STATE_FILE}.new"
    partial_file.write_text(json.dumps({"hosts": str(hosts)}))
    partial_file.rename(directory / STATE_FILE)


def _hand_over(directory: Path) -> None:
    """Who came through sudo uses the cluster as himself: he is given the kubeconfig, and the way to it."""
    owner, group = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if os.geteuid() == 0 and owner and group:
        directory.chmod(0o711)
        os.chown(directory / "kubeconfig", int(owner), int(group))


def is_host_ready(plane: ControlPlane, name: str) -> bool:
    """Whether the operator has found a host, and the host is well."""
    named: Json = {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualHost", "metadata": {"name": name}}
    host = plane.api.find(named) or {}
    conditions = host.get("status", {}).get("conditions", ())
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _find(directory: Path) -> Cluster | None:
    """The cluster that was brought up here; None where there is none. Raises ClusterError where parts of one are gone."""
    file = directory / STATE_FILE
    if not file.exists():
        return None
    services = Services(directory, Lifetime.DETACHED)
    names = sorted(record.name for record in (directory / "pids").iterdir() if record.suffix != ".new")
    dead = [name for name in names if not services.is_running(name)]
    if len(dead) == len(names):
        return None  # the machine was restarted
    if dead:
        raise ClusterError(
            f"{', '.join(dead)} of the cluster in {directory} ended (see logs there); `./dev cluster down` ends the rest"
        )
    return Cluster(directory, parse_hosts(json.loads(file.read_text())["hosts"]))


def _end(directory: Path) -> None:
    """End all processes."""
    Services(directory, Lifetime.DETACHED).kill_all()
    if lab_directory(directory).exists():
        end_hosts(directory)


def _clear(directory: Path) -> None:
    _end(directory)
    for entry in directory.iterdir():
        if entry.name != LOCK_FILE:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _claim(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        _check_is_cluster(directory)
    (directory / LOCK_FILE).touch()


def _check_is_cluster(directory: Path) -> None:
    is_ours = (directory / LOCK_FILE).is_file() and directory.stat().st_uid == os.geteuid()
    if directory.is_symlink() or not is_ours:
        message = f"{directory} holds something that is not a cluster of yours"
        raise ClusterError(f"{message}; choose another directory or remove it yourself")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    with (directory / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"another process is bringing the cluster in {directory} up or down; wait for it"
            raise ClusterError(message) from error
        yield


def say(text: str) -> None:
    """Progress, for people."""
    print(f"# {text}", file=sys.stderr, flush=True)
