"""xVirt's own processes beside a control plane: operator and gateway, with the accounts and rights that they have in a cluster."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tools.cluster.api import Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.pki import CLUSTER, Identity, issue
from tools.cluster.spec import LOOPBACK, free_ports
from tools.lab.node import module_command
from xvirt import API_VERSION

NAMESPACE = "xvirt-system"
OPERATOR, GATEWAY = "xvirt-operator", "xvirt-gateway"
_READY_TIMEOUT_S = 60.0
_ANSWER_TIMEOUT_S = 2.0
_HOLDER_IMAGE = "registry.example.org/xvirt/holder:v0.1.0"
_MODULES = {OPERATOR: "xvirt.operator.main", GATEWAY: "xvirt.gateway.main"}


@dataclass(frozen=True)
class ProcessSpec:
    """One process. `pki` has `ca.crt` of the nodes, and the client's certificate and key under the name of `program`.

    `name` tells several of one program apart; `settings` are laid over the config.
    """

    program: str
    pki: Path
    name: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Started:
    """A process that is ready: its service's name, and where it is watched (`/readyz`, `/metrics`) and serves."""

    name: str
    monitor: str
    listen: str = ""

    def metrics(self) -> str:
        """Its /metrics. Raises OSError."""
        return _fetch(f"http://{self.monitor}/metrics")

    def is_ready(self) -> bool:
        """Whether it says so."""
        try:
            _fetch(f"http://{self.monitor}/readyz")
        except (OSError, urllib.error.URLError):
            return False
        return True


def account(program: str) -> Identity:
    """Of a program in the cluster, as its pod would have it."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}")
    return Identity(f"system:serviceaccount:{NAMESPACE}:{program}", groups)


def start_operator(plane: ControlPlane, spec: ProcessSpec) -> Started:
    """Start an operator, and wait until its caches are whole. Raises ClusterError with its log."""
    (monitor,) = _addresses(1)
    config = {
        "kind": "OperatorConfig",
        "tls": _node_tls(spec),
        "lease": {"namespace": NAMESPACE},
        "holder": {"image": _HOLDER_IMAGE},
        "listen": monitor,
    }
    return _start(plane, spec, config, Started(spec.name or spec.program, monitor))


def start_gateway(plane: ControlPlane, spec: ProcessSpec) -> Started:
    """Start a gateway and have the API server send it what is for `subresources.xvirt.io`. Raises ClusterError with its log."""
    listen, monitor = _addresses(2)
    name, pki = spec.name or spec.program, plane.spec.directory / "pki"
    served = (f"{GATEWAY}.{NAMESPACE}.svc", "localhost")
    certificate, key = issue(pki, f"serving-{name}", CLUSTER, Identity(GATEWAY), served)
    config = {
        "kind": "GatewayConfig",
        "listen": listen,
        "tls": {"certificate": str(certificate), "key": str(key)},
        "nodes": _node_tls(spec),
        "lease": {"namespace": NAMESPACE},
        "metricsListen": monitor,
    }
    started = _start(plane, spec, config, Started(name, monitor, listen))
    for document in aggregation(int(listen.rpartition(":")[2]), pki / f"{CLUSTER}.crt"):
        plane.api.apply(document, manager="xvirt-install", force=True)
    return started


def aggregation(port: int, ca: Path) -> list[Json]:
    """What makes the API server call a gateway on this machine: it cannot reach a Service's address, but a name."""
    metadata = {"name": GATEWAY, "namespace": NAMESPACE}
    service = {"type": "ExternalName", "externalName": "localhost", "ports": [{"name": "https", "port": port}]}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": "v1alpha1.subresources.xvirt.io"},
            "spec": {
                "group": "subresources.xvirt.io",
                "version": "v1alpha1",
                "groupPriorityMinimum": 1000,
                "versionPriority": 10,
                "caBundle": base64.b64encode(ca.read_bytes()).decode(),
                "service": {**metadata, "port": port},
            },
        },
    ]


def _start(plane: ControlPlane, spec: ProcessSpec, config: dict[str, Any], started: Started) -> Started:
    directory = plane.spec.directory
    kubeconfig = plane.kubeconfig_for(spec.program, account(spec.program))
    file = directory / f"{started.name}.yaml"
    whole = {"apiVersion": API_VERSION, "kubeconfig": str(kubeconfig), **config, **spec.settings}
    file.write_text(yaml.safe_dump(whole, sort_keys=False))
    plane.services.start(started.name, module_command(_MODULES[spec.program], "--config", str(file)))
    plane.services.wait(started.name, started.is_ready, _READY_TIMEOUT_S)
    return started


def _addresses(count: int) -> list[str]:
    return [f"{LOOPBACK}:{port}" for port in free_ports(count)]


def _node_tls(spec: ProcessSpec) -> dict[str, str]:
    pair = {"certificate": f"{spec.program}.crt", "key": f"{spec.program}.key", "ca": "ca.crt"}
    return {name: str(spec.pki / file) for name, file in pair.items()}


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=_ANSWER_TIMEOUT_S) as answer:
        text: str = answer.read().decode()
    return text
