"""A real control plane on loopback: etcd, API server, controller manager, scheduler, and a fake kubelet for its nodes."""

from __future__ import annotations

import functools
import json
import shutil
import socket
from pathlib import Path
from types import TracebackType

from tools.cluster.api import Api
from tools.cluster.commands import flags_of
from tools.cluster.errors import ClusterError
from tools.cluster.kubeconfigs import write_kubeconfig
from tools.cluster.pki import CLIENTS, CLUSTER, Identity, issue, make_pki
from tools.cluster.services import Services, wait_for
from tools.cluster.spec import LOOPBACK, ControlPlaneSpec, Ports, choose_ports, read_spec
from tools.controlplane import Part, Programs, find_programs
from tools.lab.node import module_command

STATE_FILE = "controlplane.json"
_START_TIMEOUT_S = 90.0
"""On two busy cores the API server takes some 10 s; alone 3 s."""
_ATTEMPTS = 3
KUBELET = "kubelet"


class ControlPlane:
    """One control plane. Made by `up` or `attach`; a context manager that takes it down."""

    def __init__(self, spec: ControlPlaneSpec, ports: Ports, programs: Programs | None = None) -> None:
        self.spec = spec
        self.ports = ports
        self.services = Services(spec.directory, spec.lifetime)
        self._programs = programs

    @classmethod
    def up(cls, spec: ControlPlaneSpec) -> ControlPlane:
        """Start all parts, until the API server answers and the default namespace can have pods.

        What was started ends again where it fails. Raises ClusterError, GoBuildError.
        """
        programs = find_programs()
        spec.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_pki(spec.directory / "pki")
        for attempt in range(_ATTEMPTS):
            plane = cls(spec, choose_ports(), programs)
            try:
                plane._start_all()
            except BaseException as error:
                plane.services.kill_all()
                is_taken = isinstance(error, ClusterError) and "address already in use" in str(error)
                if not is_taken or attempt == _ATTEMPTS - 1:
                    raise
                shutil.rmtree(spec.directory / "etcd", ignore_errors=True)
            else:
                return plane
        raise AssertionError("the last attempt raises or returns")

    @classmethod
    def attach(cls, directory: Path) -> ControlPlane:
        """The one that was brought up in `directory`, by whomever. Raises ClusterError where there is none."""
        file = directory / STATE_FILE
        if not file.exists():
            raise ClusterError(f"no cluster is in {directory}; start one with `./dev cluster up`")
        return cls(*read_spec(directory, json.loads(file.read_text())))

    @property
    def url(self) -> str:
        """Of the API server."""
        return f"https://{LOOPBACK}:{self.ports.api_server}"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.spec.directory / "kubeconfig"

    @functools.cached_property
    def api(self) -> Api:
        """Calls as the administrator."""
        return Api(self.kubeconfig)

    @functools.cached_property
    def uid(self) -> str:
        """The cluster's identity: the UID of kube-system."""
        return str(self.api.call("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"])

    def kubeconfig_for(self, name: str, identity: Identity) -> Path:
        """`NAME.kubeconfig` of another user, made once. A service account is the user `system:serviceaccount:NAMESPACE:NAME`."""
        target = self.spec.directory / f"{name}.kubeconfig"
        if not target.exists():
            pair = issue(self.spec.directory / "pki", f"user-{name}", CLUSTER, identity)
            write_kubeconfig(target, self.url, self.spec.directory / "pki" / f"{CLUSTER}.crt", *pair)
        return target

    # parts

    def start(self, part: Part) -> None:
        """Start a part over what it left, and wait until it serves."""
        if self._programs is None:
            self._programs = find_programs()
        argv = [*self._programs.commands[part], *flags_of(part, self.spec, self.ports)]
        self.services.start(part, argv)
        self.services.wait(part, functools.partial(self._is_serving, part), _START_TIMEOUT_S)

    def start_kubelet(self) -> None:
        """Start the process that stands in for all kubelets; the end of its log tells what it could not do."""
        interval = f"--lease-interval={self.spec.node_watch.lease_interval_s}"
        kubeconfig = str(self.spec.directory / "kubelet.kubeconfig")
        self.services.start(KUBELET, module_command("tools.cluster.kubelet", kubeconfig, interval))

    def restart(self, part: Part) -> None:
        """Kill it and start it."""
        self.services.kill(part)
        self.start(part)

    def is_up(self) -> bool:
        """Whether every part runs."""
        return all(self.services.is_running(part) for part in Part)

    def down(self) -> None:
        """End all processes and remove the directory."""
        self.services.kill_all()
        shutil.rmtree(self.spec.directory)

    def __enter__(self) -> ControlPlane:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def _start_all(self) -> None:
        directory = self.spec.directory
        ca = directory / "pki" / f"{CLUSTER}.crt"
        for name in CLIENTS:
            target = self.kubeconfig if name == "admin" else directory / f"{name}.kubeconfig"
            write_kubeconfig(target, self.url, ca, directory / "pki" / f"{name}.crt", directory / "pki" / f"{name}.key")
        for part in Part:
            self.start(part)
        self.start_kubelet()
        wait_for(self._can_have_pods, _START_TIMEOUT_S, "the service account of namespace default")
        partial = directory / f"{STATE_FILE}.new"
        partial.write_text(json.dumps(self.spec.to_json(self.ports)))
        partial.rename(directory / STATE_FILE)

    def _is_serving(self, part: Part) -> bool:
        match part:
            case Part.ETCD:
                return _accepts(self.ports.etcd)
            case Part.API_SERVER:
                return self.api.is_ready()
            case Part.CONTROLLER_MANAGER:
                return _accepts(self.ports.controller_manager)
            case Part.SCHEDULER:
                return _accepts(self.ports.scheduler)

    def _can_have_pods(self) -> bool:
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": "default"},
        }
        return self.api.find(account) is not None


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0
