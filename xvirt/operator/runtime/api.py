"""The verbs of an API server: typed errors, hard timeouts, preconditions; one attempt each, because whoever fails decides anew."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import dataclasses
import enum
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import orjson

from xvirt.operator.runtime.clock import Clock, SystemClock
from xvirt.operator.runtime.errors import (
    ApiError,
    Conflict,
    Gone,
    Invalid,
    OutcomeUnknown,
    RetryLater,
    error_of,
)
from xvirt.operator.runtime.gate import Gate
from xvirt.operator.runtime.metrics import WRITE_VERBS, Metrics
from xvirt.operator.runtime.resources import Key, Object, Resource, finalizers_of, key_of, uid_of, version_of
from xvirt.operator.runtime.transport import Answer, Request, Transport

CALL_TIMEOUT_S = 10.0
LIST_TIMEOUT_S = 60.0
"""One page."""
PAGE_LIMIT = 500
LIST_ATTEMPTS_MAX = 3
"""A list whose continue token expires starts over, this often."""
WATCH_OPEN_TIMEOUT_S = 15.0
WATCH_LINE_BYTES_MAX = 32 << 20

_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"


class Phase(enum.Enum):
    """When a hook is called: a request is about to be sent; its answer is here."""

    BEFORE = "before"
    AFTER = "after"


class Propagation(enum.Enum):
    """What becomes of the objects that a deleted one owns."""

    BACKGROUND = "Background"
    FOREGROUND = "Foreground"
    ORPHAN = "Orphan"


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which objects of a kind: a namespace (empty: all), label and field selectors in the API's own syntax."""

    label: str = ""
    field: str = ""
    namespace: str = ""

    def query(self) -> dict[str, str]:
        query = {"labelSelector": self.label, "fieldSelector": self.field}
        return {name: value for name, value in query.items() if value}


EVERYTHING = Selection()


@dataclasses.dataclass(frozen=True)
class Listing:
    """All objects of a selection, as of one resourceVersion."""

    items: list[Object]
    resource_version: str


@dataclasses.dataclass(frozen=True)
class WatchCall:
    """How to watch. `timeout_s`: the server ends the stream then; `silence_s`: a stream that says nothing for this long is dead.

    `on_open` is called when the server has accepted the watch.
    """

    resource_version: str = ""
    timeout_s: float = 270.0
    silence_s: float = 120.0
    has_initial_events: bool = False
    on_open: Callable[[], None] = lambda: None


