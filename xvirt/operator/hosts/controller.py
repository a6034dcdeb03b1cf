"""Reconciles VirtualHosts: makes them from Nodes, has their links followed, tells the scheduler of their room, writes their status."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable

from xvirt.model.errors import XvirtError
from xvirt.operator.hosts.decide import AdvertiseRoom, MakeHost, RemoveHost, decide, find_address
from xvirt.operator.hosts.records import HostRecord, HostScene, HostSettings, Room, read_node
from xvirt.operator.hosts.status import host_status, is_urgent
from xvirt.operator.kinds import KNOWN, VIRTUAL_HOSTS
from xvirt.operator.machines.shapes import BY_HOST, room_of
from xvirt.operator.names import MADE_ANNOTATION
from xvirt.operator.nodes.link import HostFacts
from xvirt.operator.nodes.links import NodeLinks
from xvirt.operator.nodes.state import Reach
from xvirt.operator.nodes.views import NodeView
from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.clock import format_time
from xvirt.operator.runtime.controller import Controller, Requeue
from xvirt.operator.runtime.errors import AlreadyExists, NotFound
from xvirt.operator.runtime.queue import Priority
from xvirt.operator.runtime.resources import NODES, Key, Object, is_deleting
from xvirt.operator.runtime.writer import StatusWriter
from xvirt.operator.troubles import Patience

HOLD_S = 15.0
"""Figures that nobody waits for are told together, this long after the first of them."""
LOOK_AGAIN_S = 45.0
"""A node that does not tell of itself is looked at again without any news."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HostParts:
    """What the controller works with. `writes` is guarded by the lease. `is_declared`: whether the cluster has what a node shows."""

    writes: ApiClient
    hosts: Cache
    nodes: Cache
    machines: Cache
    links: NodeLinks
    is_declared: Callable[[NodeView], bool]
    settings: HostSettings
    on_settled: Callable[[], None]


