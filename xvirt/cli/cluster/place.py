"""A cluster as a place that holds objects."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from typing import TypeVar

import orjson

from xvirt.cli.cluster.follow import Followed, follow_events, follow_objects
from xvirt.cli.cluster.loop import Loop
from xvirt.cli.cluster.views import Object, find_changes, judge, make_declaration, read_event, read_view
from xvirt.cli.manifests import Manifest
from xvirt.cli.place import About, Declared, Events, Wish
from xvirt.cli.words import HOST_KIND
from xvirt.model.errors import (
    Conflict,
    DeadlineExceeded,
    Forbidden,
    NotFound,
    Refused,
    RetryLater,
    Unavailable,
    Unsupported,
    XvirtError,
)
from xvirt.model.exchange import (
    DescribedPart,
    Description,
    Detail,
    Event,
    ObjectRef,
    ObjectView,
    OperateCall,
    Operation,
    Verb,
    WatchEvent,
)
from xvirt.model.kinds import SECRET_KIND, Kind
from xvirt.operator.kinds import RESOURCES
from xvirt.operator.names import FORCE_DELETE_ANNOTATION
from xvirt.operator.refusals import translate
from xvirt.operator.runtime.access import Access
from xvirt.operator.runtime.api import ApiClient, Selection
from xvirt.operator.runtime.errors import ApiError, Gone, OutcomeUnknown, Unreachable
from xvirt.operator.runtime.errors import RetryLater as ApiRetryLater
from xvirt.operator.runtime.errors import Unavailable as ServerUnavailable
from xvirt.operator.runtime.resources import EVENTS, SECRETS, Key, Resource
from xvirt.operator.runtime.transport import AiohttpTransport, Transport
from xvirt.wire import subresources
from xvirt.wire.limits import UNARY_TIMEOUT_S
from xvirt.wire.statuses import decode_status
from xvirt.wire.subresources import DESCRIPTION, decode_description, decode_operation, encode_options

T = TypeVar("T")

MANAGER = "xvirt"
REPEAT_WITHIN_S = 3.0
"""As the node's client: what is restarted is back by then. All that is asked may be asked twice."""
GATEWAY_TIMEOUT_S = 25.0
"""A host that swallows what it is sent is told after some ten seconds."""
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 1.0
DEFAULT_NAMESPACE = "default"
"""Where Events about what has no namespace are kept."""

_ACTS = Resource(subresources.GROUP, subresources.VERSION, subresources.PLURAL, subresources.MACHINE)
_NOT_RUNNING = frozenset({"NotRunning", "NotPlaced", "NotOnHostYet", "Deleting"})


