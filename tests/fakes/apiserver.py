"""An API server in memory: objects with uid, resourceVersion and generation, watches, apply, finalizers, and faults at a chosen request.

It is a `Transport`, so a client uses it without sockets and in virtual time; `serve` puts the same thing behind HTTP on loopback. What it does
is held against the real API server by tests/cluster (the same cases). Any kind may be used; nothing is validated but names.

    server = FakeApiServer(time.clock)
    client = ApiClient(server, manager="test", clock=time.clock)
    server.faults.lose_answer("PATCH", "/status")
    server.write(item)                       # another client's write
"""

from __future__ import annotations

import asyncio
import base64
import bisect
import contextlib
import copy
import dataclasses
import itertools
import json
import urllib.parse
from collections.abc import AsyncIterator, Mapping
from typing import Any

from tests.fakes.apifaults import ApiFaults, Refusal
from tests.fakes.apiobjects import (
    Object,
    OwnedByOthers,
    Owners,
    PatchFailed,
    apply_to,
    fields_of,
    json_patched,
    merge_patched,
    note_write,
)
from xvirt.operator.runtime.clock import Clock, format_time
from xvirt.operator.runtime.errors import OutcomeUnknown
from xvirt.operator.runtime.resources import Key, Resource, key_of
from xvirt.operator.runtime.transport import Answer, Request

BOOKMARK_INTERVAL_S = 60.0
_PLAIN = {"leases", "events", "secrets", "configmaps", "subjectaccessreviews"}
"""Kinds without a status subresource."""


@dataclasses.dataclass(frozen=True)
class Place:
    """What a path names."""

    collection: str
    namespace: str
    name: str
    subresource: str

    @property
    def key(self) -> Key:
        return Key(self.namespace, self.name)


@dataclasses.dataclass(frozen=True)
class Sent:
    """One request that has arrived."""

    at_s: float
    method: str
    path: str
    query: Mapping[str, str]

    @property
    def is_write(self) -> bool:
        return self.method != "GET"


@dataclasses.dataclass
class _Stored:
    document: Object
    owners: Owners


@dataclasses.dataclass(frozen=True)
class _Change:
    version: int
    collection: str
    kind: str
    document: Object
    before: Object | None


def _version_of(change: _Change) -> int:
    return change.version


