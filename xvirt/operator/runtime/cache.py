"""The objects of one kind as last seen, with indexes. Written by its reflector and by answers to one's own writes; read by everybody."""

from __future__ import annotations

import collections
import logging
from collections.abc import Callable, Iterable, Iterator

from xvirt.operator.runtime.resources import (
    LAST_APPLIED,
    Key,
    Object,
    Resource,
    key_of,
    uid_of,
    version_of,
)

log = logging.getLogger(__name__)

Handler = Callable[[Object | None, Object | None], None]
"""Called with (old, new); None for what is not there. Only enqueues keys: it must not wait; what it raises is logged and keeps nobody else."""
Index = Callable[[Object], Iterable[str]]

TOMBSTONES_MAX = 2000
"""Uids of deleted objects that a late answer must not bring back."""


class Cache:
    """Objects by key. What it returns is shared and must not be changed.

    `shape` cuts an object down before it is kept, in place or anew; it must keep metadata's name, namespace, uid and resourceVersion.
    """

    def __init__(self, resource: Resource, shape: Callable[[Object], Object] | None = None) -> None:
        self.resource = resource
        self._shape = shape
        self._items: dict[Key, Object] = {}
        self._indexes: dict[str, tuple[Index, dict[str, set[Key]]]] = {}
        self._handlers: list[Handler] = []
        self._gone: collections.OrderedDict[str, None] = collections.OrderedDict()
        self._learned: dict[Key, str] | None = None
        self.add_index("uid", lambda item: (uid_of(item),))

    # reading

    def get(self, key: Key) -> Object | None:
        """The object of a key."""
        return self._items.get(key)

    def by_uid(self, uid: str) -> Object | None:
        """The object with a uid."""
        return next(iter(self.by_index("uid", uid)), None)

    def by_index(self, name: str, value: str) -> list[Object]:
        """The objects for which an index answers `value`, in the order of their keys."""
        _, entries = self._indexes[name]
        return [self._items[key] for key in sorted(entries.get(value, ()))]

    def keys(self) -> list[Key]:
        """All keys now."""
        return list(self._items)

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self._items.values()))

    def __len__(self) -> int:
        return len(self._items)

    # whoever wants to know

    def add_index(self, name: str, index: Index) -> None:
        """Answer `by_index(name, value)` from now on. `index` gives the values of one object."""
        entries: dict[str, set[Key]] = {}
        self._indexes[name] = (index, entries)
        for key, item in self._items.items():
            for value in self._values(index, item):
                entries.setdefault(value, set()).add(key)

    def subscribe(self, handler: Handler) -> None:
        """Call `handler` for each change from now on, and at once for each object that is there."""
        self._handlers.append(handler)
        for item in self:
            handler(None, item)

    # writing

    def shape(self, item: Object) -> Object:
        """The object as it is kept; the very one that is there where nothing changed, so that a snapshot needs no second memory."""
        known = self._items.get(key_of(item))
        if known is not None and uid_of(known) == uid_of(item) and version_of(known) == version_of(item):
            return known
        annotations = item["metadata"].get("annotations")
        if annotations:
            annotations.pop(LAST_APPLIED, None)
        if self._shape is None:
            return item
        try:
            return self._shape(item)
        except Exception:
            log.exception("%s %s cannot be cut down", self.resource.plural, key_of(item))
            return item

    def put(self, item: Object) -> None:
        """An event says so (the object is shaped already). An older version of what is there is left out."""
        key = key_of(item)
        old = self._items.get(key)
        if old is not None and uid_of(old) != uid_of(item):
            if uid_of(item) in self._gone:
                return
            self._drop(key)
            old = None
        if old is not None and not _is_newer(item, old):
            return
        self._set(key, old, item)

    def delete(self, item: Object) -> None:
        """An event says that this object is gone; another one of the same name stays."""
        self._bury(uid_of(item))
        old = self._items.get(key_of(item))
        if old is not None and uid_of(old) == uid_of(item):
            self._drop(key_of(item))

    def learn(self, answer: Object) -> None:
        """The answer to one's own write: known before its event comes. What is older or deleted meanwhile is left out.

        Only for what belongs here: an object that the reflector's selection leaves out would stay for ever.
        """
        if uid_of(answer) in self._gone or not version_of(answer).isdecimal():
            return
        item = self.shape(answer)
        self.put(item)
        if self._learned is not None:
            self._learned[key_of(item)] = version_of(item)

    def expect_snapshot(self) -> None:
        """A snapshot is being taken: what is learned from here on may be newer than it."""
        self._learned = {}

    def replace(self, items: Iterable[Object], resource_version: str) -> None:
        """A snapshot as of a resourceVersion: what it lacks is deleted, what differs is changed, the rest is left alone."""
        learned, self._learned = self._learned or {}, None
        fresh = {key_of(item): item for item in items}
        for key in [key for key in self._items if key not in fresh]:
            if not _is_later(learned.get(key, ""), resource_version):
                self._bury(uid_of(self._items[key]))
                self._drop(key)
        for key, item in fresh.items():
            old = self._items.get(key)
            if _is_later(learned.get(key, ""), version_of(item)):
                continue
            if old is not None and uid_of(old) != uid_of(item):
                self._bury(uid_of(old))
                self._drop(key)
                old = None
            if old is None or version_of(old) != version_of(item):
                self._set(key, old, item)

    def _set(self, key: Key, old: Object | None, new: Object) -> None:
        self._items[key] = new
        self._gone.pop(uid_of(new), None)
        self._reindex(key, old, new)
        self._tell(old, new)

    def _drop(self, key: Key) -> None:
        old = self._items.pop(key)
        self._reindex(key, old, None)
        self._tell(old, None)

    def _bury(self, uid: str) -> None:
        self._gone[uid] = None
        while len(self._gone) > TOMBSTONES_MAX:
            self._gone.popitem(last=False)

    def _reindex(self, key: Key, old: Object | None, new: Object | None) -> None:
        for index, entries in self._indexes.values():
            before, after = self._values(index, old), self._values(index, new)
            for value in before - after:
                entries[value].discard(key)
                if not entries[value]:
                    del entries[value]
            for value in after - before:
                entries.setdefault(value, set()).add(key)

    def _tell(self, old: Object | None, new: Object | None) -> None:
        for handler in self._handlers:
            try:
                handler(old, new)
            except Exception:
                log.exception("%s %s: a handler failed", self.resource.plural, key_of(new or old or {}))

    def _values(self, index: Index, item: Object | None) -> set[str]:
        try:
            return set(index(item)) if item is not None else set()
        except Exception:
            # One odd object must not keep the others from being seen.
            log.exception("%s %s cannot be indexed", self.resource.plural, key_of(item or {}))
            return set()


def _is_newer(item: Object, old: Object) -> bool:
    mine, theirs = version_of(item), version_of(old)
    return mine != theirs and not _is_later(theirs, mine)


def _is_later(one: str, other: str) -> bool:
    """Whether a resourceVersion is later than another; False where they are no numbers."""
    return one.isdecimal() and other.isdecimal() and int(one) > int(other)
