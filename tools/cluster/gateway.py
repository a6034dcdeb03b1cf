"""The gateway as a part of a cluster: its rights, certificate, process, and the API server's knowledge of it."""

from __future__ import annotations

import base64
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

from tools.cluster.api import Api, Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.errors import ClusterError
from tools.cluster.install import REPOSITORY
from tools.cluster.pki import CLUSTER, Identity, issue
from tools.cluster.services import wait_for
from tools.cluster.spec import LOOPBACK
from xvirt.wire.certificates import TlsFiles

NAME = "xvirt-gateway"
NAMESPACE = "xvirt-system"
ACCOUNT = Identity(f"system:serviceaccount:{NAMESPACE}:{NAME}", ("system:serviceaccounts", "system:authenticated"))
SERVICE_NAME = f"{NAME}.{NAMESPACE}.svc"
_RIGHTS = REPOSITORY / "deploy" / "kustomize" / "gateway" / "rights.yaml"
_TIMEOUT_S = 90.0
"""The API server looks at an aggregated API about every 30 s; the first look may come too early."""
_API_SERVICE = {
    "apiVersion": "apiregistration.k8s.io/v1",
    "kind": "APIService",
    "metadata": {"name": "v1alpha1.subresources.xvirt.io"},
}


@dataclass(frozen=True)
class GatewaySpec:
    """`node_tls`: what it calls nodes with. `ports`: where it serves, and where its metrics are."""

    node_tls: TlsFiles
    ports: tuple[int, int]


def start_gateway(plane: ControlPlane, spec: GatewaySpec) -> None:
    """Start it under the account that deploy/kustomize/gateway gives it, until the API server passes requests on to it. Raises ClusterError."""
    grant_rights(plane.api)
    run_gateway(plane, spec)
    register(plane, spec.ports[0])


def grant_rights(api: Api) -> None:
    """The account's roles, as they are deployed."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    if api.find(namespace) is None:
        api.create(namespace)
    for document in yaml.safe_load_all(_RIGHTS.read_text()):
        api.apply(document, manager="xvirt-install", force=True)


def run_gateway(plane: ControlPlane, spec: GatewaySpec) -> None:
    """Start the process and wait until it is ready."""
    config = plane.spec.directory / f"{NAME}.yaml"
    config.write_text(yaml.safe_dump(_config(plane, spec), sort_keys=False))
    plane.services.start(NAME, [str(program()), "--config", str(config)])
    plane.services.wait(NAME, partial(_is_ready, spec.ports[1]), _TIMEOUT_S)


def program() -> Path:
    """The environment's `xvirt-gateway`. Raises ClusterError."""
    found = Path(sys.executable).with_name(NAME)
    if not found.exists():
        raise ClusterError(f"{found} is missing; run ./dev setup")
    return found


def _config(plane: ControlPlane, spec: GatewaySpec) -> Json:
    certificate, key = _serving_pair(plane.spec.directory / "pki")
    files = spec.node_tls
    return {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "GatewayConfig",
        "listen": f"{LOOPBACK}:{spec.ports[0]}",
        "metricsListen": f"{LOOPBACK}:{spec.ports[1]}",
        "tls": {"certificate": str(certificate), "key": str(key)},
        "nodes": {"certificate": str(files.certificate), "key": str(files.key), "ca": str(files.ca)},
        "kubeconfig": str(plane.kubeconfig_for(NAME, ACCOUNT)),
        "drainSeconds": 0,
    }


def _serving_pair(pki: Path) -> tuple[Path, Path]:
    pair = pki / f"{NAME}.crt", pki / f"{NAME}.key"
    if not all(file.exists() for file in pair):
        issue(pki, NAME, CLUSTER, Identity(NAME), (SERVICE_NAME, "localhost", LOOPBACK))
    return pair


def register(plane: ControlPlane, port: int) -> None:
    """Have the API server pass requests on: to a name of this machine, where the Service of a real cluster has pods."""
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    ca = (plane.spec.directory / "pki" / f"{CLUSTER}.crt").read_bytes()
    spec = {
        "group": "subresources.xvirt.io",
        "version": "v1alpha1",
        "groupPriorityMinimum": 1000,
        "versionPriority": 10,
        "caBundle": base64.b64encode(ca).decode(),
        "service": {"name": NAME, "namespace": NAMESPACE, "port": port},
    }
    plane.api.apply(service, manager="xvirt-install", force=True)
    plane.api.apply({**_API_SERVICE, "spec": spec}, manager="xvirt-install", force=True)
    wait_for(lambda: is_available(plane.api), _TIMEOUT_S, "the API server to find the gateway")


def unregister(api: Api) -> None:
    """Take it away: an APIService whose server does not answer keeps every namespace from being deleted."""
    if api.find(_API_SERVICE) is not None:
        api.delete(_API_SERVICE)


def is_available(api: Api) -> bool:
    """Whether the API server says that the gateway answers."""
    found = api.find(_API_SERVICE) or {}
    conditions = (found.get("status") or {}).get("conditions") or ()
    return any(item["type"] == "Available" and item["status"] == "True" for item in conditions)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/readyz", timeout=5.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
