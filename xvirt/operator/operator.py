"""All parts of one operator, wired; `main` gives it the world.

caches, reflectors          from the start, so that the next leader knows everything already
links, controllers          once the lease is held; they end with it
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable

from xvirt.operator.dependents.following import DependentQueues, index_caches
from xvirt.operator.dependents.gather import DependentParts
from xvirt.operator.dependents.needs import Needs
from xvirt.operator.dependents.records import ALL as DEPENDENTS
from xvirt.operator.dependents.storage import Storage
from xvirt.operator.hosts.controller import HostController, HostParts
from xvirt.operator.hosts.records import HostSettings
from xvirt.operator.kinds import RESOURCES, VIRTUAL_HOSTS, VIRTUAL_MACHINES
from xvirt.operator.machines.controller import KIND, MachineController, MachineParts
from xvirt.operator.machines.following import MachineFollower
from xvirt.operator.machines.holder import HolderSettings
from xvirt.operator.machines.secrets import SecretVersions
from xvirt.operator.machines.shapes import (
    BY_HOST,
    BY_MACHINE,
    BY_NAMESPACE,
    BY_SECRET,
    index_host,
    index_namespace,
    index_pod,
    index_secrets,
    shape_machine,
    shape_names,
    shape_node,
    shape_pod,
)
from xvirt.operator.names import VM_UID_LABEL
from xvirt.operator.nodes.link import LinkOptions
from xvirt.operator.nodes.links import NodeLinks, Opener
from xvirt.operator.nodes.views import NodeView
from xvirt.operator.runtime.api import ApiClient, Selection
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.controller import Controller, ControllerOptions
from xvirt.operator.runtime.lease import Lease, LeaseOptions
from xvirt.operator.runtime.recorder import Recorder
from xvirt.operator.runtime.reflector import Reflector
from xvirt.operator.runtime.resources import NAMESPACES, NODES, PODS, Key, uid_of
from xvirt.operator.soundness import shape_of
from xvirt.operator.telling import Teller

log = logging.getLogger(__name__)

NAME = "xvirt-operator"
SILENT_MAX_S = 180.0
"""A cache that its watch has said nothing about for so long may be old: the operator is not ready."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperatorParts:
    """What an operator is given. `open_client`: a host's name and address to a client. `on_lost`: must end the process."""

    client: ApiClient
    open_client: Opener
    lease: LeaseOptions
    on_lost: Callable[[str], None]
    holder: HolderSettings = dataclasses.field(default_factory=HolderSettings)
    hosts: HostSettings = dataclasses.field(default_factory=HostSettings)
    machine_options: ControllerOptions = dataclasses.field(default_factory=lambda: ControllerOptions(workers=32))
    host_options: ControllerOptions = dataclasses.field(default_factory=lambda: ControllerOptions(workers=8))


@dataclasses.dataclass(frozen=True)
class _Machines:
    """What works on machines."""

    controller: Controller
    follower: MachineFollower
    secrets: SecretVersions


