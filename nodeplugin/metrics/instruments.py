"""`xvirt_*`: the plugin's own work, as histograms, and its state as gauges read at each scrape."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Histogram,
    Metric,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import GaugeMetricFamily

from nodeplugin.converge.converger import is_ready
from nodeplugin.records import StoredObject
from nodeplugin.store import Store
from nodeplugin.telemetry import Work
from xvirt import __version__
from xvirt.model.quantity import ByteSize

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LONG = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
"""Copies of images and guests that take their time to shut down."""
_MACHINE = "VirtualMachine"

_HISTOGRAMS: Mapping[Work, tuple[str, str, str, tuple[float, ...]]] = {
    Work.CONVERGENCE: ("xvirt_convergence_seconds", "From Apply to Ready at that generation.", "kind", _LONG),
    Work.VISIT: ("xvirt_visit_seconds", "One look at an object, with its steps.", "kind", _LONG),
    Work.STEP: ("xvirt_step_seconds", "One step upon the host.", "step", _LONG),
    Work.LIBVIRT_CALL: ("xvirt_libvirt_call_seconds", "One call into libvirt, waiting included.", "waits_for", _SHORT),
    Work.RPC: ("xvirt_rpc_seconds", "One unary RPC.", "method", _SHORT),
}


class Instruments:
    """Implements `nodeplugin.telemetry.Telemetry`, and is the registry of everything that is scraped."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._histograms = {
            work: Histogram(name, doc, (subject, "outcome"), buckets=buckets, registry=self.registry)
            for work, (name, doc, subject, buckets) in _HISTOGRAMS.items()
        }

    def ended(self, work: Work, subject: str, outcome: str, elapsed_s: float) -> None:
        """Something ended."""
        self._histograms[work].labels(subject, outcome).observe(elapsed_s)


Gauges = Mapping[str, tuple[str, Callable[[], float]]]
"""Name -> (what it is, how to read it now)."""


class NodeCollector:
    """The node's state at each scrape: its objects from the store, and gauges that its parts are asked for."""

    def __init__(self, node_name: str, store: Store, gauges: Gauges) -> None:
        self._node_name = node_name
        self._store = store
        self._gauges = gauges

    def describe(self) -> Iterable[Metric]:
        """Nothing: the store is not asked before it is needed."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All series."""
        yield _single("xvirt_build_info", "The plugin.", {"version": __version__, "node": self._node_name}, 1.0)
        for name, (doc, read) in self._gauges.items():
            yield _single(name, doc, {}, read())
        yield from self._objects(self._store.list_objects())

    def _objects(self, objects: list[StoredObject]) -> Iterator[Metric]:
        counts = collections.Counter((item.kind, "true" if is_ready(item) else "false") for item in objects)
        total = GaugeMetricFamily("xvirt_objects", "Objects that the node holds.", labels=("kind", "ready"))
        for key, count in counts.items():
            total.add_metric(key, float(count))
        yield total
        labels = ("namespace", "name", "uid", "domain", "uuid", "node", "authority")
        info = GaugeMetricFamily("xvirt_vm_info", "A machine by all its names, to join libvirt_* on.", labels=labels)
        states = GaugeMetricFamily("xvirt_vm_status", "printableStatus.", labels=("namespace", "name", "status"))
        restarts = GaugeMetricFamily("xvirt_vm_restarts", "Automatic starts in a row.", labels=("namespace", "name"))
        for item in objects:
            if item.kind != _MACHINE:
                continue
            uuid = str(item.status.get("uuid") or item.uid)
            domain = str(item.status.get("domainName") or f"{item.namespace}_{item.name}")
            info.add_metric((item.namespace, item.name, item.uid, domain, uuid, self._node_name, item.authority), 1.0)
            states.add_metric((item.namespace, item.name, str(item.status.get("printableStatus", ""))), 1.0)
            restarts.add_metric((item.namespace, item.name), float(item.run.restarts))
        yield from (info, states, restarts)
        yield from _volumes(objects)


def _volumes(objects: list[StoredObject]) -> Iterator[Metric]:
    """Disks and images, as their objects' last visit found them: a scrape opens no volume."""
    labels = ("kind", "namespace", "name", "pool")
    size = GaugeMetricFamily("xvirt_volume_size_bytes", "Virtual size of a disk or image.", labels=labels)
    taken = GaugeMetricFamily("xvirt_volume_allocation_bytes", "Space that it takes on the host.", labels=labels)
    for item in objects:
        if item.kind not in ("VirtualDisk", "VirtualImage"):
            continue
        values = (item.kind, item.namespace, item.name, str(item.document["spec"].get("pool", "default")))
        for family, field in ((size, "size"), (taken, "allocation")):
            if item.status.get(field) is not None:
                family.add_metric(values, float(ByteSize(item.status[field])))
    yield from (size, taken)


def _single(name: str, doc: str, labels: Mapping[str, str], value: float) -> Metric:
    family = GaugeMetricFamily(name, doc, labels=tuple(labels))
    family.add_metric(tuple(labels.values()), value)
    return family
