"""Gathers what is known of an object into the plain values that decisions are made from, and keeps what only this process knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

from xvirt.model.profiles import PROFILES
from xvirt.operator.dependents.needs import MACHINE, Needs, User
from xvirt.operator.dependents.places import DiskScene, disk_host, disk_place, disk_problem, pool_hosts
from xvirt.operator.dependents.records import (
    DISK,
    Delivery,
    Dependent,
    Part,
    Problem,
    Scene,
    Traits,
    read_dependent,
)
from xvirt.operator.dependents.references import DiskPlace
from xvirt.operator.machines.document import DEFAULT_PROFILE, Declared, digest_of
from xvirt.operator.names import PROFILE_LABEL
from xvirt.operator.nodes.links import NodeLinks
from xvirt.operator.nodes.state import Sighting
from xvirt.operator.nodes.views import ViewKey
from xvirt.operator.readings import part_of
from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.resources import Key, Object, is_deleting, uid_of
from xvirt.operator.telling import Teller
from xvirt.operator.troubles import Patience, Tries

CLUSTER_PROFILE = PROFILES[-1]
"""Of what belongs to no namespace: only who may change the whole cluster declares it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DependentParts:
    """What the controllers of all kinds work with. `caches`: of the dependents, by kind. `writes` is guarded by the lease, `epoch` its
    number."""

    writes: ApiClient
    caches: Mapping[str, Cache]
    hosts: Cache
    namespaces: Cache
    links: NodeLinks
    needs: Needs
    teller: Teller
    epoch: Callable[[], int]


@dataclasses.dataclass
class HostMemo:
    """What this process remembers of an object on one host."""

    delivered: Delivery | None = None
    calls: Tries = dataclasses.field(default_factory=Tries)
    is_gone: bool = False


@dataclasses.dataclass
class Memo:
    """What this process remembers of an object. Losing it costs a repeated call, never a wrong one."""

    hosts: dict[str, HostMemo] = dataclasses.field(default_factory=dict)
    patience: Patience = dataclasses.field(default_factory=Patience)
    fresh_version: str = ""

    def host(self, name: str) -> HostMemo:
        """Of one host, made where there is none yet."""
        return self.hosts.setdefault(name, HostMemo())


class Gatherer:
    """Of one kind."""

    def __init__(self, traits: Traits, parts: DependentParts) -> None:
        self.traits = traits
        self.cache = parts.caches[traits.kind]
        self._parts = parts
        self._memos: dict[str, Memo] = {}
        self.cache.subscribe(self._forget)

    def _forget(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or uid_of(new) != uid_of(old)):
            self._memos.pop(uid_of(old), None)

    def memo(self, item: Object) -> Memo:
        """What is remembered of an object."""
        return self._memos.setdefault(uid_of(item), Memo())

    def scene(self, item: Object) -> Scene:
        """What is known of an object of the cache."""
        dependent, memo, links = read_dependent(self.traits, item), self.memo(item), self._parts.links
        sightings = links.sightings(dependent.uid)
        needed, problem = self._place(dependent, sightings)
        hosts = {*dependent.recorded, *needed, *(seen.host for seen in sightings)}
        view_key = ViewKey(self.traits.kind, dependent.namespace, dependent.name)
        namesakes = {seen.host: seen for seen in links.sightings_named(view_key) if seen.view.uid != dependent.uid}
        shown = {seen.host: seen for seen in sightings}
        return Scene(
            item=dependent,
            needed=needed,
            parts={host: self._part(host, shown.get(host), namesakes.get(host), memo) for host in hosts},
            users=self._users(dependent),
            problem=problem,
            digest=digest_of(self.declared(item)),
            epoch=self._parts.epoch(),
            is_settled=links.is_settled,
            is_fresh=memo.fresh_version == dependent.version,
            now_s=self._parts.writes.clock.monotonic_s(),
        )

    def _part(self, host: str, shown: Sighting | None, namesake: Sighting | None, memo: Memo) -> Part:
        links, known = self._parts.links, memo.hosts.get(host) or HostMemo()
        delivered = known.delivered
        if delivered is not None and shown is not None and shown.view.applied == delivered.subject:
            known.delivered = delivered = None  # it has come; should it go again, it was taken away
        return Part(
            reach=links.reach(host),
            session=links.session(host),
            view=shown.view if shown is not None else None,
            namesake=namesake.view if namesake is not None else None,
            trouble=known.calls.trouble,
            delivered=delivered,
            is_gone=known.is_gone,
        )

    def declared(self, item: Object) -> Declared:
        """What hosts are to hold of an object."""
        metadata = item["metadata"]
        name = metadata.get("namespace") or ""
        namespace = self._parts.namespaces.get(Key("", name)) if name else None
        labels = (namespace["metadata"].get("labels") or {}) if namespace is not None else {}
        return Declared(
            kind=self.traits.kind,
            namespace=name,
            name=metadata["name"],
            node_uid=uid_of(item),
            generation=int(metadata.get("generation") or 0),
            labels=metadata.get("labels") or {},
            spec=part_of(item, "spec"),
            profile=(labels.get(PROFILE_LABEL) or DEFAULT_PROFILE) if name else CLUSTER_PROFILE,
        )

    # where it belongs

    def _place(self, item: Dependent, sightings: Iterable[Sighting]) -> tuple[frozenset[str], Problem | None]:
        key = Key(item.namespace, item.name)
        if self.traits is DISK:
            return self._place_disk(item, tuple(sightings))
        if self.traits.is_everywhere:
            hosts = (host["metadata"]["name"] for host in self._parts.hosts if not is_deleting(host))
            return pool_hosts(item.spec, hosts), None
        return self._parts.needs.hosts(self.traits.kind, key), None

    def _place_disk(self, item: Dependent, sightings: tuple[Sighting, ...]) -> tuple[frozenset[str], Problem | None]:
        clones = bool(part_of(item.spec, "source").get("clone"))
        scene = DiskScene(
            disk=item,
            disks=disk_places(self.cache, self._parts.needs, item.namespace, [item.name]),
            sighted=tuple(seen.host for seen in sightings),
            is_made=clones and any(seen.view.status.get("path") for seen in sightings),
        )
        host = disk_host(scene)
        return frozenset((host,)) if host else frozenset(), disk_problem(scene)

    def _users(self, item: Dependent) -> tuple[str, ...]:
        """What keeps an object that is being deleted; of others nobody asks."""
        if not item.is_deleting or not (self.traits.is_single or self.traits.is_everywhere):
            return ()
        users = self._parts.needs.users(self.traits.kind, Key(item.namespace, item.name))
        return tuple(str(user) for user in sorted(users) if self.traits.is_everywhere or _holds(user))


def _holds(user: User) -> bool:
    """Whether a user keeps a disk: a machine that has a host and works on it, until it is gone."""
    return user.kind == MACHINE and user.is_attached and bool(user.host)


def disk_places(disks: Cache, needs: Needs, namespace: str, names: Iterable[str]) -> dict[str, DiskPlace]:
    """The VirtualDisks of these names, and those that they are copied from, as far as there are any."""
    found: dict[str, DiskPlace] = {}
    wanted = list(names)
    while wanted:
        name = wanted.pop()
        disk = disks.get(Key(namespace, name))
        if disk is None or name in found:
            continue
        found[name] = disk_place(disk, needs.users(DISK.kind, Key(namespace, name)))
        if found[name].clone:
            wanted.append(str(found[name].clone))
    return found
