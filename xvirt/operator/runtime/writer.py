"""Status: written on change only, and never over a version that the writer has not seen."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.clock import format_time
from xvirt.operator.runtime.resources import Object, key_of, uid_of, version_of

_LIST_KEYS = ("type", "name", "uid", "key")


@dataclasses.dataclass(frozen=True)
class Known:
    """What a release knows of a status: the fields right below it, and the types of its conditions."""

    fields: frozenset[str]
    conditions: frozenset[str]

    def known_of(self, status: Mapping[str, Any]) -> Object:
        """Of a status, what is known."""
        found = {name: value for name, value in status.items() if name in self.fields}
        if self.strange_conditions(status):
            found["conditions"] = [each for each in found["conditions"] if each.get("type") in self.conditions]
        return found

    def strange_conditions(self, status: Mapping[str, Any]) -> list[Object]:
        """Those of other types."""
        return [each for each in status.get("conditions") or () if each.get("type") not in self.conditions]


class StatusWriter:
    """Writes `/status` of one kind for one manager. One per cache; objects that left the cache are forgotten."""

    def __init__(
        self, client: ApiClient, cache: Cache, *, others: Iterable[str] = (), known: Known | None = None
    ) -> None:
        """`others` are fields right below status that other managers own: left out when comparing. `known`: what is beyond it was
        written by a later release of this manager, and stays; None where everything is known."""
        self._client = client
        self._cache = cache
        self._others = frozenset(others)
        self._known = known
        self._written: dict[str, tuple[bytes, bytes]] = {}
        cache.subscribe(self._forget)

    async def write(self, item: Object, status: Mapping[str, Any]) -> bool:
        """Make `status` the object's whole status of this manager; False where it is already.

        `item` is the cached object that was decided on: a newer one raises Conflict, and the caller decides again. A condition keeps its
        lastTransitionTime while its status stays. Empty values (None) are left out.
        """
        wanted = {name: value for name, value in status.items() if value is not None}
        before = item.get("status") or {}
        wanted = self._with_later(before, wanted)
        if isinstance(wanted.get("conditions"), list):
            wanted["conditions"] = settle_conditions(
                before.get("conditions") or (), wanted["conditions"], self._client.clock.wall()
            )
        if self._is_same(item, wanted):
            return False
        document = self._cache.resource.object(key_of(item), status=wanted)
        document["metadata"] |= {"resourceVersion": version_of(item), "uid": uid_of(item)}
        answer = await self._client.apply_status(self._cache.resource, document)
        self._written[uid_of(item)] = (_digest(wanted), _digest(self._mine(answer)))
        self._cache.learn(answer)
        return True

    def _with_later(self, before: Object, wanted: Object) -> Object:
        """An apply takes away what it leaves out, whoever of one name has written it."""
        if self._known is None:
            return wanted
        beyond = {name: value for name, value in before.items() if name not in self._known.fields | self._others}
        said = {condition["type"] for condition in wanted.get("conditions") or ()}
        later = [each for each in self._known.strange_conditions(before) if each.get("type") not in said]
        kept = {**beyond, **wanted}
        return {**kept, "conditions": [*(kept.get("conditions") or ()), *later]} if later else kept

    def _is_same(self, item: Object, wanted: Object) -> bool:
        there, ours = _digest(self._mine(item)), _digest(wanted)
        # What the server stores may differ from what was sent (pruned, defaulted): what it made of the same status once is the same.
        return there == ours or self._written.get(uid_of(item)) == (ours, there)

    def _mine(self, item: Object) -> Object:
        return {name: value for name, value in (item.get("status") or {}).items() if name not in self._others}

    def _forget(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is None:
            self._written.pop(uid_of(old), None)


def settle_conditions(
    before: Iterable[Mapping[str, Any]], wanted: Iterable[Mapping[str, Any]], now: datetime.datetime
) -> list[Object]:
    """The wanted conditions with lastTransitionTime: the old one where type and status are as before, else now."""
    known = {condition["type"]: condition for condition in before}
    settled = []
    for condition in wanted:
        old = known.get(condition["type"], {})
        is_kept = old.get("status") == condition["status"] and old.get("lastTransitionTime")
        settled.append({**condition, "lastTransitionTime": old["lastTransitionTime"] if is_kept else format_time(now)})
    return settled


def _digest(value: Any) -> bytes:
    return hashlib.blake2b(orjson.dumps(_canonical(value), option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _canonical(value: Any) -> Any:
    """Lists of objects with a key are sets to the API server; their order says nothing."""
    if isinstance(value, dict):
        return {name: _canonical(each) for name, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        items = [_canonical(each) for each in value]
        for name in _LIST_KEYS:
            if items and all(isinstance(each, dict) and isinstance(each.get(name), str) for each in items):
                return sorted(items, key=lambda each: str(each[name]))
        return items
    return value