class FakeApiServer:
    """All state of one cluster. One event loop; faults are in `faults`, every request that came is in `sent`."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.faults = ApiFaults()
        self.sent: list[Sent] = []
        self.has_watch_list = True
        self.latency_s = 0.0
        """Of every request that is no watch."""
        self._objects: dict[str, dict[Key, _Stored]] = {}
        self._changes: list[_Change] = []
        self._version = 100
        self._compacted = 100
        self._uids = itertools.count(1)
        self._news = asyncio.Event()

    # what tests do as another client

    @property
    def version(self) -> int:
        """Changes with every write."""
        return self._version

    def objects(self, resource: Resource) -> list[Object]:
        """All objects of a kind, as copies."""
        stored = self._objects.get(resource.path(), {})
        return [copy.deepcopy(each.document) for _, each in sorted(stored.items())]

    def find(self, resource: Resource, key: Key) -> Object | None:
        """One object, as a copy."""
        stored = self._objects.get(resource.path(), {}).get(key)
        return copy.deepcopy(stored.document) if stored else None

    def write(self, resource: Resource, item: Object, subresource: str = "", *, manager: str = "test") -> Object:
        """Create or replace, whatever version is there."""
        key = key_of(item)
        place = Place(resource.path(), key.namespace, key.name, subresource)
        item = {"apiVersion": resource.api_version, "kind": resource.kind, **item}
        known = self._stored(place)
        if known is None:
            return self._create(place, item, manager)
        fresh = {**item, "metadata": {**item["metadata"]}}
        fresh["metadata"].pop("resourceVersion", None)
        return self._replace(place, known, fresh, manager)

    def remove(self, resource: Resource, key: Key, grace_s: int = 0) -> None:
        """Delete as kubectl does; finalizers keep it."""
        self._delete(Place(resource.path(), key.namespace, key.name, ""), {"gracePeriodSeconds": grace_s})

    def collect_garbage(self) -> None:
        """Delete what no owner holds any more, as the controller manager does."""
        uids = {each.document["metadata"]["uid"] for book in self._objects.values() for each in book.values()}
        for collection, book in self._objects.items():
            for key, stored in list(book.items()):
                owners = stored.document["metadata"].get("ownerReferences") or []
                if owners and not any(owner["uid"] in uids for owner in owners):
                    self._delete(Place(collection, key.namespace, key.name, ""), {})

    def compact(self) -> None:
        """Forget history: watches and continue tokens of older versions are told 410."""
        self._changes.clear()
        self._compacted = self._version

    # Transport

    async def send(self, request: Request) -> Answer:
        """One whole answer. Raises OutcomeUnknown where a fault loses it."""
        if request.before_send is not None:
            request.before_send()
        await self.faults.reach(request)
        if self.latency_s > 0:
            await asyncio.sleep(self.latency_s)
        place = _place(request.path)
        self._note(request)
        try:
            self.faults.refuse(request)
            document = self._act(place, request)
        except Refusal as error:
            return _answer(error.code, error.status(), error.retry_after_s)
        if self.faults.loses_answer(request):
            raise OutcomeUnknown(f"{request.method} {request.path}: the connection broke")
        return _answer(200, document)

    @contextlib.asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[FakeStream]:
        """A watch."""
        await self.faults.reach(request)
        self._note(request)
        try:
            self.faults.refuse(request)
            stream = FakeStream(200, self._watch(_place(request.path), request.query))
        except Refusal as error:
            answer = _answer(error.code, error.status(), error.retry_after_s)
            stream = FakeStream(answer.code, _once(answer.body), answer.headers)
        yield stream

    async def close(self) -> None:
        """Nothing to close."""

    def _note(self, request: Request) -> None:
        self.sent.append(Sent(self.clock.monotonic_s(), request.method, request.path, dict(request.query)))

    # requests

    def _act(self, place: Place, request: Request) -> Object:
        body = json.loads(request.body) if request.body else {}
        manager = request.query.get("fieldManager", "unknown")
        match request.method:
            case "GET" if place.name:
                return copy.deepcopy(self._need(place).document)
            case "GET":
                return self._list(place, request.query)
            case "POST" if place.subresource:
                self._need(place)
                return {**body, "metadata": body.get("metadata") or {}}
            case "POST":
                return self._create(place, body, manager)
            case "PUT":
                return self._replace(place, self._need(place), body, manager)
            case "DELETE":
                return self._delete(place, body)
        kind = request.headers.get("Content-Type", "")
        if kind == "application/apply-patch+yaml":
            return self._apply(place, body, manager, is_forced=request.query.get("force") == "true")
        return self._patch(place, body, manager, is_merge=kind == "application/merge-patch+json")

    def _stored(self, place: Place) -> _Stored | None:
        return self._objects.get(place.collection, {}).get(place.key)

    def _need(self, place: Place) -> _Stored:
        stored = self._stored(place)
        if stored is None:
            raise Refusal(404, "NotFound", f'{place.collection} "{place.name}" not found')
        return stored

    def _create(self, place: Place, body: Object, manager: str) -> Object:
        document = copy.deepcopy(body)
        metadata = document["metadata"]
        name = metadata.get("name") or f"{metadata.get('generateName', '')}{next(self._uids):05x}"
        place = Place(place.collection, place.namespace, name, "")
        if self._stored(place) is not None:
            raise Refusal(409, "AlreadyExists", f'{place.collection} "{name}" already exists')
        if metadata.get("uid"):
            raise Refusal(
                409, "Conflict", f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: "
            )
        metadata |= {"name": name, "uid": f"00000000-0000-4000-8000-{next(self._uids):012x}", "generation": 1}
        metadata["creationTimestamp"] = format_time(self.clock.wall())
        if place.namespace:
            metadata["namespace"] = place.namespace
        if self._has_status(place):
            document.pop("status", None)
        owners: Owners = {}
        note_write({}, document, _parts(document), owners, manager)
        return self._store(place, _Stored(document, owners), None)

    def _has_status(self, place: Place) -> bool:
        return place.collection.rpartition("/")[2] not in _PLAIN

    def _replace(self, place: Place, stored: _Stored, body: Object, manager: str) -> Object:
        self._check(stored, body.get("metadata") or {})
        document = self._result(place, stored.document, body)
        owners = copy.deepcopy(stored.owners)
        note_write(stored.document, document, _parts(document), owners, manager)
        return self._store(place, _Stored(document, owners), stored)

    def _patch(self, place: Place, body: Any, manager: str, *, is_merge: bool) -> Object:
        stored = self._need(place)
        try:
            fresh = merge_patched(stored.document, body) if is_merge else json_patched(stored.document, body)
        except PatchFailed as error:
            raise Refusal(422, "Invalid", "the server rejected our request due to an error in our request") from error
        return self._replace(place, stored, fresh, manager)

    def _apply(self, place: Place, body: Object, manager: str, *, is_forced: bool) -> Object:
        stored = self._stored(place)
        if stored is None:
            if place.subresource:
                self._need(place)
            made = self._create(place, body, manager)
            kept = self._need(place)
            kept.owners = {manager: fields_of(body, _parts(body))}
            return made
        metadata = dict(body["metadata"])
        if place.subresource:
            metadata.pop("uid", None)  # As the real one: only the resourceVersion is looked at.
        self._check(stored, metadata)
        parts = (place.subresource,) if place.subresource else [part for part in _parts(body) if part != "status"]
        owners = copy.deepcopy(stored.owners)
        try:
            fresh = apply_to(stored.document, body, parts, owners, manager, is_forced=is_forced)
        except OwnedByOthers as error:
            raise Refusal(409, "Conflict", f"Apply failed with 1 conflict: {error}") from error
        return self._store(place, _Stored(self._result(place, stored.document, fresh), owners), stored)

    def _check(self, stored: _Stored, metadata: Mapping[str, Any]) -> None:
        live = stored.document["metadata"]
        if metadata.get("uid") not in (None, "", live["uid"]):
            raise Refusal(
                409,
                "Conflict",
                f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {live['uid']}",
            )
        if metadata.get("resourceVersion") not in (None, "", live["resourceVersion"]):
            raise Refusal(
                409,
                "Conflict",
                "the object has been modified; please apply your changes to the latest version and try again",
            )

    def _result(self, place: Place, live: Object, body: Object) -> Object:
        """What is stored of a write: of the subresource its part alone, of the object everything else; identity stays."""
        body = copy.deepcopy(body)
        if place.subresource:
            document = {**copy.deepcopy(live), place.subresource: body.get(place.subresource)}
            return {name: value for name, value in document.items() if value is not None}
        document = {**body, "apiVersion": live["apiVersion"], "kind": live["kind"]}
        if self._has_status(place):
            document.pop("status", None)
            if "status" in live:
                document["status"] = copy.deepcopy(live["status"])
        kept = (
            "uid",
            "name",
            "namespace",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        )
        document["metadata"] |= {name: live["metadata"][name] for name in kept if name in live["metadata"]}
        added = set(document["metadata"].get("finalizers") or ()) - set(live["metadata"].get("finalizers") or ())
        if added and "deletionTimestamp" in live["metadata"]:
            message = "Forbidden: no new finalizers can be added if the object is being deleted"
            causes = [{"reason": "FieldValueForbidden", "message": message, "field": "metadata.finalizers"}]
            raise Refusal(422, "Invalid", f"metadata.finalizers: {message}", {"causes": causes})
        return document

    def _store(self, place: Place, fresh: _Stored, before: _Stored | None) -> Object:
        document = fresh.document
        if before is not None:
            if document == before.document:
                before.owners = fresh.owners
                return copy.deepcopy(document)
            if _spec_of(document) != _spec_of(before.document):
                document["metadata"]["generation"] += 1
        self._version += 1
        document["metadata"]["resourceVersion"] = str(self._version)
        metadata = document["metadata"]
        is_done = metadata.get("deletionTimestamp") and not metadata.get("finalizers")
        if is_done and metadata.get("deletionGracePeriodSeconds", 0) == 0:
            del self._objects[place.collection][place.key]
            self._tell("DELETED", place, document, before)
        else:
            self._objects.setdefault(place.collection, {})[place.key] = fresh
            self._tell("MODIFIED" if before else "ADDED", place, document, before)
        return copy.deepcopy(document)

    def _delete(self, place: Place, options: Object) -> Object:
        stored = self._need(place)
        self._check(stored, options.get("preconditions") or {})
        metadata = stored.document["metadata"]
        grace_s = options.get("gracePeriodSeconds")
        if grace_s is None:
            spec = stored.document.get("spec") or {}
            grace_s = (
                spec.get("terminationGracePeriodSeconds", 30)
                if spec.get("nodeName") and place.collection.endswith("/pods")
                else 0
            )
        document = copy.deepcopy(stored.document)
        document["metadata"]["deletionTimestamp"] = metadata.get("deletionTimestamp") or format_time(self.clock.wall())
        document["metadata"]["deletionGracePeriodSeconds"] = grace_s
        self._store(place, _Stored(document, stored.owners), stored)
        return {"kind": "Status", "status": "Success", "metadata": {}}

    def _list(self, place: Place, query: Mapping[str, str]) -> Object:
        start, version = Key("", ""), self._version
        if query.get("continue"):
            version, *start_at = json.loads(base64.b64decode(query["continue"]))
            start = Key(*start_at)
            if version < self._compacted or self.faults.expires_continue():
                raise Refusal(410, "Expired", "The provided continue parameter is too old")
        chosen = [
            (key, each.document)
            for key, each in sorted(self._objects.get(place.collection, {}).items())
            if key > start and _matches(place, query, each.document)
        ]
        limit = int(query.get("limit") or 0) or len(chosen) + 1
        metadata: Object = {"resourceVersion": str(version)}
        if len(chosen) > limit:
            last = chosen[limit - 1][0]
            metadata["continue"] = base64.b64encode(json.dumps([version, *last]).encode()).decode()
        # As the real one: items of a list have neither kind nor apiVersion.
        items = [
            {name: value for name, value in each.items() if name not in ("kind", "apiVersion")}
            for _, each in chosen[:limit]
        ]
        return {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": copy.deepcopy(items)}

    # watches

    def _tell(self, kind: str, place: Place, document: Object, before: _Stored | None) -> None:
        told = copy.deepcopy(document)
        self._changes.append(_Change(self._version, place.collection, kind, told, before.document if before else None))
        self._news.set()
        self._news = asyncio.Event()

    def _watch(self, place: Place, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        has_initial = query.get("sendInitialEvents") == "true"
        if has_initial and not self.has_watch_list:
            raise Refusal(
                422,
                "Invalid",
                "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled",
            )
        version = self._version if has_initial or not query.get("resourceVersion") else int(query["resourceVersion"])
        if version < self._compacted:
            return _once(_line("ERROR", _too_old(version).status()))
        return self._events(place, query, version)

    async def _events(self, place: Place, query: Mapping[str, str], version: int) -> AsyncIterator[bytes]:
        ends_s = self.clock.monotonic_s() + float(query.get("timeoutSeconds") or 300)
        bookmark_s = self.clock.monotonic_s() + BOOKMARK_INTERVAL_S
        breaks = self.faults.open_watch()
        if query.get("sendInitialEvents") == "true":
            for _, each in sorted(self._objects.get(place.collection, {}).items()):
                if _matches(place, query, each.document):
                    yield _line("ADDED", each.document)
            yield _bookmark(version, {"k8s.io/initial-events-end": "true"})
        while True:
            news = self._news
            if version < self._compacted:
                # It fell behind: what it has not heard of is forgotten.
                yield _line("ERROR", _too_old(version).status())
                return
            for change in self._changes[bisect.bisect_right(self._changes, version, key=_version_of) :]:
                version = change.version
                kind = _kind_for(place, query, change)
                if kind and not self.faults.drops(change.kind, change.document):
                    await self.faults.thawed()
                    yield _line(kind, change.document)
            until_s = min(ends_s, bookmark_s)
            happened = await self.faults.wait(news, breaks, max(0.0, until_s - self.clock.monotonic_s()))
            if happened is not None:
                if happened.is_silent:
                    await asyncio.get_running_loop().create_future()
                if happened.error is not None:
                    yield _line("ERROR", happened.error.status())
                yield happened.nonsense
                return
            if self.clock.monotonic_s() >= ends_s:
                return
            if self.clock.monotonic_s() >= bookmark_s:
                bookmark_s += BOOKMARK_INTERVAL_S
                if self.faults.has_bookmarks:
                    yield _bookmark(version, {})


class FakeStream:
    """Implements the transport's `Stream`."""

    def __init__(self, code: int, body: AsyncIterator[bytes], headers: Mapping[str, str] | None = None) -> None:
        self.code = code
        self.headers: Mapping[str, str] = headers or {}
        self._body = body

    def chunks(self) -> AsyncIterator[bytes]:
        return self._body


