"""Starts the node plugin: config, store, libvirt, workers, server; stops them in the other order and leaves machines alone."""

from __future__ import annotations

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # before gRPC is imported: qemu-img is started by fork

import argparse
import logging
import signal
import sys
import threading
import uuid
from pathlib import Path

from nodeplugin.clock import SystemClock
from nodeplugin.config import NodeConfig, load_config
from nodeplugin.converge.converger import Converger, ConvergerOptions
from nodeplugin.converge.host import Host, HostIndex
from nodeplugin.converge.hub import Hub
from nodeplugin.hypervisor.accelerator import Verdict, choose_accelerator
from nodeplugin.hypervisor.driver import LibvirtHypervisor
from nodeplugin.hypervisor.port import Hypervisor
from nodeplugin.hypervisor.volumes import QemuImgVolumes
from nodeplugin.plan.observation import NodeSettings
from nodeplugin.pools import ensure_default_pool
from nodeplugin.rebuild import rebuild_store
from nodeplugin.server import NodeServer
from nodeplugin.server_options import ServerOptions, TlsFiles
from nodeplugin.service import NodeIdentity, NodeService
from nodeplugin.store import Store
from xvirt import __version__
from xvirt.model.errors import Unavailable, XvirtError
from xvirt.model.exchange import Caller

logger = logging.getLogger(__name__)

STOP_GRACE_S = 10.0
LIBVIRT_WAIT_S = 60.0
SLOW_PROBE_S = 15.0
"""A capability probe that takes longer points to the KVM cache trap: every look-up would be as slow."""


def run() -> None:
    """Entry point of `xvirt-node`."""
    parser = argparse.ArgumentParser(prog="xvirt-node", description="xVirt's node plugin")
    parser.add_argument("--config", type=Path, default=Path("/etc/xvirt/node.yaml"), help="config file (YAML)")
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    parser.add_argument("--version", action="version", version=__version__)
    arguments = parser.parse_args()
    logging.basicConfig(
        level=arguments.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        config = load_config(arguments.config)
        serve(config)
    except XvirtError as error:
        print(f"xvirt-node: {error.message}", file=sys.stderr)
        raise SystemExit(1) from None


def serve(config: NodeConfig) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    node = Node(config)
    node.start()
    logger.info("node %s serves on %s", config.node_name, config.unix_socket)
    try:
        stop.wait()
        logger.info("stopping; machines are left alone")
    finally:
        node.stop()


class Node:
    """All parts of one node plugin."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        state = Path(config.state_dir)
        for directory in (state, state / "seeds", state / "logs"):
            directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._store = Store(state / "store.db")
        self._hypervisor: Hypervisor = LibvirtHypervisor(config.libvirt_uri)
        self._volumes = QemuImgVolumes()
        self._hub = Hub(str(uuid.uuid4()))
        self._converger: Converger | None = None
        self._server: NodeServer | None = None

    def start(self) -> None:
        """Wait for libvirt, rebuild what is missing, converge, serve."""
        self._wait_for_libvirt()
        facts = self._hypervisor.facts()
        if facts.probe_seconds > SLOW_PROBE_S:
            logger.warning(
                "libvirt took %.0f s to probe QEMU: its user cannot open /dev/kvm as libvirtd can; see docs/operating.md",
                facts.probe_seconds,
            )
        ensure_default_pool(self._hypervisor, self._config.default_pool.name, self._config.default_pool.path)
        verdict = choose_accelerator(self._config.accelerator.value, facts)
        logger.info("guests run on %s: %s", verdict.accelerator.value, verdict.reason)
        host = self._host(verdict, facts.architecture)
        self._sweep(host)
        rebuild_store(self._hypervisor, self._store)
        options = ConvergerOptions(resync_interval_s=float(self._config.resync_interval_seconds))
        self._converger = Converger(host, self._store, self._hub, options)
        service = NodeService(self._identity(verdict), host, self._store, self._hub, self._converger)
        self._server = NodeServer(service, server_options(self._config))
        self._converger.start()
        self._server.start()

    def stop(self) -> None:
        """Answer no more calls, let running steps end, close libvirt and the store."""
        if self._server is not None:
            self._server.stop(STOP_GRACE_S / 2)
        self._volumes.close()  # a copy would outlast the grace; it is begun anew by the next start
        if self._converger is not None:
            self._converger.stop(STOP_GRACE_S)
        self._hypervisor.close()
        self._store.close()

    def _wait_for_libvirt(self) -> None:
        waiting = threading.Event()
        for _ in range(int(LIBVIRT_WAIT_S / 0.2)):
            if self._hypervisor.is_connected():
                return
            waiting.wait(0.2)
        raise Unavailable(f"libvirt at {self._config.libvirt_uri} cannot be reached; is libvirtd running?")

    def _host(self, verdict: Verdict, architecture: str) -> Host:
        state = self._config.state_dir.rstrip("/")
        volumes = self._volumes
        settings = NodeSettings(
            node_name=self._config.node_name,
            domain_type=verdict.domain_type,
            architecture=architecture,
            seed_directory=f"{state}/seeds",
            log_directory=f"{state}/logs",
        )
        return Host(
            hypervisor=self._hypervisor,
            volumes=volumes,
            index=HostIndex(self._hypervisor, volumes),
            settings=settings,
            clock=SystemClock(),
        )

    def _sweep(self, host: Host) -> None:
        for pool in host.index.pools().values():
            if pool.is_active and os.path.isdir(pool.path):
                for name in host.volumes.sweep(pool.path):
                    logger.info("removed %s/%s, left by an interrupted copy", pool.path, name)

    def _identity(self, verdict: Verdict) -> NodeIdentity:
        return NodeIdentity(
            node_name=self._config.node_name,
            authorities=self._config.authorities,
            xvirt_version=__version__,
            accelerator=verdict.accelerator.value,
            accelerator_reason=verdict.reason,
        )


def server_options(config: NodeConfig) -> ServerOptions:
    """The server's part of the config."""
    profiles = ("restricted", "baseline", "privileged")
    local = Caller(name="root", authorities=("local",), namespaces=("*",), profiles=profiles)
    callers = {
        client.common_name: Caller(
            name=client.common_name,
            authorities=(client.authority,),
            namespaces=client.namespaces,
            profiles=client.profiles,
        )
        for client in config.clients
    }
    tls = None
    if config.tls is not None:
        tls = TlsFiles(
            ca=Path(config.tls.client_ca), certificate=Path(config.tls.certificate), key=Path(config.tls.key)
        )
    return ServerOptions(
        unix_socket=Path(config.unix_socket),
        local_caller=local,
        listen=config.listen,
        tls=tls,
        callers=callers,
        reflection=config.reflection,
    )