class Operator:
    """One replica. `run` never returns while all is well; cancel it, then `release`."""

    def __init__(self, parts: OperatorParts) -> None:
        self._parts = parts
        client = parts.client
        self.lease = Lease(client, parts.lease, parts.on_lost)
        self.machines = Cache(VIRTUAL_MACHINES, shape_machine)
        self.machines.add_index(BY_HOST, index_host)
        self.machines.add_index(BY_NAMESPACE, index_namespace)
        self.machines.add_index(BY_SECRET, index_secrets)
        self.pods = Cache(PODS, shape_pod)
        self.pods.add_index(BY_MACHINE, index_pod)
        self.hosts = Cache(VIRTUAL_HOSTS, shape_of("VirtualHost"))
        self.nodes = Cache(NODES, shape_node)
        self.namespaces = Cache(NAMESPACES, shape_names)
        self.dependents = {traits.kind: Cache(RESOURCES[traits.kind], shape_of(traits.kind)) for traits in DEPENDENTS}
        index_caches(self.dependents)
        self.needs = Needs()
        self.machines.subscribe(self.needs.machine_changed)
        self.dependents["VirtualDisk"].subscribe(self.needs.disk_changed)
        self.dependents["VirtualImage"].subscribe(self.needs.image_changed)
        caches = (self.machines, self.hosts, self.nodes, self.namespaces, *self.dependents.values())
        self.reflectors = [Reflector(client, cache) for cache in caches]
        self.reflectors.append(Reflector(client, self.pods, Selection(label=VM_UID_LABEL)))
        self.links: NodeLinks | None = None

    @property
    def is_ready(self) -> bool:
        """Whether every cache is whole and not old. Leading or not is no part of it."""
        return all(each.has_synced and each.silent_for_s() < SILENT_MAX_S for each in self.reflectors)

    async def run(self) -> None:
        """Follow the cluster; once this replica leads, work."""
        async with asyncio.TaskGroup() as tasks:
            for reflector in self.reflectors:
                tasks.create_task(reflector.run(), name=f"reflector-{reflector.name}")
            tasks.create_task(self.lease.run(), name="lease")
            tasks.create_task(self._lead(), name="lead")

    async def release(self) -> None:
        """Let another replica lead at once. Every task of `run` must have ended."""
        await self.lease.release()

    async def _lead(self) -> None:
        await self.lease.acquired()
        for reflector in self.reflectors:
            await reflector.wait_synced()
        authority = uid_of(await self._parts.client.get(NAMESPACES, Key("", "kube-system")))
        client = self._parts.client
        writes = client.guarded(self.lease.guard)
        self.links = links = NodeLinks(self._parts.open_client, self._link_options(authority))
        recorder = Recorder(writes, NAME, self._parts.lease.identity)
        teller = Teller(recorder, self.namespaces)
        machines = self._machines_at_work(writes, links, teller)
        dependents = self._dependent_queues(writes, links, teller)

        def settled() -> None:
            machines.follower.settled()
            for queues in dependents:
                queues.settled()

        hosts = self._host_controller(writes, links, settled)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(links.run(), name="links")
            tasks.create_task(recorder.run(), name="recorder")
            tasks.create_task(hosts.run(), name="hosts")
            tasks.create_task(machines.secrets.run(), name="secrets")
            tasks.create_task(machines.controller.run(), name="machines")
            for queues in dependents:
                for controller in (queues.objects, queues.errands):
                    tasks.create_task(controller.run(), name=controller.name)

    def _link_options(self, authority: str) -> LinkOptions:
        clock = self._parts.client.clock
        return LinkOptions(
            authority=authority,
            epoch=lambda: self.lease.epoch,
            guard=self.lease.guard,
            now_s=clock.monotonic_s,
        )

    def _machines_at_work(self, writes: ApiClient, links: NodeLinks, teller: Teller) -> _Machines:
        secrets = SecretVersions(
            writes,
            on_change=lambda key: follower.secret_changed(key),
            is_wanted=lambda key: bool(self.machines.by_index(BY_SECRET, str(key))),
        )
        disks, images, pools = (self.dependents[kind] for kind in ("VirtualDisk", "VirtualImage", "StoragePool"))
        storage = Storage(disks, images, pools, self.needs, writes.clock.monotonic_s)
        parts = MachineParts(
            writes=writes,
            machines=self.machines,
            hosts=self.hosts,
            nodes=self.nodes,
            pods=self.pods,
            namespaces=self.namespaces,
            secrets=secrets,
            links=links,
            teller=teller,
            epoch=lambda: self.lease.epoch,
            settings=self._parts.holder,
            storage=storage,
        )
        made, options = MachineController(parts), self._parts.machine_options
        controller = Controller("machines", made.reconcile, options=options, clock=writes.clock, metrics=writes.metrics)
        follower = MachineFollower(parts, controller)
        follower.start()
        follower.follow_storage(self.needs, disks, images, pools)
        return _Machines(controller, follower, secrets)

    def _dependent_queues(self, writes: ApiClient, links: NodeLinks, teller: Teller) -> list[DependentQueues]:
        parts = DependentParts(
            writes=writes,
            caches=self.dependents,
            hosts=self.hosts,
            namespaces=self.namespaces,
            links=links,
            needs=self.needs,
            teller=teller,
            epoch=lambda: self.lease.epoch,
        )
        made = [DependentQueues(traits, parts) for traits in DEPENDENTS]
        for queues in made:
            queues.start()
        return made

    def _host_controller(self, writes: ApiClient, links: NodeLinks, on_settled: Callable[[], None]) -> Controller:
        parts = HostParts(
            writes=writes,
            hosts=self.hosts,
            nodes=self.nodes,
            machines=self.machines,
            links=links,
            is_declared=self._is_declared,
            settings=self._parts.hosts,
            on_settled=on_settled,
        )
        made = HostController(parts)
        options = self._parts.host_options
        controller = Controller("hosts", made.reconcile, options=options, clock=writes.clock, metrics=writes.metrics)
        made.follow(controller)
        made.settle_without_hosts()
        return controller

    def _is_declared(self, view: NodeView) -> bool:
        """Whether the cluster has what a node shows; of kinds that nothing here follows, nobody can say."""
        if view.key.kind == KIND:
            return self.machines.get(Key(view.key.namespace, view.key.name)) is not None
        cache = self.dependents.get(view.key.kind)
        return cache is None or cache.by_uid(view.uid) is not None
