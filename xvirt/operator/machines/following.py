"""Which machines a change brings up. Everything here only enqueues keys."""

from __future__ import annotations

from collections.abc import Iterable

from xvirt.model.exchange import Event
from xvirt.operator.dependents.needs import DISK, Needs, host_of
from xvirt.operator.machines.controller import KIND, MachineParts
from xvirt.operator.machines.records import read_machine
from xvirt.operator.machines.shapes import BY_HOST, BY_NAMESPACE, BY_SECRET, unpack
from xvirt.operator.names import PROFILE_LABEL, VM_NAME_LABEL
from xvirt.operator.nodes.views import NodeView
from xvirt.operator.readings import part_of
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.controller import Controller
from xvirt.operator.runtime.queue import Priority
from xvirt.operator.runtime.resources import Key, Object, is_deleting, key_of, uid_of


class MachineFollower:
    """Brings machines up in a controller's queue."""

    def __init__(self, parts: MachineParts, controller: Controller) -> None:
        self._parts = parts
        self._controller = controller
        self._was_settled = False

    def start(self) -> None:
        """From now on."""
        parts, controller = self._parts, self._controller
        controller.follow(parts.machines)
        controller.follow(parts.pods, _machine_of)
        parts.namespaces.subscribe(self._namespace_changed)
        parts.hosts.subscribe(self._host_changed)
        parts.links.subscribe(KIND, self._view_changed)
        parts.links.subscribe_reach(self._reach_changed)
        parts.links.subscribe_events(self._event_seen)

    def follow_storage(self, needs: Needs, disks: Cache, images: Cache, pools: Cache) -> None:
        """Bring up the machines that a disk, image or pool binds to hosts, when it comes to bind them differently."""

        def disk_changed(old: Object | None, new: Object | None) -> None:
            item = new or old
            if item is not None and (old is None or new is None or _place(old) != _place(new)):
                self._enqueue_keys(self._parts.storage.affected(key_of(item)))

        def need_changed(kind: str, key: Key) -> None:
            if kind == DISK:
                self._enqueue_keys(self._parts.storage.affected(key))

        def pool_changed(old: Object | None, new: Object | None) -> None:
            if old is None or new is None or old.get("spec") != new.get("spec"):
                self._enqueue(self._parts.machines.by_index(BY_HOST, ""))

        def image_changed(old: Object | None, new: Object | None) -> None:
            if old is None or new is None or _pool(old) != _pool(new):
                self._enqueue(self._parts.machines.by_index(BY_HOST, ""))

        disks.subscribe(disk_changed)
        images.subscribe(image_changed)
        needs.subscribe(need_changed)
        pools.subscribe(pool_changed)

    def _enqueue_keys(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._controller.enqueue(key, Priority.NODE)

    def _namespace_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and (old is None or _meaning(old) != _meaning(new)):
            self._enqueue(self._parts.machines.by_index(BY_NAMESPACE, new["metadata"]["name"]))

    def _host_changed(self, old: Object | None, new: Object | None) -> None:
        """One outside of the cluster takes machines that nobody schedules."""
        if old is None or new is None or _takes_machines(old) != _takes_machines(new):
            self._enqueue(self._parts.machines.by_index(BY_HOST, ""))

    def secret_changed(self, secret: Key) -> None:
        """A Secret is another, there, or gone."""
        self._enqueue(self._parts.machines.by_index(BY_SECRET, str(secret)))

    def _view_changed(self, view: NodeView) -> None:
        self._controller.enqueue(Key(view.key.namespace, view.key.name), Priority.NODE)

    def _reach_changed(self, host: str) -> None:
        self._enqueue(self._parts.machines.by_index(BY_HOST, host))
        is_settled = self._parts.links.is_settled
        if is_settled and not self._was_settled:
            self._enqueue(self._parts.machines.by_index(BY_HOST, ""))
        self._was_settled = is_settled

    def settled(self) -> None:
        """Whether all hosts are known may have changed without any of them changing."""
        self._reach_changed("")

    def _event_seen(self, host: str, event: Event) -> None:
        if event.ref.kind != KIND:
            return
        item = self._parts.machines.get(Key(event.ref.namespace, event.ref.name))
        if item is not None:
            is_own = event.ref.uid == uid_of(item)
            node_uid = event.ref.uid if is_own else read_machine(unpack(item)).node_uid
            self._parts.teller.relay(item, host, event, node_uid=node_uid)

    def _enqueue(self, items: list[Object]) -> None:
        for item in items:
            self._controller.enqueue(key_of(item), Priority.NODE)


def _machine_of(pod: Object) -> list[Key]:
    name = (pod["metadata"].get("labels") or {}).get(VM_NAME_LABEL)
    return [Key(pod["metadata"]["namespace"], name)] if name else []


def _place(disk: Object) -> tuple[str, str]:
    return host_of(disk), str((disk.get("spec") or {}).get("host") or "")


def _pool(image: Object) -> object:
    return part_of(image, "spec").get("pool")


def _takes_machines(host: Object) -> object:
    status = host.get("status") or {}
    return status.get("unschedulable"), status.get("taints"), status.get("allocatable")


def _meaning(namespace: Object) -> tuple[str, bool]:
    """What machines make of their namespace."""
    return str((namespace["metadata"].get("labels") or {}).get(PROFILE_LABEL) or ""), is_deleting(namespace)
