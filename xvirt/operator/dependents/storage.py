"""Where VirtualDisks and StoragePools bind machines to, for whoever places machines."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xvirt.operator.dependents.gather import disk_places
from xvirt.operator.dependents.needs import MACHINE, Needs, host_of, references_of
from xvirt.operator.dependents.records import DISK
from xvirt.operator.dependents.references import (
    DiskPlace,
    References,
    RequiredHosts,
    disk_references,
    image_references,
    required_hosts,
)
from xvirt.operator.readings import names_of, part_of
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.resources import Key, Object, key_of, uid_of

CLAIM_S = 30.0
"""How long a host that is about to be written down for a machine counts before the cache shows it: longer than a write takes."""
_CHAIN_MAX = 64
"""Disks that are copied from each other, one after the other, as far as anybody follows them."""


class Storage:
    """Over the caches of disks, images and pools. One per operator that leads."""

    def __init__(self, disks: Cache, images: Cache, pools: Cache, needs: Needs, now_s: Callable[[], float]) -> None:
        self._disks = disks
        self._images = images
        self._pools = pools
        self._needs = needs
        self._now_s = now_s
        self._claims: dict[Key, tuple[str, str, float]] = {}

    def required(self, machine: Object) -> RequiredHosts:
        """The hosts of a cached machine."""
        names, namespace = references_of(machine), key_of(machine).namespace
        wanted = (*names.disks, *names.clones)
        places = disk_places(self._disks, self._needs, namespace, wanted) if wanted else {}
        pools, images = self._needs_to_be(names, places, namespace)
        hosts = {name: self._pool_hosts(name) for name in pools}
        if not (wanted or images or any(hosts.values())):
            return RequiredHosts()
        return required_hosts(names, places, hosts, images)

    def _needs_to_be(
        self, names: References, places: Mapping[str, DiskPlace], namespace: str
    ) -> tuple[set[str], list[str]]:
        """Pools of whatever is to be made or fetched where the machine will be, since disks that have a host are there already; and the images
        that are not there, where the pool of one that comes later could bind it."""
        pools, images = set(names.pools), set(names.images)
        for name in (name for name, place in places.items() if not place.host):
            disk = self._disks.get(Key(namespace, name))
            more = disk_references(part_of(disk, "spec")) if disk is not None else References()
            pools.update(more.pools)
            images.update(more.images)
        known = {name: self._images.get(Key(namespace, name)) for name in images}
        for image in known.values():
            pools.update(image_references(part_of(image, "spec")).pools if image is not None else ())
        missing = sorted(name for name, image in known.items() if image is None)
        are_bound = missing and any(names_of(part_of(pool, "spec"), "hosts") for pool in self._pools)
        return pools, missing if are_bound else []

    def _pool_hosts(self, name: str) -> tuple[str, ...]:
        pool = self._pools.get(Key("", name))
        return names_of(part_of(pool, "spec"), "hosts") if pool is not None else ()

    def claim(self, machine: Object, host: str) -> bool:
        """Whether a host may be written down for a machine now. Two machines with one new disk would each take it to a host of its own
        in the moment between a write and its answer; the first one's claim holds until the cache knows."""
        names = references_of(machine)
        if not host or host_of(machine) or not (names.disks or names.clones):
            return True
        keys = [Key(key_of(machine).namespace, name) for name in (*names.disks, *names.clones)]
        if any(self._is_claimed(key, uid_of(machine), host) for key in keys):
            return False
        self._claims = {key: claim for key, claim in self._claims.items() if self._now_s() < claim[2]}
        for key in keys:
            self._claims[key] = (uid_of(machine), host, self._now_s() + CLAIM_S)
        return True

    def _is_claimed(self, key: Key, uid: str, host: str) -> bool:
        claim = self._claims.get(key)
        if claim is None:
            return False
        owner, place, until_s = claim
        return self._now_s() < until_s and owner != uid and place != host

    def affected(self, key: Key) -> set[Key]:
        """Machines that a disk binds, by itself or by those that are copied from it."""
        found, seen, waiting = set[Key](), set[Key](), [key]
        while waiting and len(seen) < _CHAIN_MAX:
            disk = waiting.pop()
            seen.add(disk)
            for user in self._needs.users(DISK.kind, disk):
                if user.kind == MACHINE:
                    found.add(user.key)
                elif user.key not in seen:
                    waiting.append(user.key)
        return found
