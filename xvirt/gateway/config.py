"""The gateway's config file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

from xvirt.model.errors import Problem
from xvirt.model.fields import Format, Mutability, Rule, field
from xvirt.process.config import ClientTlsConfig, find_unreadable, is_address, read_config
from xvirt.process.logs import LogFormat, LogLevel

KIND = "GatewayConfig"
RESTART = Mutability.RESTART


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServingConfig:
    """The certificate that is shown to the API server: its name is `SERVICE.NAMESPACE.svc`. Read again when the files change."""

    certificate: str = field("Certificate, PEM.", RESTART, format=Format.HOST_PATH, max_length=4096)
    key: str = field("Private key, PEM.", RESTART, format=Format.HOST_PATH, max_length=4096)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeaseConfig:
    """The operator's Lease; its transitions are the epoch of every call to a node."""

    namespace: str = field(
        "Namespace of the Lease.", RESTART, default="xvirt-system", format=Format.LABEL, max_length=63
    )
    name: str = field("Name of the Lease.", RESTART, default="xvirt-operator", format=Format.LABEL, max_length=63)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    """Everything that an administrator decides about the gateway."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda config: is_address(config.listen),
            "",
            "is no address:port; write 0.0.0.0:8443 or [::]:8443",
            "listen",
        ),
        Rule(
            lambda config: not config.metrics_listen or is_address(config.metrics_listen),
            "",
            'is no address:port; write 127.0.0.1:9179, or "" for none',
            "metricsListen",
        ),
    )

    listen: str = field("`address:port` for the API server's calls.", RESTART, default="0.0.0.0:8443")
    tls: ServingConfig = field("The certificate that is served.", RESTART)
    nodes: ClientTlsConfig = field("The certificate that nodes are called with.", RESTART)
    lease: LeaseConfig = field("The operator's Lease.", RESTART, default=LeaseConfig)
    kubeconfig: str | None = field(
        "Kubeconfig file; absent: the pod's own account.",
        RESTART,
        default=None,
        format=Format.HOST_PATH,
        max_length=4096,
    )
    drain_seconds: int = field(
        "How long it serves on after SIGTERM, not ready, until nobody sends it requests any more.",
        RESTART,
        default=5,
        unit="s",
        minimum=0,
        maximum=300,
    )
    metrics_listen: str = field(
        "`address:port` for /metrics, /livez and /readyz over HTTP, which anybody who reaches it may read; empty: none.",
        RESTART,
        default="127.0.0.1:9179",
    )
    log_format: LogFormat = field("How log lines look.", RESTART, default=LogFormat.TEXT)
    log_level: LogLevel = field("What is logged: this and what is worse.", RESTART, default=LogLevel.INFO)


def load_config(path: Path) -> GatewayConfig:
    """Read and check a config file. Raises InvalidSpec with every mistake."""
    return read_config(path, GatewayConfig, KIND, _check_files)


def _check_files(config: GatewayConfig) -> list[Problem]:
    files = [
        ("tls.certificate", config.tls.certificate),
        ("tls.key", config.tls.key),
        ("nodes.certificate", config.nodes.certificate),
        ("nodes.key", config.nodes.key),
        ("nodes.ca", config.nodes.ca),
    ]
    return find_unreadable(files + ([("kubeconfig", config.kubeconfig)] if config.kubeconfig else []))
