"""Which objects a change brings up. Everything here only enqueues keys."""

from __future__ import annotations

from collections.abc import Iterable

from xvirt.model.exchange import Event
from xvirt.operator.dependents.controller import DependentController
from xvirt.operator.dependents.gather import DependentParts
from xvirt.operator.dependents.records import ALL, DISK, Traits, read_dependent
from xvirt.operator.names import PROFILE_LABEL
from xvirt.operator.nodes.views import NodeView
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.controller import Controller, ControllerOptions
from xvirt.operator.runtime.queue import Priority
from xvirt.operator.runtime.resources import Key, Object, key_of, uid_of

BY_PLACE, BY_NAMESPACE = "place", "namespace"
"""Indexes of the caches of dependents: by recorded host, by namespace."""
WORKERS = 4
ERRAND_WORKERS = 16
"""A worker waits with a host that hangs; the others go on."""


def index_caches(caches: dict[str, Cache]) -> None:
    """Give the caches of dependents, by kind, what is asked of them."""
    for traits in ALL:
        caches[traits.kind].add_index(BY_PLACE, lambda item, traits=traits: _recorded(traits, item))  # type: ignore[misc]
        caches[traits.kind].add_index(BY_NAMESPACE, lambda item: (item["metadata"].get("namespace") or "",))


def _recorded(traits: Traits, item: Object) -> Iterable[str]:
    return read_dependent(traits, item).recorded


class DependentQueues:
    """The two queues of one kind: its objects, and their errands."""

    def __init__(self, traits: Traits, parts: DependentParts) -> None:
        self.traits = traits
        self._parts = parts
        self._cache = parts.caches[traits.kind]
        made = DependentController(traits, parts, self._send, self._wake)
        plural, shared = self._cache.resource.plural, parts.writes
        self.objects = Controller(
            plural,
            made.reconcile,
            options=ControllerOptions(workers=WORKERS),
            clock=shared.clock,
            metrics=shared.metrics,
        )
        self.errands = Controller(
            f"{plural}-errands",
            made.run_errand,
            options=ControllerOptions(workers=ERRAND_WORKERS),
            clock=shared.clock,
            metrics=shared.metrics,
        )

    def _send(self, key: Key) -> None:
        self.errands.enqueue(key, Priority.NODE)

    def _wake(self, key: Key) -> None:
        self.objects.enqueue(key, Priority.NODE)

    def start(self) -> None:
        """From now on."""
        parts, links = self._parts, self._parts.links
        self.objects.follow(self._cache)
        parts.needs.subscribe(self._need_changed)
        parts.namespaces.subscribe(self._namespace_changed)
        links.subscribe(self.traits.kind, self._view_changed)
        links.subscribe_reach(self._reach_changed)
        links.subscribe_events(self._event_seen)
        if self.traits.is_everywhere:
            parts.hosts.subscribe(self._host_changed)
        if self.traits is DISK:
            self._cache.subscribe(self._disk_changed)

    def settled(self) -> None:
        """Every host has been asked once: what waits for that goes on."""
        self._enqueue(self._cache)

    def _need_changed(self, kind: str, key: Key) -> None:
        if kind == self.traits.kind:
            self._wake(key)

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and old is not None and _profile(old) != _profile(new):
            self._enqueue(self._cache.by_index(BY_NAMESPACE, new["metadata"]["name"]))

    def _view_changed(self, view: NodeView) -> None:
        self._wake(Key(view.key.namespace, view.key.name))

    def _reach_changed(self, host: str) -> None:
        self._enqueue(self._cache.by_index(BY_PLACE, host))

    def _host_changed(self, old: Object | None, new: Object | None) -> None:
        if old is None or new is None:
            self._enqueue(self._cache)

    def _disk_changed(self, old: Object | None, new: Object | None) -> None:
        """Where a disk lies decides for those that are copied from it."""
        item = new or old
        if item is not None:
            for user in self._parts.needs.users(DISK.kind, key_of(item)):
                if user.kind == DISK.kind:
                    self._wake(user.key)

    def _event_seen(self, host: str, event: Event) -> None:
        if event.ref.kind != self.traits.kind:
            return
        item = self._cache.get(Key(event.ref.namespace, event.ref.name))
        if item is not None:
            self._parts.teller.relay(item, host, event, node_uid=uid_of(item))

    def _enqueue(self, items: Iterable[Object]) -> None:
        for item in items:
            self._wake(key_of(item))


def _profile(namespace: Object) -> str:
    return str((namespace["metadata"].get("labels") or {}).get(PROFILE_LABEL) or "")
