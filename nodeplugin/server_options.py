"""What the server is told by the config."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from xvirt.model.exchange import Caller


@dataclasses.dataclass(frozen=True)
class TlsFiles:
    """PEM files of the server; `ca` signs the clients' certificates."""

    ca: Path
    certificate: Path
    key: Path


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Where to listen and whom to believe. `callers` maps a certificate's common name to its rights."""

    unix_socket: Path
    local_caller: Caller
    listen: str | None = None
    tls: TlsFiles | None = None
    callers: Mapping[str, Caller] = dataclasses.field(default_factory=dict)
    reflection: bool = False