class HostController:
    """`reconcile` is one step for one host."""

    def __init__(self, parts: HostParts) -> None:
        self._parts = parts
        self._clock = parts.writes.clock
        self._status = StatusWriter(parts.writes, parts.hosts, known=KNOWN["VirtualHost"])
        self._patience: dict[str, Patience] = {}
        self._obstacles: dict[str, str] = {}
        self._unseen: set[str] | None = None

    def follow(self, controller: Controller) -> None:
        """Bring hosts up in a controller's queue."""
        parts = self._parts
        controller.follow(parts.hosts)
        controller.follow(parts.nodes)
        parts.links.subscribe_reach(lambda host: controller.enqueue(Key("", host), Priority.USER))
        parts.links.subscribe_facts(lambda host: controller.enqueue(Key("", host), Priority.NODE))

        def placed(old: Object | None, new: Object | None) -> None:
            hosts = [item["status"].get("nodeName") if item is not None else None for item in (old, new)]
            if hosts[0] != hosts[1] or (old and new and room_of(old) != room_of(new)):
                for host in hosts:
                    if host:
                        controller.enqueue(Key("", host), Priority.RESYNC)

        parts.machines.subscribe(placed)

    async def reconcile(self, key: Key) -> Requeue | None:
        """One effect at most; the time after which to look again."""
        self._link(key.name)
        scene = self._scene(key.name)
        self._settle(key.name)
        effect = decide(scene)
        if effect is not None:
            await self._perform(effect, key)
            return Requeue(0.0)
        return await self._tell(scene, key)

    # links

    def _link(self, name: str) -> None:
        """Follow the host, or follow it no more."""
        scene = self._scene(name)
        address = find_address(scene) if scene.host is not None else ""
        self._obstacles.pop(name, None)
        if not address:
            self._parts.links.drop(name)
            if scene.host is not None:
                self._obstacles[name] = "nobody says where it is: set spec.address, or an InternalIP on its Node"
            return
        try:
            self._parts.links.want(name, address)
        except XvirtError as error:
            self._obstacles[name] = error.message

    def _settle(self, name: str) -> None:
        """Once every host that there is has been looked at, what no host shows is nowhere."""
        links = self._parts.links
        if links.has_all_hosts:
            return
        if self._unseen is None:
            nodes = (read_node(node) for node in self._parts.nodes)
            known = {item["metadata"]["name"] for item in self._parts.hosts}
            self._unseen = known | {node.name for node in nodes if node.is_host}
        if self._parts.hosts.get(Key("", name)) is not None or name not in self._unseen:
            self._unseen.discard(name)
        if not self._unseen:
            links.has_all_hosts = True
            self._parts.on_settled()

    def settle_without_hosts(self) -> None:
        """The caches are whole: where there is no host at all, nothing is waited for."""
        self._settle("")

    # what is known

    def _scene(self, name: str) -> HostScene:
        parts = self._parts
        node, host, link = parts.nodes.get(Key("", name)), parts.hosts.get(Key("", name)), parts.links.find(name)
        views = tuple(link.views) if link is not None else ()
        now = self._clock.wall()
        heard = ""
        if link is not None and link.session.number:
            heard = format_time(now - datetime.timedelta(seconds=link.silent_for_s))
        return HostScene(
            name=name,
            node=read_node(node) if node is not None else None,
            host=_read_host(host) if host is not None else None,
            reach=link.reach if link is not None else Reach.UNKNOWN,
            facts=link.facts if link is not None else HostFacts(),
            failure=link.last_failure if link is not None else "",
            obstacle=self._obstacles.get(name, ""),
            heard=heard,
            holds_objects=bool(views),
            placed=self._placed(name),
            undeclared=tuple(sorted(_named(view) for view in views if not parts.is_declared(view))),
            settings=parts.settings,
            now=format_time(now),
            now_s=self._clock.monotonic_s(),
        )

    def _placed(self, name: str) -> Room:
        rooms = [room_of(item) for item in self._parts.machines.by_index(BY_HOST, name)]
        return Room(
            vcpus=sum(room[0] for room in rooms), memory_bytes=sum(room[1] for room in rooms), machines=len(rooms)
        )

    # effects

    async def _perform(self, effect: MakeHost | RemoveHost | AdvertiseRoom, key: Key) -> None:
        writes, parts = self._parts.writes, self._parts
        match effect:
            case MakeHost():
                made = VIRTUAL_HOSTS.object(key, spec={})
                made["metadata"]["annotations"] = {MADE_ANNOTATION: "true"}
                try:
                    parts.hosts.learn(await writes.create(VIRTUAL_HOSTS, made))
                except AlreadyExists:
                    parts.hosts.learn(await writes.get(VIRTUAL_HOSTS, key))
            case RemoveHost():
                item = parts.hosts.get(key)
                if item is not None:
                    try:
                        await writes.delete(VIRTUAL_HOSTS, item, is_version_kept=True)
                    except NotFound:
                        parts.hosts.delete(item)
            case AdvertiseRoom(resources):
                status = {"status": {"capacity": dict(resources), "allocatable": dict(resources)}}
                parts.nodes.learn(await writes.merge_patch(NODES, key, status, subresource="status"))

    async def _tell(self, scene: HostScene, key: Key) -> Requeue | None:
        item, status = self._parts.hosts.get(key), host_status(scene)
        look_again = Requeue(LOOK_AGAIN_S) if scene.facts.failed_since_s is not None else None
        if item is None or status is None:
            self._patience.pop(key.name, None)
            return look_again
        patience = self._patience.setdefault(key.name, Patience())
        is_due_now = is_urgent(item.get("status") or {}, status)
        left_s = patience.hold(self._clock.monotonic_s(), HOLD_S, is_urgent=is_due_now)
        if left_s is not None:
            return Requeue(left_s)
        await self._status.write(item, status)
        return look_again


def _read_host(item: Object) -> HostRecord:
    metadata = item["metadata"]
    return HostRecord(
        name=metadata["name"],
        generation=int(metadata.get("generation") or 0),
        is_made=(metadata.get("annotations") or {}).get(MADE_ANNOTATION) == "true",
        is_deleting=is_deleting(item),
        spec=item.get("spec") or {},
        status=KNOWN["VirtualHost"].known_of(item.get("status") or {}),
    )


def _named(view: NodeView) -> str:
    place = f"{view.key.namespace}/" if view.key.namespace else ""
    return f"{view.key.kind} {place}{view.key.name}"
