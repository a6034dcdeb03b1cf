"""Questions by which the node finds out whether a guest is well. Words are Kubernetes' and KubeVirt's; what differs: a probe always
goes to the guest's own addresses, so there is no field `host`."""

from __future__ import annotations

import dataclasses
import enum
from typing import ClassVar

from xvirt.model import limits
from xvirt.model.fields import Format, Mutability, Rule, field

LIVE = Mutability.LIVE


def _port() -> int:
    port: int = field("Port.", LIVE, minimum=1, maximum=65535)
    return port


def _nic() -> str | None:
    nic: str | None = field(
        "Card whose address is asked; absent: the first that has one.",
        LIVE,
        default=None,
        format=Format.LABEL,
        max_length=63,
    )
    return nic


@dataclasses.dataclass(frozen=True, kw_only=True)
class TcpSocketProbe:
    """Well where a connection is accepted."""

    port: int = _port()
    nic: str | None = _nic()


class HttpScheme(enum.Enum):
    """How HTTP is carried; a certificate is not looked at."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"


@dataclasses.dataclass(frozen=True, kw_only=True)
class HttpHeader:
    """One header of the request."""

    name: str = field("Name.", LIVE, format=Format.SERIAL, max_length=128)
    value: str = field("Value.", LIVE, default="", format=Format.PRINTABLE, max_length=4096)


@dataclasses.dataclass(frozen=True, kw_only=True)
class HttpGetProbe:
    """Well where the answer's status is 200 to 399. A redirect is not followed, a body is not read."""

    port: int = _port()
    nic: str | None = _nic()
    path: str = field("Path of the request.", LIVE, default="/", format=Format.URL_PATH, max_length=2048)
    scheme: HttpScheme = field("How it is carried.", LIVE, default=HttpScheme.HTTP)
    http_headers: tuple[HttpHeader, ...] = field(
        "Headers of the request.", LIVE, default=(), list_key="name", max_items=limits.PROBE_HEADERS_MAX
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExecProbe:
    """Well where a command in the guest ends with 0. Its agent starts it, without a shell; its output is not read."""

    command: tuple[str, ...] = field(
        "Program and arguments.",
        LIVE,
        min_items=1,
        max_items=limits.PROBE_ARGUMENTS_MAX,
        max_length=limits.PROBE_ARGUMENT_MAX_LENGTH,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class GuestAgentPing:
    """Well where the guest's agent answers."""


def _count(probe: Probe) -> int:
    return sum(item is not None for item in (probe.tcp_socket, probe.http_get, probe.command, probe.guest_agent_ping))


_ONE_QUESTION = Rule(
    lambda probe: _count(probe) == 1,
    "(has(self.tcpSocket) ? 1 : 0) + (has(self.httpGet) ? 1 : 0) + (has(self.exec) ? 1 : 0)"
    " + (has(self.guestAgentPing) ? 1 : 0) == 1",
    "give exactly one of tcpSocket, httpGet, exec and guestAgentPing",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
    """One question, and how often it is asked."""

    RULES: ClassVar[tuple[Rule, ...]] = (_ONE_QUESTION,)

    tcp_socket: TcpSocketProbe | None = field("Connect to a port.", LIVE, default=None)
    http_get: HttpGetProbe | None = field("Ask by HTTP.", LIVE, default=None)
    command: ExecProbe | None = field(
        "Run a command in the guest; libvirt marks the domain as tainted by it.", LIVE, default=None, json_name="exec"
    )
    guest_agent_ping: GuestAgentPing | None = field("Ask the guest's agent.", LIVE, default=None)
    initial_delay_seconds: int = field(
        "From the start of the machine to the first question.", LIVE, default=0, unit="s", minimum=0, maximum=86400
    )
    period_seconds: int = field("From one question to the next.", LIVE, default=10, unit="s", minimum=1, maximum=86400)
    timeout_seconds: int = field(
        "An answer that takes longer is none.",
        LIVE,
        default=1,
        unit="s",
        minimum=1,
        maximum=limits.PROBE_TIMEOUT_MAX_SECONDS,
    )
    success_threshold: int = field("Good answers in a row that make it well.", LIVE, default=1, minimum=1, maximum=1000)
    failure_threshold: int = field(
        "Bad answers in a row that make it unwell.", LIVE, default=3, minimum=1, maximum=1000
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LivenessProbe(Probe):
    """A probe that ends the machine, which `runStrategy` may then start again."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        _ONE_QUESTION,
        Rule(
            lambda probe: probe.success_threshold == 1,
            "!has(self.successThreshold) || self.successThreshold == 1",
            "of a livenessProbe this must be 1; remove it",
            "successThreshold",
        ),
    )

    termination_grace_period_seconds: int | None = field(
        "Time for the guest to shut down before it is powered off; absent: the machine's own.",
        LIVE,
        default=None,
        unit="s",
        minimum=0,
        maximum=86400,
    )


def asks_agent(probe: Probe | None) -> bool:
    """Whether a probe goes by the guest's agent."""
    return probe is not None and (probe.command is not None or probe.guest_agent_ping is not None)
