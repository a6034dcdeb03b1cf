"""Starts the node plugin: config, store, libvirt, workers, server; stops them in the other order and leaves machines alone."""

from __future__ import annotations

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # before gRPC is imported: qemu-img is started by fork

import logging
import signal
import threading
import uuid
from pathlib import Path
from types import FrameType

from nodeplugin.clock import SystemClock
from nodeplugin.config import NodeConfig, load_config
from nodeplugin.converge.converger import Converger, ConvergerOptions
from nodeplugin.converge.host import Host, HostIndex
from nodeplugin.converge.hub import Hub
from nodeplugin.hypervisor.accelerator import Verdict, choose_accelerator
from nodeplugin.hypervisor.driver import LibvirtHypervisor
from nodeplugin.hypervisor.port import Hypervisor
from nodeplugin.hypervisor.volumes import QemuImgVolumes
from nodeplugin.images.limits import ImageLimits
from nodeplugin.images.policy import ImagePolicy
from nodeplugin.images.transfers import Transfers
from nodeplugin.metrics.instruments import Instruments
from nodeplugin.monitor import Monitor
from nodeplugin.notify import Watchdog, notify, watchdog_interval_s
from nodeplugin.plan.observation import NodeSettings
from nodeplugin.pools import DefaultPool, ensure_default_pool
from nodeplugin.rebuild import rebuild_store
from nodeplugin.server import NodeServer
from nodeplugin.server_options import ServerOptions, TlsFiles
from nodeplugin.service import NodeIdentity, NodeService
from nodeplugin.store import Store
from nodeplugin.vitals import Vitals
from xvirt import __version__
from xvirt.model.authority import LOCAL
from xvirt.model.errors import Unavailable, XvirtError
from xvirt.model.exchange import Caller
from xvirt.process.command import Program, leave

logger = logging.getLogger(__name__)

STOP_GRACE_S = 10.0
LIBVIRT_WAIT_S = 60.0
SLOW_PROBE_S = 15.0
"""A capability probe that takes longer points to the KVM cache trap: every look-up would be as slow."""


PROGRAM = Program("xvirt-node", "xVirt's node plugin", Path("/etc/xvirt/node.yaml"))


def run() -> None:
    """Entry point of `xvirt-node`."""
    arguments = PROGRAM.read_arguments()
    try:
        config = PROGRAM.begin(arguments, load_config)
        if config is None:
            return
        serve(config)
    except XvirtError as error:
        notify(f"STATUS={error.message}")
        PROGRAM.tell(error)
        leave(1)
    # Threads of RPCs and of libvirt calls that a hung QEMU holds would be waited for without end.
    leave(0)


