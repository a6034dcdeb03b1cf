"""What the server is told by the config."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from xvirt.model.exchange import Caller
from xvirt.wire import limits
from xvirt.wire.certificates import TlsFiles

__all__ = ["ServerLimits", "ServerOptions", "TlsFiles"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """Bounds of one listener; `xvirt.wire.limits` says what each is for."""

    streams: int = limits.STREAMS_MAX
    streams_per_client: int = limits.STREAMS_PER_CLIENT_MAX
    calls: int = limits.CALLS_MAX
    calls_per_client: int = limits.CALLS_PER_CLIENT_MAX
    heartbeat_interval_s: float = limits.HEARTBEAT_INTERVAL_S
    slow_reader_timeout_s: float = limits.SLOW_READER_TIMEOUT_S
    first_message_timeout_s: float = limits.FIRST_MESSAGE_TIMEOUT_S


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Where to listen and whom to believe. `callers` maps a certificate's common name to its rights."""

    unix_socket: Path
    local_caller: Caller
    listen: str | None = None
    tls: TlsFiles | None = None
    callers: Mapping[str, Caller] = dataclasses.field(default_factory=dict)
    reflection: bool = False
    limits: ServerLimits = ServerLimits()
