"""Bounds on what crosses the wire."""

from __future__ import annotations

MESSAGE_MAX_BYTES = 16 << 20
"""A List of a thousand large documents; a single document is bounded far below (xvirt.model.limits)."""
UNARY_TIMEOUT_S = 30.0
KEEPALIVE_TIME_MS = 20_000
KEEPALIVE_TIMEOUT_MS = 10_000
HEARTBEAT_INTERVAL_S = 10.0
STREAMS_MAX = 64
"""Watches and consoles at once, per node."""
UNARY_THREADS = 16
CONSOLE_CHUNK_BYTES = 16 << 10
