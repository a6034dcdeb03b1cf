"""How the node is, for those who watch it: /livez, /readyz and /metrics over its parts.

/livez: the plugin's own threads run; where it fails a restart helps. /readyz: calls can be served now; where it fails, what it names
must be mended (libvirt, the disk), and a restart does not help. Both leave machines alone.
"""

from __future__ import annotations

import dataclasses
import threading

from nodeplugin.converge.converger import Converger
from nodeplugin.converge.hub import Hub
from nodeplugin.hypervisor.port import Hypervisor
from nodeplugin.metrics.definitions import Definitions
from nodeplugin.metrics.domains import DomainCollector
from nodeplugin.metrics.instruments import Gauges, Instruments, NodeCollector
from nodeplugin.metrics.page import metrics_page
from nodeplugin.monitor import Check, Monitor, health_page
from nodeplugin.store import Store


@dataclasses.dataclass(kw_only=True)
class Vitals:
    """The parts that are looked at. `converger` comes when libvirt was reached, `is_serving` when calls are taken."""

    node_name: str
    hypervisor: Hypervisor
    store: Store
    hub: Hub
    instruments: Instruments
    converger: Converger | None = None
    is_serving: threading.Event = dataclasses.field(default_factory=threading.Event)
    is_stopping: threading.Event = dataclasses.field(default_factory=threading.Event)

    def is_live(self) -> bool:
        """Whether /livez passes."""
        return self._delivers() and self._works()

    def monitor(self, address: str) -> Monitor:
        """The port, with everything behind it."""
        registry = self.instruments.registry
        registry.register(DomainCollector(self.hypervisor, Definitions(self.hypervisor)))
        registry.register(NodeCollector(self.node_name, self.store, self._gauges()))
        pages = {
            "/metrics": metrics_page(registry),
            "/livez": health_page(self._live_checks()),
            "/readyz": health_page(self._ready_checks()),
        }
        return Monitor(address, pages)

    def _live_checks(self) -> tuple[Check, ...]:
        return (
            Check("events", self._delivers, "the thread that delivers libvirt's events hangs; restart the plugin"),
            Check("workers", self._works, "a worker thread is dead; restart the plugin, and report its log as a bug"),
        )

    def _ready_checks(self) -> tuple[Check, ...]:
        return (
            Check("store", self._reads, "the store cannot be read; see the log and the disk below stateDir"),
            Check("libvirt", self.hypervisor.is_connected, "libvirt cannot be reached; is libvirtd running?"),
            Check("server", self._serves, "calls are not taken (yet, or any more)"),
        )

    def _delivers(self) -> bool:
        return self.hypervisor.is_delivering()

    def _works(self) -> bool:
        return self.converger is None or self.is_stopping.is_set() or self.converger.are_workers_alive()

    def _reads(self) -> bool:
        self.store.ping()
        return True

    def _serves(self) -> bool:
        return self.is_serving.is_set() and not self.is_stopping.is_set()

    def _gauges(self) -> Gauges:
        def length(index: int) -> float:
            return float(self.converger.queue_lengths()[index]) if self.converger is not None else 0.0

        return {
            "xvirt_libvirt_connected": ("Whether libvirt is reached.", lambda: float(self.hypervisor.is_connected())),
            "xvirt_libvirt_lost_threads": (
                "Threads whose call into libvirt does not come back: about one for each QEMU that hangs.",
                lambda: float(self.hypervisor.lost_threads()),
            ),
            "xvirt_ready": ("Whether calls are served.", lambda: float(self._serves())),
            "xvirt_watchers": ("Open Watch streams.", lambda: float(self.hub.count_readers())),
            "xvirt_machine_queue_length": ("Machines that are due and wait for a worker.", lambda: length(0)),
            "xvirt_resource_queue_length": ("Other objects that are due and wait for one.", lambda: length(1)),
        }