def serve(config: NodeConfig) -> None:
    """Run until SIGTERM or SIGINT. The second one ends the process at once: what is stored survives that, and machines run on."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    node = Node(config, stop)
    try:
        node.start()
        if not stop.is_set():
            logger.info("node %s serves on %s", config.node_name, config.unix_socket)
            notify(f"READY=1\nSTATUS=node {config.node_name} serves")
        stop.wait()
        notify("STOPPING=1")
        logger.info("stopping; machines are left alone")
    finally:
        node.stop()
    logger.info("stopped")


class Node:
    """All parts of one node plugin. `stop_asked` ends the wait for libvirt early."""

    def __init__(self, config: NodeConfig, stop_asked: threading.Event) -> None:
        self._config = config
        self._stop_asked = stop_asked
        state = Path(config.state_dir)
        for directory in (state, state / "seeds", state / "logs"):
            directory.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._store = Store(state / "store.db")
        self._instruments = Instruments()
        self._hypervisor: Hypervisor = LibvirtHypervisor(config.libvirt_uri, telemetry=self._instruments)
        self._volumes = QemuImgVolumes()
        self._images = Transfers(
            self._volumes.check_image,
            image_policy(config),
            config.images.ca_bundle,
            ImageLimits(size_max_bytes=int(config.images.max_size)),
        )
        self._hub = Hub(str(uuid.uuid4()))
        self._vitals = Vitals(
            node_name=config.node_name,
            hypervisor=self._hypervisor,
            store=self._store,
            hub=self._hub,
            instruments=self._instruments,
        )
        self._monitor: Monitor | None = None
        self._watchdog: Watchdog | None = None
        self._converger: Converger | None = None
        self._server: NodeServer | None = None

    def start(self) -> None:
        """Wait for libvirt, rebuild what is missing, converge, serve. Returns early where a stop is asked for meanwhile."""
        self._start_watching()
        if not self._wait_for_libvirt():
            return
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
        pool = self._config.default_pool
        options = ConvergerOptions(
            resync_interval_s=float(self._config.resync_interval_seconds),
            default_pool=DefaultPool(pool.name, pool.path),
        )
        self._converger = Converger(host, self._store, self._hub, options)
        service = NodeService(self._identity(verdict), host, self._store, self._hub, self._converger)
        self._server = NodeServer(service, server_options(self._config), self._instruments)
        self._converger.start()
        self._vitals.converger = self._converger
        self._server.start()
        self._vitals.is_serving.set()

    def stop(self) -> None:
        """Answer no more calls, let running steps end, close libvirt and the store. At most about half a minute, hung QEMUs or not."""
        self._vitals.is_stopping.set()
        if self._server is not None:
            self._server.stop(STOP_GRACE_S / 2)
        self._volumes.close()  # a copy would outlast the grace; it is begun anew by the next start
        self._images.close()  # what came is kept for the next start
        if self._converger is not None:
            self._converger.stop(STOP_GRACE_S)
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._monitor is not None:
            self._monitor.stop()
        self._hypervisor.close()
        self._store.close()

    def _start_watching(self) -> None:
        if self._config.metrics_listen:
            self._monitor = self._vitals.monitor(self._config.metrics_listen)
            self._monitor.start()
        interval_s = watchdog_interval_s()
        if interval_s is not None:
            self._watchdog = Watchdog(interval_s, self._vitals.is_live)
            self._watchdog.start()

    def _wait_for_libvirt(self) -> bool:
        """False where a stop was asked for meanwhile."""
        for _ in range(int(LIBVIRT_WAIT_S / 0.2)):
            if self._stop_asked.is_set():
                return False
            if self._hypervisor.is_connected():
                return True
            self._stop_asked.wait(0.2)
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
            default_pool=self._config.default_pool.name,
        )
        return Host(
            hypervisor=self._hypervisor,
            volumes=volumes,
            index=HostIndex(self._hypervisor, volumes),
            settings=settings,
            clock=SystemClock(),
            telemetry=self._instruments,
            images=self._images,
            image_policy=image_policy(self._config),
        )

    def _sweep(self, host: Host) -> None:
        pools = host.index.pools()
        for pool, place in host.index.places().items():
            if pools[pool].is_active and host.volumes.has_place(place.directory):
                try:
                    for name in host.volumes.sweep(place.directory):
                        logger.info("removed %s/%s, left by an interrupted copy", place.directory, name)
                except XvirtError as error:
                    logger.error("pool %s is not swept: %s", pool, error.message)

    def _identity(self, verdict: Verdict) -> NodeIdentity:
        return NodeIdentity(
            node_name=self._config.node_name,
            authorities=self._config.authorities,
            xvirt_version=__version__,
            accelerator=verdict.accelerator.value,
            accelerator_reason=verdict.reason,
            namespace_profiles={item.name: item.profiles for item in self._config.namespaces},
        )


def image_policy(config: NodeConfig) -> ImagePolicy:
    """The images' part of the config. A folder counts by its real path, too: files are judged by theirs."""
    paths = config.images.paths
    return ImagePolicy(
        paths=tuple(dict.fromkeys((*paths, *map(os.path.realpath, paths)))),
        url_prefixes=config.images.url_prefixes,
        private_addresses=config.images.private_addresses,
    )


def server_options(config: NodeConfig) -> ServerOptions:
    """The server's part of the config."""
    profiles = ("restricted", "baseline", "privileged")
    stacks = tuple(authority for authority in config.authorities if "/" in authority)
    local = Caller(name="root", authorities=(LOCAL, *stacks), namespaces=("*",), profiles=profiles, is_host_root=True)
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