def _place(path: str) -> Place:
    parts = [urllib.parse.unquote(part) for part in path.strip("/").split("/")]
    size = 2 if parts[0] == "api" else 3
    head, rest, namespace = parts[:size], parts[size:], ""
    if rest[:1] == ["namespaces"] and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    name, subresource = (*rest[1:], "", "")[:2]
    return Place("/" + "/".join([*head, rest[0]]), namespace, name, subresource)


def _parts(document: Object) -> list[str]:
    return [part for part in document if part not in ("apiVersion", "kind")]


def _spec_of(document: Object) -> Object:
    return {name: value for name, value in document.items() if name not in ("metadata", "status")}


def _matches(place: Place, query: Mapping[str, str], document: Object) -> bool:
    metadata = document["metadata"]
    if place.namespace and metadata.get("namespace") != place.namespace:
        return False
    labels = metadata.get("labels") or {}
    for term in filter(None, query.get("labelSelector", "").split(",")):
        name, has_value, value = term.partition("=")
        if name not in labels or (has_value and labels[name] != value.lstrip("=")):
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        name, _, value = term.partition("=")
        found: Any = document
        for step in name.split("."):
            found = (found or {}).get(step)
        if (found or "") != value.lstrip("="):
            return False
    return True


def _kind_for(place: Place, query: Mapping[str, str], change: _Change) -> str:
    """What a watch of a selection is told of a change: what leaves the selection is deleted, what enters is added."""
    if change.collection != place.collection:
        return ""
    is_in = change.kind != "DELETED" and _matches(place, query, change.document)
    was_in = change.before is not None and _matches(place, query, change.before)
    if is_in:
        return "MODIFIED" if was_in else "ADDED"
    return "DELETED" if was_in else ""


def _too_old(version: int) -> Refusal:
    return Refusal(410, "Expired", f"too old resource version: {version}")


def _answer(code: int, document: Object, retry_after_s: float = 0.0) -> Answer:
    headers = {"content-type": "application/json", "audit-id": "fake"}
    if retry_after_s:
        headers["retry-after"] = str(int(retry_after_s))
    return Answer(code, headers, json.dumps(document).encode())


def _line(kind: str, document: Object) -> bytes:
    return json.dumps({"type": kind, "object": document}).encode() + b"\n"


def _bookmark(version: int, annotations: Mapping[str, str]) -> bytes:
    metadata: Object = {"resourceVersion": str(version), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = dict(annotations)
    return _line("BOOKMARK", {"kind": "Bookmark", "apiVersion": "v1", "metadata": metadata})


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
