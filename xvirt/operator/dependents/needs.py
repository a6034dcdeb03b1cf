"""Who needs what where, kept up to date change by change: thousands of machines may name one network, and none is looked at twice."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from xvirt.operator.dependents.references import (
    References,
    disk_references,
    image_references,
    machine_references,
)
from xvirt.operator.readings import part_of
from xvirt.operator.runtime.resources import Key, Object, is_deleting, key_of

NETWORK, IMAGE, DISK, POOL = "VirtualNetwork", "VirtualImage", "VirtualDisk", "StoragePool"
MACHINE = "VirtualMachine"
REFERENCES = "references"
"""Entry of a cached machine whose spec and status are packed."""


class User(NamedTuple):
    """What uses a VirtualDisk or StoragePool. `host`: where it is, empty for nowhere yet; `created`: for who came first;
    `is_attached`: it works on the disk itself, not on a copy."""

    kind: str
    key: Key
    host: str
    created: str
    is_leaving: bool
    is_attached: bool

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class _Need(NamedTuple):
    kind: str
    key: Key
    user: User


Changed = Callable[[str, Key], None]
"""Told of (kind, key) of what is needed differently now; may only enqueue it."""


class Needs:
    """One per operator; its three methods subscribe to the caches of machines, disks and images."""

    def __init__(self) -> None:
        self._hosts: dict[tuple[str, Key], collections.Counter[str]] = {}
        self._users: dict[tuple[str, Key], dict[tuple[str, Key], User]] = {}
        self._listeners: list[Changed] = []

    def subscribe(self, listener: Changed) -> None:
        """Tell of each change from now on."""
        self._listeners.append(listener)

    # asked

    def hosts(self, kind: str, key: Key) -> frozenset[str]:
        """Hosts of whoever names a VirtualNetwork or VirtualImage and is not about to go."""
        return frozenset(self._hosts.get((kind, key), ()))

    def users(self, kind: str, key: Key) -> tuple[User, ...]:
        """Who names a VirtualDisk or StoragePool."""
        return tuple(self._users.get((kind, key), {}).values())

    # told

    def machine_changed(self, old: Object | None, new: Object | None) -> None:
        """Of the machines' cache. Most changes are of a status, and change nothing here."""
        if old is not None and new is not None and _standing(old) == _standing(new):
            return
        self._replace(_of_machine(old), _of_machine(new))

    def disk_changed(self, old: Object | None, new: Object | None) -> None:
        """Of the disks' cache."""
        self._replace(_of_disk(old), _of_disk(new))

    def image_changed(self, old: Object | None, new: Object | None) -> None:
        """Of the images' cache."""
        self._replace(_of_image(old), _of_image(new))

    def _replace(self, before: frozenset[_Need], after: frozenset[_Need]) -> None:
        changed = {need[:2] for need in (before ^ after) if self._is_change(need, before, after)}
        for need in before - after:
            self._drop(need)
        for need in after - before:
            self._add(need)
        for kind, key in sorted(changed):
            for listener in self._listeners:
                listener(kind, key)

    def _is_change(self, need: _Need, before: frozenset[_Need], after: frozenset[_Need]) -> bool:
        """Whether somebody has to look: hosts of networks and images come and go rarely, their users all the time."""
        kind, key, user = need
        if kind == DISK:
            return True
        if kind == POOL:
            known = self._users.get((kind, key), {})
            return len(known) <= 1
        count = self._hosts.get((kind, key), collections.Counter())[user.host]
        return count <= 1 if need in before else count == 0

    def _add(self, need: _Need) -> None:
        kind, key, user = need
        if kind in (DISK, POOL):
            self._users.setdefault((kind, key), {})[user.kind, user.key] = user
        else:
            self._hosts.setdefault((kind, key), collections.Counter())[user.host] += 1

    def _drop(self, need: _Need) -> None:
        kind, key, user = need
        if kind in (DISK, POOL):
            known = self._users[kind, key]
            del known[user.kind, user.key]
            if not known:
                del self._users[kind, key]
            return
        counts = self._hosts[kind, key]
        counts[user.host] -= 1
        if not counts[user.host]:
            del counts[user.host]
        if not counts:
            del self._hosts[kind, key]


def references_of(machine: Object) -> References:
    """Of a cached machine, packed or whole."""
    known = machine.get(REFERENCES)
    return known if isinstance(known, References) else machine_references(part_of(machine, "spec"))


def _standing(machine: Object) -> tuple[Any, ...]:
    return key_of(machine), host_of(machine), is_deleting(machine), references_of(machine)


def _of_machine(item: Object | None) -> frozenset[_Need]:
    return frozenset(_needs(item, MACHINE, references_of(item))) if item is not None else frozenset()


def _of_disk(item: Object | None) -> frozenset[_Need]:
    return frozenset(_needs(item, DISK, disk_references(part_of(item, "spec")))) if item is not None else frozenset()


def _of_image(item: Object | None) -> frozenset[_Need]:
    return frozenset(_needs(item, IMAGE, image_references(part_of(item, "spec")))) if item is not None else frozenset()


def _needs(item: Object, kind: str, names: References) -> Iterator[_Need]:
    key, host = key_of(item), host_of(item)
    created = str(item["metadata"].get("creationTimestamp") or "")
    user = User(kind, key, host, created, is_leaving=is_deleting(item), is_attached=False)
    if host and not user.is_leaving:
        bare = User(kind, key, host, "", is_leaving=False, is_attached=False)
        for needed, each in ((NETWORK, names.networks), (IMAGE, names.images)):
            for name in each:
                yield _Need(needed, Key(key.namespace, name), bare)
    attached = user._replace(is_attached=True)
    for name in dict.fromkeys((*names.disks, *names.clones)):
        yield _Need(DISK, Key(key.namespace, name), attached if name in names.disks else user)
    for name in names.pools:
        yield _Need(POOL, Key("", name), user._replace(host="", created="", is_leaving=False))


def host_of(item: Any) -> str:
    """Host of a machine or disk, as its status tells."""
    return str(part_of(item, "status").get("nodeName") or "")
