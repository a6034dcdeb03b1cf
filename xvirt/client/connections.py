"""The channels of one client. New TLS files make a new channel for the next call; what runs on an old one ends there undisturbed.

(none) --take--> current --new files--> retired --last call given back--> closed
"""

from __future__ import annotations

import dataclasses
import datetime
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import grpc

from xvirt.client.refusals import explain_refusal
from xvirt.client.schedule import Method
from xvirt.client.target import Target
from xvirt.model.errors import InvalidSpec, Problem, Refused, Unavailable, XvirtError
from xvirt.nodeapi.v1.image_pb2_grpc import ImageUploadsStub
from xvirt.nodeapi.v1.node_pb2_grpc import NodeStub
from xvirt.wire.certificates import CertificateFiles, TlsContent
from xvirt.wire.limits import (
    CONNECT_TIMEOUT_MS,
    KEEPALIVE_TIME_MS,
    KEEPALIVE_TIMEOUT_MS,
    MESSAGE_MAX_BYTES,
    RECONNECT_MAX_MS,
    RECONNECT_MIN_MS,
)
from xvirt.wire.status import DETAIL_KEY, decode_error

C = TypeVar("C")
Options = list[tuple[str, Any]]
Opener = Callable[[str, Options, grpc.ChannelCredentials | None], C]
"""Address as gRPC spells it, options, credentials (None: no TLS) to a channel."""

_OPTIONS: Options = [
    ("grpc.max_receive_message_length", MESSAGE_MAX_BYTES),
    ("grpc.max_send_message_length", MESSAGE_MAX_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_http_proxy", 0),
    # gRPC's own back-off grows to two minutes, in which a node that is back again would still be called unreachable.
    ("grpc.initial_reconnect_backoff_ms", RECONNECT_MIN_MS),
    ("grpc.max_reconnect_backoff_ms", RECONNECT_MAX_MS),
    ("grpc.min_reconnect_backoff_ms", CONNECT_TIMEOUT_MS),  # gRPC takes it as the time that one connection may take
]


@dataclasses.dataclass(eq=False)
class Connection(Generic[C]):
    """A channel, and how many calls it carries."""

    channel: C
    _stubs: tuple[Any, ...]
    calls: int = 0

    def rpc(self, method: Method) -> Any:
        """What makes a call of that sort."""
        return next(getattr(stub, method.value) for stub in self._stubs if hasattr(stub, method.value))


class Connections(Generic[C]):
    """Threads may share it. Raises InvalidSpec for TLS files that cannot be used, and for TCP without any."""

    def __init__(self, target: Target, opener: Opener[C]) -> None:
        self._address = target.grpc_address()
        if target.tls is None and not target.is_local:
            problem = Problem("--node", "TCP needs mutual TLS", "give --node-name, --tls-ca, --tls-cert and --tls-key")
            raise InvalidSpec([problem])
        self._target = target
        self._opener = opener
        self._files = CertificateFiles(target.tls) if target.tls is not None else None
        self._content: TlsContent | None = self._files.load() if self._files is not None else None
        self._lock = threading.Lock()
        self._open: set[Connection[C]] = set()
        self._current: Connection[C] | None = None
        self._is_closed = False

    def take(self) -> tuple[Connection[C], C | None]:
        """The connection for a call, and a channel to close now that new files have replaced. Raises Refused once closed."""
        with self._lock:
            if self._is_closed:
                raise Refused(f"this client of {self._target.address} is closed; make a new one", reason="ClientClosed")
            idle = self._retire_outdated()
            if self._current is None:
                self._current = self._connect()
                self._open.add(self._current)
            self._current.calls += 1
            return self._current, idle

    def give_back(self, connection: Connection[C]) -> C | None:
        """A call has ended; the channel to close, where it was a retired one's last."""
        with self._lock:
            connection.calls -= 1
            return self._drop_idle(connection)

    def close(self) -> list[C]:
        """The channels to close, with whatever runs on them."""
        with self._lock:
            self._is_closed, self._current = True, None
            channels = [connection.channel for connection in self._open]
            self._open.clear()
            return channels

    def translate(self, error: Any) -> XvirtError:
        """Ours, from gRPC's error of either client."""
        metadata = [(item[0], item[1]) for item in error.trailing_metadata() or ()]
        failure = decode_error(error.code(), error.details() or "", metadata, self._target.address)
        tls, content = self._target.tls, self._content
        is_bare = all(key != DETAIL_KEY for key, _ in metadata)
        if not (is_bare and isinstance(failure, Unavailable)) or tls is None or content is None:
            return failure
        now = datetime.datetime.now(datetime.UTC)
        return explain_refusal(failure, content, tls, self._target.node_name, now)

    def _retire_outdated(self) -> C | None:
        content = self._files.changed() if self._files is not None else None
        if content is None:
            return None
        self._content = content
        outdated, self._current = self._current, None
        return self._drop_idle(outdated) if outdated is not None else None

    def _drop_idle(self, connection: Connection[C]) -> C | None:
        if connection is self._current or connection.calls or connection not in self._open:
            return None
        self._open.discard(connection)
        return connection.channel

    def _connect(self) -> Connection[C]:
        options, credentials = list(_OPTIONS), None
        if self._content is not None:
            options.append(("grpc.ssl_target_name_override", self._target.node_name))
            credentials = grpc.ssl_channel_credentials(self._content.ca, self._content.key, self._content.certificate)
        channel: Any = self._opener(self._address, options, credentials)
        return Connection(channel, (NodeStub(channel), ImageUploadsStub(channel)))
