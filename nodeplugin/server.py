"""The gRPC server: a Unix socket for this host's root, mutual TLS for everybody else.

gRPC for Python cannot read a Unix peer's credentials; so the socket itself is the credential: it lies in a directory and has a mode
that only root passes, and whoever reaches it is the host's root.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from nodeplugin.api import NodeApi
from nodeplugin.server_calls import NodeCalls
from nodeplugin.server_images import ImageCalls
from nodeplugin.server_options import ServerOptions
from nodeplugin.server_tls import CertificateSource
from nodeplugin.telemetry import SILENT, Telemetry
from xvirt.model.errors import Refused, Unavailable
from xvirt.nodeapi.v1 import node_pb2
from xvirt.nodeapi.v1.image_pb2_grpc import add_ImageUploadsServicer_to_server
from xvirt.nodeapi.v1.node_pb2_grpc import add_NodeServicer_to_server
from xvirt.wire.limits import (
    CALLS_PER_CONNECTION_MAX,
    CONNECT_TIMEOUT_MS,
    KEEPALIVE_TIME_MS,
    KEEPALIVE_TIMEOUT_MS,
    MESSAGE_MAX_BYTES,
    PING_INTERVAL_MIN_MS,
    UNARY_THREADS,
)

logger = logging.getLogger(__name__)

SERVICE = node_pb2.DESCRIPTOR.services_by_name["Node"].full_name
STOP_MARGIN_S = 1.0
"""For gRPC to cancel what the grace period did not end."""
_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", MESSAGE_MAX_BYTES),
    ("grpc.max_send_message_length", MESSAGE_MAX_BYTES),
    # A client that lost its power says no goodbye: without pings of our own its streams would hold their slots for ever.
    ("grpc.keepalive_time_ms", KEEPALIVE_TIME_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.server_handshake_timeout_ms", CONNECT_TIMEOUT_MS),
    ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MIN_MS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),
    ("grpc.max_concurrent_streams", CALLS_PER_CONNECTION_MAX),
]


class NodeServer:
    """Both listeners over one NodeApi."""

    def __init__(self, api: NodeApi, options: ServerOptions, telemetry: Telemetry = SILENT) -> None:
        self._options = options
        self._telemetry = telemetry
        self._servers: list[tuple[grpc.Server, NodeCalls, health.HealthServicer]] = []
        self._api = api
        self.tcp_port = 0
        """Where TLS is served once started; the system's choice where the config says port 0."""

    def start(self) -> None:
        """Listen. Raises Refused where another plugin has the socket, Unavailable where an address cannot be had."""
        prepare_socket(self._options.unix_socket)
        limits = self._options.limits
        local = ImageCalls(self._api, self._options.local_caller, {}, self._telemetry, limits)
        server = self._make(local)
        before = os.umask(0o177)
        try:
            bound = server.add_insecure_port(f"unix:{self._options.unix_socket}")
        finally:
            os.umask(before)
        if not bound:
            raise Unavailable(f"cannot listen on {self._options.unix_socket}")
        if self._options.listen is not None and self._options.tls is not None:
            remote = self._make(ImageCalls(self._api, None, self._options.callers, self._telemetry, limits))
            self.tcp_port = _bind_tls(remote, self._options.listen, CertificateSource(self._options.tls))
        for started, _, _ in self._servers:
            started.start()

    def stop(self, grace_s: float) -> None:
        """Take no new calls, let the running ones end, end streams with Unavailable. Returns within `grace_s` and a second."""
        deadline_s = time.monotonic() + grace_s + STOP_MARGIN_S
        waits = []
        for server, calls, state in self._servers:
            state.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)
            calls.stopping.set()
            waits.append(server.stop(grace_s))
        for wait in waits:
            wait.wait(max(deadline_s - time.monotonic(), 0.0))

    def _make(self, calls: ImageCalls) -> grpc.Server:
        # Streams hold a thread each; the rest is for unary calls, which they cannot starve.
        limits = self._options.limits
        pool = futures.ThreadPoolExecutor(UNARY_THREADS + limits.streams, thread_name_prefix="rpc")
        server = grpc.server(pool, options=_OPTIONS, maximum_concurrent_rpcs=limits.calls)
        add_NodeServicer_to_server(calls, server)
        add_ImageUploadsServicer_to_server(calls, server)
        state = health.HealthServicer()
        state.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(state, server)
        if self._options.reflection:
            names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        self._servers.append((server, calls, state))
        return server


def _bind_tls(server: grpc.Server, address: str, source: CertificateSource) -> int:
    try:
        bound = server.add_secure_port(address, source.credentials())
    except RuntimeError as error:
        raise Unavailable(f"cannot listen on {address}: {error}") from error
    if not bound:
        raise Unavailable(f"cannot listen on {address}; is the address this host's, and free?")
    return bound


def prepare_socket(path: Path) -> None:
    """Make the directory, and remove a socket that nobody answers on. Raises Refused where somebody does."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        return
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.settimeout(1.0)
        probe.connect(str(path))
    except OSError:
        path.unlink(missing_ok=True)
        return
    finally:
        probe.close()
    raise Refused(f"another node plugin answers on {path}; stop it first, or give this one another unixSocket")
