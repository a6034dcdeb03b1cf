"""Flags of each part."""

from __future__ import annotations

from pathlib import Path

from tools.cluster.pki import SERVICE_IP
from tools.cluster.spec import LOOPBACK, ControlPlaneSpec, NodeWatch, Ports
from tools.controlplane import Part

_SERVICE_RANGE = f"{SERVICE_IP.rpartition('.')[0]}.0/24"
# Their defaults spare a large cluster's API server; here they would be what a benchmark measures.
_CLIENT_QPS, _CLIENT_BURST = 1000, 2000
_SCHEDULER_CONFIG = f"""apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {{kubeconfig: "%s", qps: {_CLIENT_QPS}, burst: {_CLIENT_BURST}}}
leaderElection: {{leaderElect: false}}
"""


def flags_of(part: Part, spec: ControlPlaneSpec, ports: Ports) -> list[str]:
    """What follows the program's name; writes the scheduler's config file."""
    directory = spec.directory
    match part:
        case Part.ETCD:
            return _etcd(directory, ports)
        case Part.API_SERVER:
            return [*_api_server(directory, ports), *spec.api_server_flags]
        case Part.CONTROLLER_MANAGER:
            return _controller_manager(directory, ports, spec.node_watch)
        case Part.SCHEDULER:
            return _scheduler(directory, ports)


def _etcd(directory: Path, ports: Ports) -> list[str]:
    pki = directory / "pki"
    client, peer = f"https://{LOOPBACK}:{ports.etcd}", f"https://{LOOPBACK}:{ports.etcd_peer}"
    return [
        f"--data-dir={directory / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--client-cert-auth=true",
        "--peer-client-cert-auth=true",
        *(f"--{kind}trusted-ca-file={pki / 'etcd-ca.crt'}" for kind in ("", "peer-")),
        *(f"--{kind}cert-file={pki / 'etcd-server.crt'}" for kind in ("", "peer-")),
        *(f"--{kind}key-file={pki / 'etcd-server.key'}" for kind in ("", "peer-")),
        # What a crash of the machine would lose is worth nothing here, and each write waits for it.
        "--unsafe-no-fsync=true",
        "--log-level=warn",
    ]


def _api_server(directory: Path, ports: Ports) -> list[str]:
    pki = directory / "pki"
    return [
        f"--etcd-servers=https://{LOOPBACK}:{ports.etcd}",
        f"--etcd-cafile={pki / 'etcd-ca.crt'}",
        f"--etcd-certfile={pki / 'etcd-client.crt'}",
        f"--etcd-keyfile={pki / 'etcd-client.key'}",
        f"--bind-address={LOOPBACK}",
        f"--advertise-address={LOOPBACK}",
        f"--secure-port={ports.api_server}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        "--authorization-mode=Node,RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        f"--service-cluster-ip-range={_SERVICE_RANGE}",
        "--endpoint-reconciler-type=none",
        "--allow-privileged=true",
        f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-uid-headers=X-Remote-Uid",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki / 'front-proxy-client.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy-client.key'}",
        "--profiling=false",
    ]


def _controller_manager(directory: Path, ports: Ports, watch: NodeWatch) -> list[str]:
    pki = directory / "pki"
    return [
        *_kubeconfigs(directory / "controller-manager.kubeconfig"),
        f"--kubeconfig={directory / 'controller-manager.kubeconfig'}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={ports.controller_manager}",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--service-account-private-key-file={pki / 'sa.key'}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        f"--node-monitor-grace-period={watch.grace_s:g}s",
        f"--node-monitor-period={watch.look_interval_s:g}s",
        f"--namespace-sync-period={watch.namespace_sync_s:g}s",
        f"--kube-api-qps={_CLIENT_QPS}",
        f"--kube-api-burst={_CLIENT_BURST}",
        "--profiling=false",
    ]


def _scheduler(directory: Path, ports: Ports) -> list[str]:
    config = directory / "scheduler.yaml"
    config.write_text(_SCHEDULER_CONFIG % (directory / "scheduler.kubeconfig"))
    return [
        f"--config={config}",
        *_kubeconfigs(directory / "scheduler.kubeconfig"),
        f"--bind-address={LOOPBACK}",
        f"--secure-port={ports.scheduler}",
    ]


def _kubeconfigs(file: Path) -> list[str]:
    return [f"--authentication-kubeconfig={file}", f"--authorization-kubeconfig={file}"]