class ClusterPlace:
    """Implements `Place`."""

    poll_s = 0.3

    def __init__(self, loop: Loop, client: ApiClient) -> None:
        self._loop = loop
        self._client = client

    def _ask(self, question: Callable[[], Awaitable[T]], *, subject: str = "", timeout_s: float = UNARY_TIMEOUT_S) -> T:
        """The answer. Asked again while the API server cannot be reached, for a short while. `subject`: what an invalid document is."""

        async def work() -> T:
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._repeat(question, subject)
            except TimeoutError as error:
                raise DeadlineExceeded(
                    f"no answer from the cluster within {timeout_s:g} s; repeating is safe"
                ) from error

        return self._loop.run(work())

    async def _repeat(self, question: Callable[[], Awaitable[T]], subject: str) -> T:
        end_s, pause_s = time.monotonic() + REPEAT_WITHIN_S, PAUSE_FIRST_S
        while True:
            try:
                return await question()
            except ApiError as error:
                own = translate(error, subject)
                is_lost = isinstance(error, Unreachable | OutcomeUnknown) or _is_starting(error)
                if not is_lost or time.monotonic() + pause_s > end_s:
                    raise own from error
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def about(self) -> About:
        version = str(orjson.loads(self._ask(lambda: self._client.raw("/version")))["gitVersion"])
        try:
            hosts = {
                str((item.document.get("status") or {}).get("xvirtVersion") or "unknown")
                for item in self.list_objects(HOST_KIND)
            }
        except Forbidden:  # hosts are for administrators
            hosts = set()
        nodes = ", ".join(sorted(hosts))
        return About(
            word="cluster",
            versions={"version": version, **({"nodes": nodes} if nodes else {})},
            sentence=f"cluster: Kubernetes {version}{f', nodes: {nodes}' if nodes else ''}",
        )

    # objects

    def declare(self, manifest: Manifest, wish: Wish) -> Declared:
        ref = manifest.ref
        before = self._find(ref)
        item = make_declaration(manifest)
        query = {"dryRun": "All"} if wish.is_dry else {}
        try:
            after = self._ask(
                lambda: self._client.apply(_resource(ref.kind), item, is_forced=wish.takes_over, query=query),
                subject=str(ref),
                timeout_s=wish.timeout_s,
            )
        except Conflict as error:
            remedy = "--force-conflicts takes the fields over"
            raise Conflict(f"{ref}: {error.message}; {remedy}", reason=error.reason) from error
        return Declared(verdict=judge(before, after), changes=find_changes(before, after))

    def _find(self, ref: ObjectRef) -> Object | None:
        try:
            return self._read(ref)
        except NotFound:
            return None

    def _read(self, ref: ObjectRef) -> Object:
        try:
            return self._ask(lambda: self._client.get(_resource(ref.kind), Key(ref.namespace, ref.name)))
        except NotFound as error:
            raise NotFound(f"{ref} is not there") from error

    def get(self, ref: ObjectRef) -> ObjectView:
        return read_view(self._read(ref))

    def list_objects(self, kind: str, namespace: str = "", detail: Detail = Detail.WHOLE) -> list[ObjectView]:
        found = self._ask(lambda: self._client.list_objects(_resource(kind), Selection(namespace=namespace)))
        return [read_view(item) for item in found.items]

    def delete(self, ref: ObjectRef, *, force: bool = False) -> None:
        if force and ref.kind == subresources.MACHINE:
            self._power_off(ref)
        item = self._read(ref)
        self._ask(lambda: self._client.delete(_resource(ref.kind), item))

    def _power_off(self, ref: ObjectRef) -> None:
        self._read(ref)
        name = f"delete-{time.time_ns():x}"
        try:
            self.operate(OperateCall(ref=ref, verb=Verb.STOP, operation_id=name, force=True))
        except (Refused, Conflict) as error:
            if error.reason not in _NOT_RUNNING:
                raise
        except RetryLater as error:
            remedy = f'`kubectl annotate` it with {FORCE_DELETE_ANNOTATION}="true" to leave its domain behind'
            raise type(error)(f"{error.message}; {ref} was not deleted; {remedy}", reason=error.reason) from error

    # machines

    def operate(self, call: OperateCall) -> Operation:
        item, verb = encode_options(call), call.verb.value
        return decode_operation(
            self._ask_gateway(
                lambda: self._client.update(_ACTS, item, subresource=verb, timeout_s=GATEWAY_TIMEOUT_S), call.ref
            )
        )

    def inspect(self, ref: ObjectRef) -> Description:
        path = _ACTS.path(ref.namespace, ref.name, DESCRIPTION)
        body = self._ask_gateway(lambda: self._client.raw(path, timeout_s=GATEWAY_TIMEOUT_S), ref)
        return decode_description(orjson.loads(body))

    def _ask_gateway(self, question: Callable[[], Awaitable[T]], ref: ObjectRef) -> T:
        """One host's trouble is told as RetryLater, not as the cluster's: machines of other hosts are gone on with."""
        try:
            return self._ask(question)
        except NotFound as error:
            if not _is_of_gateway(error):
                remedy = "install the gateway (docs/gateway.md)"
                raise Unsupported(f"{ref}: this cluster does not serve {subresources.GROUP}; {remedy}") from error
            raise
        except Unavailable as error:
            if _is_of_gateway(error):
                raise RetryLater(error.message, reason=error.reason) from error
            raise

    def describe(self, ref: ObjectRef) -> Description:
        found = Description(object=self.get(ref), events=tuple(self.list_events(ref)))
        if ref.kind != subresources.MACHINE:
            return found
        try:
            known = self.inspect(ref)
        except XvirtError as error:
            return dataclasses.replace(found, parts=(DescribedPart(name="host", error=error.message),))
        return dataclasses.replace(found, parts=known.parts, operations=known.operations)

    # events

    def list_events(self, ref: ObjectRef | None = None, namespace: str = "") -> list[Event]:
        if ref is not None:
            self._read(ref)
            selection = Selection(
                field=f"regarding.kind={ref.kind},regarding.name={ref.name}",
                namespace=ref.namespace or DEFAULT_NAMESPACE,
            )
        else:
            selection = Selection(namespace=namespace)
        listing = self._ask(lambda: self._client.list_objects(EVENTS, selection))
        events = [event for item in listing.items if (event := read_event(item)) is not None]
        wanted = events if ref is None else [event for event in events if _is_about(event, ref)]
        return sorted(wanted, key=lambda event: event.last_seen)

    # following

    def watch(self, kinds: Sequence[Kind], namespace: str = "") -> Events:
        followed = Followed([RESOURCES[kind.name] for kind in kinds], namespace)
        return self._stream(lambda: follow_objects(self._client, followed))

    def watch_events(self, namespace: str = "") -> Events:
        return self._stream(lambda: follow_events(self._client, Followed([EVENTS], namespace)))

    @contextlib.contextmanager
    def _stream(self, start: Callable[[], AsyncGenerator[WatchEvent, None]]) -> Iterator[Iterator[WatchEvent]]:
        messages = start()
        try:
            yield self._messages(messages)
        finally:
            self._loop.run(_close(messages))

    def _messages(self, messages: AsyncGenerator[WatchEvent, None]) -> Iterator[WatchEvent]:
        async def take() -> WatchEvent | None:
            try:
                return await anext(messages, None)
            except (ApiRetryLater, Gone) as error:
                raise Unavailable(error.message, reason=error.reason) from error
            except ApiError as error:
                raise translate(error) from error

        while (message := self._loop.run(take())) is not None:
            yield message


async def _close(messages: AsyncGenerator[WatchEvent, None]) -> None:
    await messages.aclose()


def _resource(kind: str) -> Resource:
    return SECRETS if kind == SECRET_KIND else RESOURCES[kind]


def _is_of_gateway(error: XvirtError) -> bool:
    """Whether the gateway itself has answered so, and not the API server before it."""
    cause = error.__cause__
    return isinstance(cause, ApiError) and decode_status(cause.reason, cause.details) is not None


def _is_starting(error: ApiError) -> bool:
    """An API server that comes or goes: 503 of its own, not the gateway's word on a host."""
    is_own = decode_status(error.reason, error.details) is None
    return isinstance(error, ServerUnavailable) and error.code == 503 and is_own


def _is_about(event: Event, ref: ObjectRef) -> bool:
    return (event.ref.kind, event.ref.name) == (ref.kind, ref.name)


@contextlib.contextmanager
def open_place(access: Access, transport: Transport | None = None) -> Iterator[ClusterPlace]:
    """The cluster's place while the block runs."""
    with Loop() as loop:

        async def make() -> ApiClient:
            return ApiClient(transport or AiohttpTransport(access), manager=MANAGER)

        client = loop.run(make())
        try:
            yield ClusterPlace(loop, client)
        finally:
            loop.run(client.close())
