"""The operator's config file: YAML, checked whole before anything starts, each mistake with its line or path."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

from xvirt.model.errors import Problem
from xvirt.model.fields import Format, Mutability, Rule, field
from xvirt.model.quantity import ByteSize
from xvirt.model.virtualhost import MACHINES_MAX, RATIO_MAX
from xvirt.operator.hosts.records import HostSettings
from xvirt.operator.machines.holder import HolderSettings
from xvirt.process.config import ClientTlsConfig, find_unreadable, is_address, read_config
from xvirt.process.logs import LogFormat, LogLevel

RESTART = Mutability.RESTART
KIND = "OperatorConfig"


@dataclasses.dataclass(frozen=True, kw_only=True)
class HolderConfig:
    """The pods that hold machines' room."""

    image: str = field(
        "Image of their one container, with `/xvirt-holder` in it.",
        RESTART,
        default="ghcr.io/xvirt/holder:latest",
        format=Format.CONTAINER_IMAGE,
        max_length=500,
    )
    priority_class: str = field(
        'PriorityClass of machines that name none; "" for none.', RESTART, default="xvirt-machines"
    )
    overhead: ByteSize = field(
        "Memory that a QEMU takes beside its guest's, before 8Mi for each vCPU and a 512th of the guest's for page tables.",
        RESTART,
        default=ByteSize("128Mi"),
        unit="bytes",
        minimum=0,
        maximum=64 << 30,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostsConfig:
    """Hosts whose VirtualHost does not say otherwise."""

    port: int = field("Port of their node plugins.", RESTART, default=9443, minimum=1, maximum=65535)
    cpu_allocation_ratio: int = field(
        "vCPUs for one CPU: what holders ask the scheduler for, and what hosts offer.",
        RESTART,
        default=1,
        minimum=1,
        maximum=RATIO_MAX,
    )
    memory_overcommit: int = field(
        "Memory of machines in percent of what holders ask for, and of what hosts offer.",
        RESTART,
        default=100,
        unit="percent",
        minimum=10,
        maximum=1000,
    )
    max_machines: int = field("Machines that one takes.", RESTART, default=250, minimum=0, maximum=MACHINES_MAX)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeaseConfig:
    """Which of the replicas leads."""

    name: str = field("Name of the Lease.", RESTART, default="xvirt-operator", format=Format.LABEL, max_length=63)
    namespace: str | None = field(
        "Namespace of the Lease; absent: that of the operator's own account.",
        RESTART,
        default=None,
        format=Format.LABEL,
        max_length=63,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperatorConfig:
    """Everything that an administrator decides about the operator."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            lambda config: not config.listen or is_address(config.listen),
            "",
            'is no address:port; write 0.0.0.0:8080, or "" for none',
            "listen",
        ),
    )

    tls: ClientTlsConfig = field("Files to call node plugins with; their clients entry names the certificate.", RESTART)
    kubeconfig: str | None = field(
        "Kubeconfig file; absent: the pod's own account.",
        RESTART,
        default=None,
        format=Format.HOST_PATH,
        max_length=4096,
    )
    lease: LeaseConfig = field("Leader election.", RESTART, default=LeaseConfig)
    holder: HolderConfig = field("Holder pods.", RESTART, default=HolderConfig)
    hosts: HostsConfig = field("Hosts.", RESTART, default=HostsConfig)
    workers: int = field("Machines that are worked on at once.", RESTART, default=32, minimum=1, maximum=256)
    listen: str = field(
        "`address:port` for /metrics, /livez and /readyz over HTTP, which anybody who reaches it may read; empty: none.",
        RESTART,
        default="127.0.0.1:9178",
    )
    log_format: LogFormat = field("How log lines look.", RESTART, default=LogFormat.TEXT)
    log_level: LogLevel = field("What is logged: this and what is worse.", RESTART, default=LogLevel.INFO)

    @property
    def holder_settings(self) -> HolderSettings:
        """The part that pure code takes."""
        return HolderSettings(
            image=self.holder.image,
            priority_class=self.holder.priority_class,
            cpu_allocation_ratio=self.hosts.cpu_allocation_ratio,
            memory_overcommit_percent=self.hosts.memory_overcommit,
            overhead_bytes=int(self.holder.overhead),
        )

    @property
    def host_settings(self) -> HostSettings:
        """The part that pure code takes."""
        return HostSettings(
            port=self.hosts.port,
            cpu_allocation_ratio=self.hosts.cpu_allocation_ratio,
            memory_overcommit_percent=self.hosts.memory_overcommit,
            machines_max=self.hosts.max_machines,
        )


def load_config(path: Path) -> OperatorConfig:
    """Read and check a config file. Raises InvalidSpec with every mistake."""
    return read_config(path, OperatorConfig, KIND, check_files)


def check_files(config: OperatorConfig) -> list[Problem]:
    """Files that are named and cannot be read."""
    files = [("tls.certificate", config.tls.certificate), ("tls.key", config.tls.key), ("tls.ca", config.tls.ca)]
    if config.kubeconfig is not None:
        files.append(("kubeconfig", config.kubeconfig))
    return find_unreadable(files, "make it with `xvirt node init-pki`, or correct the path")
