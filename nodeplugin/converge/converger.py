"""Brings keys to workers: queues, events of libvirt, resync, and the wake-ups between objects that depend on each other.

Machines have workers of their own, so that a long copy of an image keeps no machine waiting.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time

from nodeplugin.converge.guest import GuestWatch
from nodeplugin.converge.host import Host
from nodeplugin.converge.hub import Hub
from nodeplugin.converge.machine import MachineWorker, Visit
from nodeplugin.converge.observe import Observer
from nodeplugin.converge.queue import Workers, WorkQueue
from nodeplugin.converge.recorder import Recorder
from nodeplugin.converge.resource import ResourceWorker
from nodeplugin.converge.timers import Timers
from nodeplugin.converge.wellbeing import Wellbeing
from nodeplugin.hypervisor.port import EventKind, HypervisorEvent
from nodeplugin.plan.outcome import Plan
from nodeplugin.pools import DefaultPool, ensure_default_pool
from nodeplugin.records import StoredObject
from nodeplugin.store import Store
from nodeplugin.telemetry import OK, Work
from xvirt.model.errors import InternalError, XvirtError
from xvirt.model.exchange import EventType

logger = logging.getLogger(__name__)

MACHINE = "VirtualMachine"
DEFAULT_POOL = "default-pool"
"""A key of the queue that no object has: uids are UUIDs."""
EVERYTHING, UNREADY = "everything", "unready"
"""Keys of the waker, beside the UUIDs of networks whose machines are to be looked at."""
PASSIVE_KINDS = frozenset({"VirtualHost"})
GUEST_PAUSE_S = 0.5
"""A guest that was just given a device, or whose agent just came, has no new address yet; and its worker needs the CPU first."""
_GUEST_EVENTS = frozenset({EventKind.AGENT, EventKind.DEVICE_ADDED, EventKind.DEVICE_REMOVED})


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvergerOptions:
    """How many threads, how often everything is looked at."""

    machine_workers: int = 8
    resource_workers: int = 3
    resync_interval_s: float = 300.0
    default_pool: DefaultPool | None = None
    """Kept as it is, like a declared one; None: nobody does."""


class Converger:
    """All workers of the node."""

    def __init__(self, host: Host, store: Store, hub: Hub, options: ConvergerOptions) -> None:
        self._host = host
        self._store = store
        self._hub = hub
        self._options = options
        self._timers = Timers(host.clock)
        self._recorder = Recorder(store, hub, host.clock)
        observer = self._observer = Observer(host, store, self._timers)
        self.guests = GuestWatch(host.hypervisor, host.clock, self.enqueue)
        self.wellbeing = Wellbeing(host, store, self._recorder, self.guests, self.enqueue)
        self.machines = MachineWorker(host, store, observer, self._timers, self._recorder, self.guests, self.wellbeing)
        self.resources = ResourceWorker(host, store, observer, self._recorder)
        self._machine_queue = WorkQueue(host.clock)
        self._resource_queue = WorkQueue(host.clock)
        self._workers = (
            Workers("machine", options.machine_workers, self._machine_queue, self.work),
            Workers("resource", options.resource_workers, self._resource_queue, self.work),
        )
        self._wakes = WorkQueue(host.clock)
        self._waker = Workers("wake", 1, self._wakes, self._wake)
        self._kinds = store.list_kinds()
        """Of all objects. A domain that is not in here is foreign: libvirt's event thread asks nobody else."""
        self._asked_s: dict[str, float] = {}
        """When an object was last asked to become something else, until it is that."""
        self._paths: dict[str, frozenset[str]] = {}
        """Volumes of each machine, as its last visit saw them."""
        self._stop = threading.Event()
        self._resync = threading.Thread(target=self._resync_for_ever, name="resync", daemon=True)

    def start(self) -> None:
        """Start all threads, and look at everything once."""
        for uid, steps in self._store.interrupted_steps().items():
            logger.warning("object %s was interrupted in %s; going on from what the host shows", uid, steps)
        self._host.hypervisor.subscribe(self._on_event)
        self._host.images.subscribe(self.enqueue)
        self.collect_images()
        for workers in (*self._workers, self._waker):
            workers.start()
        self.guests.start()
        self.wellbeing.start()
        self._resync.start()
        self.enqueue_all()

    def stop(self, timeout_s: float) -> None:
        """Let the steps that run come to their end; machines are left alone."""
        self._stop.set()
        self.guests.stop()
        self.wellbeing.stop()
        for queue in (self._wakes, self._machine_queue, self._resource_queue):
            queue.close()
        deadline_s = time.monotonic() + timeout_s
        late = [
            name for workers in (*self._workers, self._waker) for name in workers.join(deadline_s - time.monotonic())
        ]
        if late:
            # Their steps are repeated at the next start: each looks first at what is there.
            logger.warning("%s did not end within %.0f s; going on without", ", ".join(late), timeout_s)

    def are_workers_alive(self) -> bool:
        """Whether all threads run."""
        return self._resync.is_alive() and all(workers.are_alive() for workers in (*self._workers, self._waker))

    def queue_lengths(self) -> tuple[int, int]:
        """Keys that are due and wait: of machines, of everything else."""
        return self._machine_queue.length(), self._resource_queue.length()

    # keys

    def enqueue(self, uid: str, delay_s: float = 0.0) -> None:
        """Bring an object up. Its back-off goes on only where nobody asked for it anew."""
        kind = self._kind(uid)
        if kind is None or kind in PASSIVE_KINDS:
            return
        self.machines.glances.drop(uid)
        self._queue(kind).add(uid, delay_s)

    def enqueue_fresh(self, uid: str) -> None:
        """Bring an object up because a caller changed it: back-off starts over."""
        kind = self._kind(uid)
        if kind is not None and kind not in PASSIVE_KINDS:
            self._asked_s[uid] = self._host.clock.monotonic_s()
            self._queue(kind).forgive(uid)
            self._queue(kind).add(uid)

    def enqueue_all(self) -> None:
        """Look at everything: a full relist."""
        self._host.index.clear()
        self._resource_queue.add(DEFAULT_POOL)
        for uid in self._store.list_uids():
            self.enqueue(uid)

    def enqueue_unready(self) -> None:
        """Look at what is not ready, and at networks with a change that waits until no machine is plugged in: what they wait for may
        have come."""
        for stored in self._store.list_objects():
            is_waiting = stored.kind != MACHINE and bool(stored.status.get("restartRequired"))
            if is_waiting or not is_ready(stored):
                self.enqueue(stored.uid)

    def preview(self, stored: StoredObject) -> Plan:
        """The plan for a document; no effect."""
        if stored.kind in PASSIVE_KINDS:
            return Plan()
        if stored.kind == MACHINE:
            return self.machines.preview(stored)[0]
        return self.resources.preview(stored)

    def preview_stored(self, stored: StoredObject) -> Plan:
        """The plan for a document that was just stored, and is to be brought up now."""
        return self.machines.preview_stored(stored) if stored.kind == MACHINE else self.preview(stored)

    def tell(self, stored: StoredObject, kind: EventType, reason: str, message: str) -> None:
        """An event by the service."""
        self._recorder.tell(stored, kind, reason, message)

    def _kind(self, uid: str) -> str | None:
        kind = self._kinds.get(uid)
        if kind is None:
            stored = self._store.find(uid)
            if stored is None:
                return None
            kind = self._kinds[uid] = stored.kind
        return kind

    def _queue(self, kind: str) -> WorkQueue:
        return self._machine_queue if kind == MACHINE else self._resource_queue

    # work

    def work(self, uid: str) -> None:
        """One visit to an object; called by its worker."""
        if uid == DEFAULT_POOL:
            self._keep_default_pool()
            return
        kind = self._kinds.get(uid)
        try:
            self._visit(uid)
        except XvirtError as error:
            # The store's: its disk is full, or fails. What could not be written down is looked at and done once more.
            logger.warning("object %s is visited again later: %s", uid, error.message)
            if kind is not None:
                self._queue(kind).retry(uid)

    def _visit(self, uid: str) -> None:
        stored = self._store.find(uid)
        if stored is None:
            self._kinds.pop(uid, None)
            return
        was_ready, began_s = is_ready(stored), self._host.clock.monotonic_s()
        try:
            visit = self.machines.visit(stored) if stored.kind == MACHINE else self.resources.visit(stored)
        except XvirtError:
            raise
        except Exception as error:
            logger.exception("%s: bug while converging", stored.key)
            self._recorder.fail(stored, InternalError(f"{type(error).__name__}: {error}; this is a bug in xVirt"))
            visit = Visit(has_failed=True)
        self._measure(stored, visit, began_s)
        self._finish(stored, visit, was_ready=was_ready)

    def _keep_default_pool(self) -> None:
        pool = self._options.default_pool
        if pool is None or self._store.find_named("StoragePool", "", pool.name) is not None:
            return
        try:
            ensure_default_pool(self._host.hypervisor, pool.name, pool.path)
        except XvirtError as error:
            logger.warning("the default pool %s is not as the config says: %s", pool.name, error.message)
            self._resource_queue.retry(DEFAULT_POOL)
        else:
            self._resource_queue.forgive(DEFAULT_POOL)

    def _measure(self, stored: StoredObject, visit: Visit, began_s: float) -> None:
        now = self._host.clock.monotonic_s()
        telemetry = self._host.telemetry
        telemetry.ended(Work.VISIT, stored.kind, "failed" if visit.has_failed else OK, now - began_s)
        asked_s = self._asked_s.get(stored.uid)
        if asked_s is None or asked_s > began_s:
            return
        current = self._store.find(stored.uid)
        if current is not None and is_ready(current):
            self._asked_s.pop(stored.uid, None)
            telemetry.ended(Work.CONVERGENCE, stored.kind, OK, now - asked_s)

    def _finish(self, stored: StoredObject, visit: Visit, *, was_ready: bool) -> None:
        queue = self._queue(stored.kind)
        if visit.is_gone:
            self._forget(stored)
            return
        if visit.paths is not None:
            self._note_paths(stored, visit.paths)
        if visit.has_failed:
            queue.retry(stored.uid)
        elif not visit.is_under_way:
            queue.forgive(stored.uid)
        if visit.again_s is not None:
            queue.add(stored.uid, visit.again_s)
        current = self._store.find(stored.uid)
        if current is None:
            return
        if stored.kind == MACHINE:
            if _plugged_in(stored) - _plugged_in(current):
                self._wakes.add(UNREADY)
            return
        if is_ready(current) != was_ready:
            self.enqueue_unready()
        if current.status.get("observedGeneration") != stored.status.get("observedGeneration"):
            self._enqueue_plugged_in(stored.uid)  # their filters are of the network's document

    def _forget(self, stored: StoredObject) -> None:
        current = self._store.find(stored.uid)
        self._store.remove(stored.uid)
        self._timers.forget(stored.uid)
        self.guests.follow(stored.uid, is_active=False)
        self.wellbeing.forget(stored.uid)
        self._kinds.pop(stored.uid, None)
        self._asked_s.pop(stored.uid, None)
        if stored.kind == MACHINE:
            self._note_paths(stored, frozenset())
            self._paths.pop(stored.uid, None)
        self._queue(stored.kind).forgive(stored.uid)
        logger.info("%s: gone", stored.key)
        self._hub.object_deleted((current or stored).view(), lambda: self._store.view(stored.uid))
        if stored.kind == "VirtualImage":
            self.collect_images()
        self.enqueue_unready()

    def _note_paths(self, stored: StoredObject, paths: frozenset[str]) -> None:
        """Disks and images say who uses them: they are looked at where that has changed."""
        before = self._paths.get(stored.uid)
        if before is None:
            before = frozenset(item["path"] for item in stored.status.get("disks", ()) if item.get("path"))
        self._paths[stored.uid] = paths
        if before == paths:
            return
        domain = stored.status.get("domainName") or stored.domain_name
        sources = [disk.get("source") or {} for disk in stored.document["spec"].get("disks", ())]
        for kind, field in (("VirtualDisk", "disk"), ("VirtualImage", "image")):
            named = {source.get(field) for source in sources}
            for other in self._store.list_objects(kind, stored.namespace):
                if other.name in named or domain in other.status.get("usedBy", ()):
                    self.enqueue(other.uid)

    # what wakes

    def _on_event(self, event: HypervisorEvent) -> None:
        """On libvirt's event thread, which must not wait: memory is changed, keys are queued, and nothing is read."""
        if event.kind in (EventKind.CONNECTED, EventKind.DISCONNECTED):
            self._host.index.clear()
            self._wakes.add(EVERYTHING)
        elif event.kind is EventKind.NETWORK:
            self._host.index.drop_networks()
            self._bring_up(event.subject)
            self._wakes.add(UNREADY)
            self._wakes.add(event.subject)
        elif event.kind is EventKind.POOL:
            self._host.index.drop_pools()
            self._resource_queue.add(DEFAULT_POOL)
            self._bring_up(event.subject)
            self._wakes.add(UNREADY)
        else:
            self._on_domain_event(event)

    def _bring_up(self, uid: str) -> bool:
        """Enqueue an object where there is one."""
        is_known = uid in self._kinds
        if is_known:
            self.enqueue(uid)
        return is_known

    def _wake(self, key: str) -> None:
        """On a thread of its own: what an event means for objects other than its subject, once for however many events."""
        try:
            if key == EVERYTHING:
                self.enqueue_all()
            elif key == UNREADY:
                self.enqueue_unready()
            else:
                self._enqueue_plugged_in(key)
        except Exception:  # whatever it was: the thread lives on, and the key comes again
            logger.exception("what waits for %s was not brought up; trying again", key)
            self._wakes.retry(key)
        else:
            self._wakes.forgive(key)

    def _enqueue_plugged_in(self, uid: str) -> None:
        """Machines of a network: a tap that lost its bridge is plugged in again."""
        network = self._store.find(uid)
        if network is None or network.kind != "VirtualNetwork":
            return
        for stored in self._store.list_objects(MACHINE, network.namespace):
            if any(nic["network"] == network.name for nic in stored.document["spec"].get("nics", ())):
                self.enqueue(stored.uid)

    def _on_domain_event(self, event: HypervisorEvent) -> None:
        self._host.index.drop(event.subject)
        if event.subject in self._kinds:
            self.wellbeing.hear(event)  # before a worker comes to look
        if not self._bring_up(event.subject):
            if event.kind is EventKind.LIFECYCLE:
                self._wakes.add(UNREADY)
        elif event.kind in _GUEST_EVENTS:
            self.guests.poll_soon(event.subject, GUEST_PAUSE_S)

    def _resync_for_ever(self) -> None:
        while not self._stop.wait(self._options.resync_interval_s):
            try:
                self.enqueue_all()
            except XvirtError as error:
                logger.warning("not everything was looked at: %s", error.message)
            self.collect_images()

    def collect_images(self) -> None:
        """Remove leftovers of transfers; what cannot be looked at now is looked at by the next resync."""
        try:
            self._observer.collect_images()
        except (XvirtError, OSError) as error:
            logger.warning("leftovers of image transfers were not looked for: %s", error)


def _plugged_in(stored: StoredObject) -> frozenset[str]:
    """Networks that a machine was seen plugged in to."""
    status = stored.status
    is_on = status.get("powerState") in ("Running", "Paused", "Stopping")
    return frozenset(item.get("network", "") for item in status.get("interfaces", ()) if is_on)


def is_ready(stored: StoredObject) -> bool:
    """Whether an object's newest generation is as declared."""
    status = stored.status
    if status.get("observedGeneration") != stored.generation:
        return False
    return any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions", ()))
