"""The node plugin's config file: YAML, checked whole before anything starts, each mistake with its line or path."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path
from typing import ClassVar

from nodeplugin.images.limits import DEFAULT_LIMITS
from nodeplugin.images.policy import PrivateAddresses
from xvirt.model.authority import LOCAL, STACKS, is_served
from xvirt.model.errors import Problem
from xvirt.model.fields import Format, Mutability, Rule, field
from xvirt.model.limits import VOLUME_MAX_BYTES, VOLUME_MIN_BYTES
from xvirt.model.quantity import ByteSize
from xvirt.process.config import find_unreadable, is_address, read_config
from xvirt.process.logs import LogFormat, LogLevel

FIXED = Mutability.RESTART
KIND = "NodeConfig"


class AcceleratorChoice(enum.Enum):
    """What guests run on; `auto` boots a probe."""

    AUTO = "auto"
    KVM = "kvm"
    TCG = "tcg"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DefaultPool:
    """The directory pool that the plugin makes where it is missing."""

    name: str = field("Name of the pool.", FIXED, default="default", format=Format.LABEL, max_length=63)
    path: str = field("Directory.", FIXED, default="/var/lib/xvirt/pool", format=Format.HOST_PATH, max_length=4096)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImagesConfig:
    """Where images may come from. Profile `privileged` may name any file and URL."""

    paths: tuple[str, ...] = field(
        "Folders that image files may lie in.",
        FIXED,
        default=("/var/lib/xvirt/images",),
        format=Format.HOST_PATH,
        max_items=100,
    )
    url_prefixes: tuple[str, ...] = field(
        "What image URLs must begin with; empty: any URL with a public address.",
        FIXED,
        default=(),
        format=Format.URL,
        max_items=100,
    )
    private_addresses: PrivateAddresses = field(
        "Whether URLs may lead to loopback, link-local and private addresses.", FIXED, default=PrivateAddresses.REFUSE
    )
    ca_bundle: str | None = field(
        "CAs beside the system's, PEM.", FIXED, default=None, format=Format.HOST_PATH, max_length=4096
    )
    max_size: ByteSize = field(
        "Largest image, as it is downloaded and as it is unpacked.",
        FIXED,
        default=ByteSize(DEFAULT_LIMITS.size_max_bytes),
        unit="bytes",
        minimum=VOLUME_MIN_BYTES,
        maximum=VOLUME_MAX_BYTES,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TlsConfig:
    """Files of the server's TLS; read again when they change."""

    certificate: str = field("Certificate, PEM.", FIXED, format=Format.HOST_PATH, max_length=4096)
    key: str = field("Private key, PEM.", FIXED, format=Format.HOST_PATH, max_length=4096)
    client_ca: str = field("CA of the clients' certificates, PEM.", FIXED, format=Format.HOST_PATH, max_length=4096)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClientConfig:
    """Who a client certificate stands for."""

    common_name: str = field("Common name of the certificate.", FIXED)
    authority: str = field(
        "Authority that it acts for; `acme/*/*` for all stacks of an organization.", FIXED, default=LOCAL
    )
    namespaces: tuple[str, ...] = field("Namespaces that it may use; `*` for all.", FIXED, default=("*",))
    profiles: tuple[str, ...] = field(
        "Policy profiles that it may use, the strictest first.", FIXED, default=("restricted",)
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class NamespaceConfig:
    """What a namespace may do more than others."""

    name: str = field("Name of the namespace.", FIXED, format=Format.LABEL, max_length=63)
    profiles: tuple[str, ...] = field(
        "Policy profiles that every client of this namespace may use in it, beside its own.", FIXED
    )


def _profiles_are_known(config: NodeConfig) -> bool:
    known = {"restricted", "baseline", "privileged"}
    given = [*(item.profiles for item in config.clients), *(item.profiles for item in config.namespaces)]
    return all(set(profiles) <= known for profiles in given)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """Everything that an administrator decides about a node."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda config: config.listen is None or config.tls is not None,
            "",
            "listen needs tls; there is no plain TCP",
            "tls",
        ),
        Rule(_profiles_are_known, "", "profiles are restricted, baseline and privileged", "clients"),
        Rule(
            lambda config: len({item.name for item in config.namespaces}) == len(config.namespaces),
            "",
            "a namespace is given twice; join both entries",
            "namespaces",
        ),
        Rule(
            lambda config: config.listen is None or is_address(config.listen),
            "",
            "is no address:port; write 192.0.2.10:9443 or [2001:db8::1]:9443",
            "listen",
        ),
        Rule(
            lambda config: not config.metrics_listen or is_address(config.metrics_listen),
            "",
            'is no address:port; write 127.0.0.1:9177, or "" for none',
            "metricsListen",
        ),
        Rule(
            lambda config: all(is_served(config.authorities, client.authority) for client in config.clients),
            "",
            "a client acts for an authority that is not in authorities; add it there",
            "clients",
        ),
        Rule(
            lambda config: len({client.common_name for client in config.clients}) == len(config.clients),
            "",
            "a commonName is given twice; join both entries",
            "clients",
        ),
    )

    node_name: str = field("Name of the node; also its TLS server name.", FIXED, format=Format.LABEL, max_length=63)
    libvirt_uri: str = field("libvirt's URI.", FIXED, default="qemu:///system")
    state_dir: str = field(
        "Directory of the store, seeds and console logs.",
        FIXED,
        default="/var/lib/xvirt",
        format=Format.HOST_PATH,
        max_length=4096,
    )
    unix_socket: str = field(
        "Socket for this host's root.", FIXED, default="/run/xvirt/node.sock", format=Format.HOST_PATH, max_length=100
    )
    accelerator: AcceleratorChoice = field("What guests run on.", FIXED, default=AcceleratorChoice.AUTO)
    default_pool: DefaultPool = field("Pool of disks that name none.", FIXED, default=DefaultPool)
    images: ImagesConfig = field("Where images may come from.", FIXED, default=ImagesConfig)
    listen: str | None = field("`address:port` for mutual TLS; absent: none.", FIXED, default=None)
    tls: TlsConfig | None = field("TLS files.", FIXED, default=None)
    clients: tuple[ClientConfig, ...] = field("Who may connect over TLS.", FIXED, default=(), max_items=1000)
    namespaces: tuple[NamespaceConfig, ...] = field(
        "Namespaces with policy profiles of their own.", FIXED, default=(), max_items=1000
    )
    authorities: tuple[str, ...] = field(
        "Authorities that may own objects here; `*/*/*` is every Pulumi stack.", FIXED, default=(LOCAL, STACKS)
    )
    resync_interval_seconds: int = field(
        "Pause between full looks at everything.", FIXED, default=300, unit="s", minimum=5, maximum=86400
    )
    reflection: bool = field("Whether gRPC reflection is served.", FIXED, default=False)
    metrics_listen: str = field(
        "`address:port` for /metrics, /livez and /readyz over HTTP, which anybody who reaches it may read; empty: none.",
        FIXED,
        default="127.0.0.1:9177",
    )
    log_format: LogFormat = field("How log lines look.", FIXED, default=LogFormat.TEXT)
    log_level: LogLevel = field("What is logged: this and what is worse.", FIXED, default=LogLevel.INFO)


def load_config(path: Path) -> NodeConfig:
    """Read and check a config file. Raises InvalidSpec with every mistake."""
    return read_config(path, NodeConfig, KIND, check_files)


def check_files(config: NodeConfig) -> list[Problem]:
    """Files that are named and cannot be read."""
    tls = config.tls
    if tls is None:
        return []
    files = (("tls.certificate", tls.certificate), ("tls.key", tls.key), ("tls.clientCa", tls.client_ca))
    return find_unreadable(files, "make it with `xvirt node init-pki`, or correct the path")
