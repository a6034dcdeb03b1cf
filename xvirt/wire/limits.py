"""Bounds on what crosses the wire, and the pauses that both ends agree on."""

from __future__ import annotations

MESSAGE_MAX_BYTES = 16 << 20
"""A List of a thousand large documents; a single document is bounded far below (xvirt.model.limits)."""
ERROR_DETAIL_MAX_BYTES = 4608
ERROR_MESSAGE_MAX_BYTES = 600
"""Both travel as HTTP/2 headers, of which gRPC's C core takes 8 KiB (it refuses more at random up to 16 KiB, then always); the detail
grows by a third in base64, the message by up to three where it is percent-encoded."""
ERROR_TEXT_MAX_BYTES = 2048
"""One text within an error detail."""
OPERATION_ID_MAX_LENGTH = 128
NAME_MAX_LENGTH = 253
"""Any part of an object's reference; the model bounds names further."""

UNARY_TIMEOUT_S = 30.0
KEEPALIVE_TIME_MS = 20_000
KEEPALIVE_TIMEOUT_MS = 10_000
CONNECT_TIMEOUT_MS = 10_000
"""One connection, TLS included, on both ends."""
RECONNECT_MIN_MS = 100
RECONNECT_MAX_MS = 1_000
"""Pauses between a client's attempts to connect."""
PING_INTERVAL_MIN_MS = 5_000
"""How often a client may ping before the server says GOAWAY: well below KEEPALIVE_TIME_MS, for other people's clients."""
HEARTBEAT_INTERVAL_S = 10.0
SLOW_READER_TIMEOUT_S = 30.0
"""A watch whose reader takes no message for so long is cut."""
FIRST_MESSAGE_TIMEOUT_S = 10.0
"""A console's client must name its machine within."""

STREAMS_MAX = 64
"""Watches, logs and consoles at once, per listener: so nobody behind TLS can keep the host's root from its node."""
STREAMS_PER_CLIENT_MAX = 32
"""Of these, of one client behind TLS: half, so that the others find one."""
UNARY_THREADS = 16
CALLS_PER_CLIENT_MAX = 8
"""Calls of one client behind TLS that run at once: half the threads. More are refused at once, as `TooManyCalls`, which xVirt's clients
repeat until their deadline."""
CALLS_MAX = 512
"""Calls at once, waiting ones included, per listener; more are refused at once."""
CALLS_PER_CONNECTION_MAX = 128
"""Calls and streams of one connection; HTTP/2 has the client hold back what is beyond."""
CONSOLE_CHUNK_BYTES = 16 << 10
CONSOLE_QUEUE_CHUNKS = 64
"""Input of a console that the client holds back before `write` waits."""