@dataclasses.dataclass(frozen=True)
class WatchEvent:
    """`type` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: Object


@dataclasses.dataclass(frozen=True)
class Call:
    """One request as hooks see it."""

    verb: str
    resource: Resource
    key: Key
    request: Request

    def __str__(self) -> str:
        return f"{self.verb} {self.resource.plural} {self.key}".rstrip(" /")

    @property
    def is_write(self) -> bool:
        return self.verb in WRITE_VERBS


Hook = Callable[[Phase, Call], None]
Shape = Callable[[Object], Object]


class ApiClient:
    """One API server's verbs for one field manager. Tasks of one event loop share it.

    Every method raises the classes of `errors`; none repeats a request. Writes of a client with a guard (`guarded`) ask it right before
    the first byte leaves, and end before the guard's time does. Objects that are read lack managedFields; those of lists have kind and
    apiVersion.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        manager: str,
        clock: Clock | None = None,
        metrics: Metrics | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.transport = transport
        self.manager = manager
        self.clock: Clock = clock or SystemClock()
        self.metrics = metrics or Metrics()
        self.hooks: list[Hook] = []
        self._gate: Gate | None = gate or Gate(self.clock)
        self._guard: Callable[[], float] | None = None

    def guarded(self, guard: Callable[[], float]) -> ApiClient:
        """The same client, whose writes ask first. `guard` answers the seconds that are left or raises LeaseLost."""
        made = copy.copy(self)
        made._guard = guard
        return made

    def ungated(self) -> ApiClient:
        """The same client, which waits for nobody: for the lease alone."""
        made = copy.copy(self)
        made._gate = None
        return made

    async def close(self) -> None:
        """Close all connections."""
        await self.transport.close()

    # reading

    async def get(self, resource: Resource, key: Key, *, timeout_s: float = CALL_TIMEOUT_S) -> Object:
        """The object as the server has it now (a quorum read). Raises NotFound."""
        return await self._ask("get", resource, key, timeout_s=timeout_s)

    async def list_objects(
        self, resource: Resource, selection: Selection = EVERYTHING, *, shape: Shape | None = None
    ) -> Listing:
        """All objects, page by page; each is passed through `shape` as soon as it is here."""
        for attempt in range(LIST_ATTEMPTS_MAX):
            try:
                return await self._list_once(resource, selection, shape)
            except Gone:
                if attempt + 1 == LIST_ATTEMPTS_MAX:
                    raise
        raise AssertionError("a list ends or fails")

    async def _list_once(self, resource: Resource, selection: Selection, shape: Shape | None) -> Listing:
        items: list[Object] = []
        following = ""
        while True:
            query = {**selection.query(), "limit": str(PAGE_LIMIT)}
            if following:
                query["continue"] = following
            key = Key(selection.namespace, "")
            page = await self._ask("list", resource, key, query=query, timeout_s=LIST_TIMEOUT_S)
            for item in page.get("items") or ():
                item.setdefault("apiVersion", resource.api_version)
                item.setdefault("kind", resource.kind)
                _drop_managed_fields(item)
                items.append(shape(item) if shape else item)
            following = page["metadata"].get("continue") or ""
            if not following:
                return Listing(items, version_of(page))

    async def watch(
        self, resource: Resource, call: WatchCall, selection: Selection = EVERYTHING
    ) -> AsyncGenerator[WatchEvent, None]:
        """Events from a resourceVersion on, until the server ends the stream. Close the generator (`contextlib.aclosing`).

        Raises what the opening or an ERROR event says (Gone where the version is too old), OutcomeUnknown for silence and broken
        connections.
        """
        made = self._watch_call(resource, call, selection)
        await self._enter(WATCH_OPEN_TIMEOUT_S)
        self._tell(Phase.BEFORE, made)
        started_s = self.clock.monotonic_s()
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(WATCH_OPEN_TIMEOUT_S):
                    stream = await stack.enter_async_context(self.transport.stream(made.request))
                    body = b"" if stream.code == 200 else b"".join([part async for part in stream.chunks()])
            except TimeoutError as error:
                raise OutcomeUnknown(f"{made}: no answer within {WATCH_OPEN_TIMEOUT_S:g} s") from error
            self._count(made, stream.code, started_s)
            if stream.code != 200:
                raise self._error(made, Answer(stream.code, stream.headers, body))
            self._tell(Phase.AFTER, made)
            call.on_open()
            async with contextlib.aclosing(_lines(stream.chunks(), str(made), call.silence_s)) as lines:
                async for line in lines:
                    yield self._event(made, line)

    def _watch_call(self, resource: Resource, call: WatchCall, selection: Selection) -> Call:
        query = {
            **selection.query(),
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(max(1, int(call.timeout_s))),
        }
        if call.resource_version:
            query["resourceVersion"] = call.resource_version
        if call.has_initial_events:
            query |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        request = Request("GET", resource.path(selection.namespace), query, self._headers())
        return Call("watch", resource, Key(selection.namespace, ""), request)

    def _event(self, call: Call, line: bytes) -> WatchEvent:
        document = _read_json(line, call)
        kind, item = str(document.get("type")), document.get("object")
        if not isinstance(item, dict):
            raise OutcomeUnknown(f"{call}: an event without an object")
        if kind == "ERROR":
            raise error_of(int(item.get("code") or 500), item, doing=str(call))
        _drop_managed_fields(item)
        return WatchEvent(kind, item)

    # writing

    async def create(self, resource: Resource, item: Object, subresource: str = "") -> Object:
        """Create it. Raises AlreadyExists. `subresource` is the path of one that takes objects (`token`, `eviction`)."""
        query = {"fieldManager": self.manager}
        return await self._ask("create", resource, key_of(item), query=query, body=item, subresource=subresource)

    async def submit(self, resource: Resource, item: Object) -> Object:
        """Post an object that the server answers and does not keep (a SubjectAccessReview): not a write."""
        return await self._ask("submit", resource, Key("", ""), body=item)

    async def apply(
        self,
        resource: Resource,
        item: Object,
        *,
        subresource: str = "",
        is_forced: bool = True,
        query: Mapping[str, str] | None = None,
    ) -> Object:
        """Server-side apply: what `item` holds is this manager's, what it held before and lacks now goes.

        The item must hold the object's uid unless it may create one: an apply without it brings a deleted object back. Forced, it takes
        fields over from other managers; else Conflict names them. `query` adds what is asked for beside (`dryRun`).
        """
        query = {**(query or {}), "fieldManager": self.manager, "force": "true" if is_forced else "false"}
        return await self._ask("apply", resource, key_of(item), query=query, body=item, subresource=subresource)

    async def apply_status(self, resource: Resource, item: Object) -> Object:
        """Apply to `/status`. The item must hold its resourceVersion: a wrong uid alone is accepted there, and lands on a new object."""
        if not version_of(item):
            raise Invalid(f"apply {resource.plural}/status {key_of(item)}: without metadata.resourceVersion")
        return await self.apply(resource, item, subresource="status")

    async def json_patch(
        self, resource: Resource, key: Key, operations: Sequence[Mapping[str, Any]], *, subresource: str = ""
    ) -> Object:
        """RFC 6902. A `test` that fails, or a path that is not there, raises Conflict: the view was old."""
        try:
            return await self._patch(resource, key, _JSON_PATCH, list(operations), subresource)
        except Invalid as error:
            # The server says 422 to both; only a document that breaks the kind's rules comes with causes.
            if error.code != 422 or error.details.get("causes"):
                raise
            message = f"patch {resource.plural} {key}: a test failed (audit ID {error.audit_id})"
            raise Conflict(message, code=409, reason="Conflict", audit_id=error.audit_id) from error

    async def merge_patch(self, resource: Resource, key: Key, patch: Object, *, subresource: str = "") -> Object:
        """RFC 7386: null removes. With metadata.resourceVersion inside, a newer object raises Conflict."""
        return await self._patch(resource, key, _MERGE_PATCH, patch, subresource)

    async def _patch(self, resource: Resource, key: Key, kind: str, body: Any, subresource: str) -> Object:
        query = {"fieldManager": self.manager}
        return await self._ask(
            "patch", resource, key, query=query, body=body, subresource=subresource, content_type=kind
        )

    async def update(
        self, resource: Resource, item: Object, *, subresource: str = "", timeout_s: float = CALL_TIMEOUT_S
    ) -> Object:
        """Replace the whole object. With its resourceVersion inside, a newer object raises Conflict. `subresource` as for `create`."""
        query = {"fieldManager": self.manager}
        return await self._ask(
            "update", resource, key_of(item), query=query, body=item, subresource=subresource, timeout_s=timeout_s
        )

    async def delete(
        self,
        resource: Resource,
        item: Object,
        *,
        propagation: Propagation = Propagation.BACKGROUND,
        grace_s: int | None = None,
        is_version_kept: bool = False,
    ) -> None:
        """Delete the very object that `item` shows: its uid, and if asked its resourceVersion, must still be the same, else Conflict.

        Raises NotFound where it is gone already. Finalizers may keep it for longer.
        """
        preconditions = {"uid": uid_of(item)}
        if is_version_kept:
            preconditions["resourceVersion"] = version_of(item)
        options: Object = {"preconditions": preconditions, "propagationPolicy": propagation.value}
        options |= {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        await self._ask("delete", resource, key_of(item), body=options)

    async def add_finalizer(self, resource: Resource, item: Object, finalizer: str) -> Object:
        """Add it to the very version that `item` shows. Raises Conflict where that is not the newest; Invalid while it is being deleted."""
        operations = [_test("/metadata/uid", uid_of(item)), _test("/metadata/resourceVersion", version_of(item))]
        if finalizers_of(item):
            operations.append({"op": "add", "path": "/metadata/finalizers/-", "value": finalizer})
        else:
            operations.append({"op": "add", "path": "/metadata/finalizers", "value": [finalizer]})
        return await self.json_patch(resource, key_of(item), operations)

    async def remove_finalizer(self, resource: Resource, item: Object, finalizer: str) -> Object:
        """Remove it from the very version that `item` shows, whoever else owns the entry. Raises Conflict where that is not the newest."""
        place = finalizers_of(item).index(finalizer)
        path = f"/metadata/finalizers/{place}"
        operations = [
            _test("/metadata/uid", uid_of(item)),
            _test("/metadata/resourceVersion", version_of(item)),
            _test(path, finalizer),
            {"op": "remove", "path": path},
        ]
        return await self.json_patch(resource, key_of(item), operations)

    # one request

    async def raw(self, path: str, *, timeout_s: float = CALL_TIMEOUT_S) -> bytes:
        """The body at any path (`/version`, `/readyz`). Raises as the verbs do."""
        call = Call("get", _RAW, Key("", path), Request("GET", path, {}, self._headers()))
        return (await self._send(call, timeout_s)).body

    async def _ask(
        self,
        verb: str,
        resource: Resource,
        key: Key,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        subresource: str = "",
        content_type: str = "",
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Object:
        name = "" if verb in ("create", "list", "submit") and not subresource else key.name
        request = Request(
            _METHODS[verb],
            resource.path(key.namespace, name, subresource),
            dict(query or {}),
            self._headers(
                content_type or (_APPLY if verb == "apply" else "application/json" if body is not None else "")
            ),
            None if body is None else orjson.dumps(body),
        )
        made = Call(verb, resource, key, request)
        answer = await self._send(made, timeout_s)
        document = _read_json(answer.body, str(made))
        _drop_managed_fields(document)
        return document

    def _headers(self, content_type: str = "") -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": self.manager, "Audit-ID": str(uuid.uuid4())}
        if content_type:
            headers["Content-Type"] = content_type
        return headers

    async def _enter(self, timeout_s: float) -> None:
        if self._gate is not None:
            await self._gate.enter(timeout_s)

    async def _send(self, call: Call, timeout_s: float) -> Answer:
        started_s = self.clock.monotonic_s()
        await self._enter(timeout_s)
        timeout_s -= self.clock.monotonic_s() - started_s
        if call.is_write:
            call, timeout_s = self._restrain(call, timeout_s)
            self.metrics.writes.labels(call.resource.plural, call.verb).inc()
        self._tell(Phase.BEFORE, call)
        started_s = self.clock.monotonic_s()
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self.transport.send(call.request)
        except TimeoutError as error:
            self._count(call, 0, started_s)
            raise OutcomeUnknown(f"{call}: no answer within {timeout_s:.1f} s", audit_id=_audit_id(call)) from error
        except ApiError:
            self._count(call, 0, started_s)
            raise
        self._count(call, answer.code, started_s)
        self._tell(Phase.AFTER, call)
        if answer.code >= 300:
            raise self._error(call, answer)
        return answer

    def _restrain(self, call: Call, timeout_s: float) -> tuple[Call, float]:
        """A write that asks the guard, and that the server itself drops once nobody waits for it any more."""
        if self._guard is not None:
            timeout_s = min(timeout_s, self._guard())
        query = {**call.request.query, "timeout": f"{max(timeout_s, 0.001):.3f}s"}
        request = dataclasses.replace(call.request, query=query, before_send=self._guard)
        return dataclasses.replace(call, request=request), timeout_s

    def _error(self, call: Call, answer: Answer) -> ApiError:
        try:
            status = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            status = {"message": answer.body[:200].decode(errors="replace")}
        error = error_of(
            answer.code,
            status if isinstance(status, dict) else {},
            doing=str(call),
            audit_id=answer.headers.get("audit-id", _audit_id(call)),
            retry_after_s=_seconds(answer.headers.get("retry-after", "")),
        )
        if isinstance(error, RetryLater) and error.retry_after_s > 0:
            self.metrics.throttled.labels(call.resource.plural).inc()
            if self._gate is not None:
                self._gate.close(error)
        return error

    def _count(self, call: Call, code: int, started_s: float) -> None:
        self.metrics.requests.labels(call.resource.plural, call.verb, str(code) if code else "none").inc()
        elapsed_s = self.clock.monotonic_s() - started_s
        self.metrics.request_seconds.labels(call.resource.plural, call.verb).observe(elapsed_s)

    def _tell(self, phase: Phase, call: Call) -> None:
        for hook in self.hooks:
            hook(phase, call)


_RAW = Resource("", "v1", "raw", "Raw", is_namespaced=False)
_METHODS: Mapping[str, str] = {
    "get": "GET",
    "list": "GET",
    "create": "POST",
    "submit": "POST",
    "apply": "PATCH",
    "patch": "PATCH",
    "update": "PUT",
    "delete": "DELETE",
}


async def _lines(chunks: AsyncIterator[bytes], what: str, silence_s: float) -> AsyncGenerator[bytes, None]:
    """Lines of a body. Raises OutcomeUnknown after `silence_s` without a byte."""
    rest = b""
    while True:
        try:
            async with asyncio.timeout(silence_s):
                chunk = await anext(chunks, None)
        except TimeoutError as error:
            raise OutcomeUnknown(f"{what}: silent for {silence_s:.0f} s", reason="Silent") from error
        if chunk is None:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > WATCH_LINE_BYTES_MAX:
            raise OutcomeUnknown(f"{what}: an event of more than {WATCH_LINE_BYTES_MAX} bytes")
        for line in lines:
            if line:
                yield line


def _read_json(body: bytes, what: object) -> Object:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise OutcomeUnknown(f"{what}: the answer is not JSON: {body[:100]!r}") from error
    if not isinstance(document, dict):
        raise OutcomeUnknown(f"{what}: the answer is not an object: {body[:100]!r}")
    return document


def _drop_managed_fields(item: Object) -> None:
    metadata = item.get("metadata")
    if isinstance(metadata, dict):
        metadata.pop("managedFields", None)


def _test(path: str, value: Any) -> Mapping[str, Any]:
    return {"op": "test", "path": path, "value": value}


def _audit_id(call: Call) -> str:
    return call.request.headers.get("Audit-ID", "")


def _seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() else 0.0
