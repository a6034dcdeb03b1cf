"""The client: deadlines, the gate, the guard, typed errors, hooks and counts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.fakes.apifaults import Refusal
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.virtualtime import VirtualTime
from tests.unit.operator.runtime.api_cases import THINGS, config, refusal_of, thing
from xvirt.operator.runtime import errors
from xvirt.operator.runtime.api import CALL_TIMEOUT_S, ApiClient, Call, Phase, WatchCall
from xvirt.operator.runtime.errors import (
    ApiError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    LeaseLost,
    NotFound,
    OutcomeUnknown,
    RetryLater,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from xvirt.operator.runtime.resources import CONFIG_MAPS, NODES, PODS, Key, Object, owner_keys, owner_reference
from xvirt.operator.runtime.transport import Answer, Request

ONE = Key("ns", "one")


def _run(time: VirtualTime, main: Callable[[ApiClient, FakeApiServer], Awaitable[None]]) -> None:
    async def whole() -> None:
        server = FakeApiServer(time.clock)
        await main(ApiClient(server, manager="test", clock=time.clock), server)

    time.run(whole())


def _now(time: VirtualTime) -> float:
    return time.clock.monotonic_s()


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (400, "BadRequest", Invalid),
        (401, "Unauthorized", Unauthorized),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (405, "MethodNotAllowed", Invalid),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "", Conflict),
        (410, "Expired", Gone),
        (410, "Gone", Gone),
        (413, "RequestEntityTooLarge", Invalid),
        (415, "UnsupportedMediaType", Invalid),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", TooManyRequests),
        (500, "InternalError", Unavailable),
        (500, "ServerTimeout", Unavailable),
        (502, "", Unavailable),
        (503, "ServiceUnavailable", Unavailable),
        (504, "Timeout", Unavailable),
    ],
)
def test_an_answer_is_its_class_of_error_with_reason_object_and_audit_id(
    time: VirtualTime, code: int, reason: str, kind: type[ApiError]
) -> None:
    async def main(api: ApiClient, server: FakeApiServer) -> None:
        server.faults.refuse_with(Refusal(code, reason, "because", {"name": "one"}))
        error = await refusal_of(api.get(THINGS, ONE))
        assert type(error) is kind
        assert error.code == code
        assert error.reason == (reason or kind.__name__)
        assert error.audit_id == "fake"
        assert error.details == {"name": "one"}
        assert str(error) == f"get things ns/one: because ({code} {reason or kind.__name__}, audit ID fake)"

    _run(time, main)


def test_every_class_of_error_says_what_to_do_in_the_modules_tree() -> None:
    tree = errors.__doc__ or ""
    classes = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, ApiError)]
    assert len(classes) >= 13
    assert all(item.__name__ in tree for item in classes)
    retried = {item.__name__ for item in classes if issubclass(item, RetryLater)}
    assert retried == {"RetryLater", "TooManyRequests", "Unavailable", "Unreachable", "OutcomeUnknown"}


def test_an_answer_that_is_no_status_is_an_error_with_its_text(time: VirtualTime) -> None:
    async def main(api: ApiClient, server: FakeApiServer) -> None:
        async def send(request: Request) -> Answer:
            return Answer(502, {}, b"<html>bad gateway</html>")

        server.send = send  # type: ignore[method-assign]
        error = await refusal_of(api.get(THINGS, ONE))
        assert isinstance(error, Unavailable)
        assert "bad gateway" in str(error)
        assert error.audit_id, "the one that was sent"

    _run(time, main)


@pytest.mark.parametrize("body", [b"", b"[]", b"{"])
def test_an_answer_that_is_no_object_is_an_unknown_outcome(time: VirtualTime, body: bytes) -> None:
    async def main(api: ApiClient, server: FakeApiServer) -> None:
        async def send(request: Request) -> Answer:
            return Answer(200, {}, body)

        server.send = send  # type: ignore[method-assign]
        assert isinstance(await refusal_of(api.get(THINGS, ONE)), OutcomeUnknown)

    _run(time, main)


def test_fault_08_a_call_without_an_answer_ends_at_its_deadline(time: VirtualTime) -> None:
    async def main(api: ApiClient, server: FakeApiServer) -> None:
        server.faults.blackhole()
        for timeout_s in (CALL_TIMEOUT_S, 1.0):
            began_s = _now(time)
            error = await refusal_of(api.get(THINGS, ONE, timeout_s=timeout_s))
            assert isinstance(error, OutcomeUnknown)
            assert error.audit_id
            assert timeout_s <= _now(time) - began_s < timeout_s + 0.01

    _run(time, main)


def test_a_write_tells_the_server_when_nobody_waits_for_it_any_more(time: VirtualTime) -> None:
    async def main(api: ApiClient, server: FakeApiServer) -> None:
        await api.create(CONFIG_MAPS, config("ns"))
        await api.get(CONFIG_MAPS, ONE)
        assert [sent.query.get("timeout") for sent in server.sent] == ["10.000s", None]

    _run(time, main)


def test_fault_11_retry_after_holds_everybody_back_for_that_long(time: VirtualTime) -> None:
    async def main(api: ApiClient, server: FakeApiServer) -> None:
        for number in range(8):
            await api.create(CONFIG_MAPS, config("ns", f"map-{number}"))
        server.faults.refuse_with(Refusal(429, "TooManyRequests", "later", retry_after_s=4), times=1)
        error = await refusal_of(api.get(CONFIG_MAPS, Key("ns", "map-0")))
        assert isinstance(error, TooManyRequests)
        assert error.retry_after_s == 4
        began_s, sent = _now(time), len(server.sent)
        await asyncio.gather(*(api.get(CONFIG_MAPS, Key("ns", f"map-{number}")) for number in range(8)))
        waited_s = [each.at_s - began_s for each in server.sent[sent:]]
        assert min(waited_s) >= 4
        assert max(waited_s) <= 4 * 1.25 + 0.1
        assert len({round(each, 3) for each in waited_s}) > 4, "not all at once"
        throttled = api.metrics.registry.get_sample_value("operator_api_throttled_total", {"resource": "configmaps"})
        assert throttled == 1

    _run(time, main)


def test_who_cannot_wait_for_the_gate_is_told_so_at_once_and_sends_nothing(time: VirtualTime) -> None:
    async def main(api: ApiClient, server: FakeApiServer) -> None:
        server.faults.refuse_with(Refusal(503, "ServiceUnavailable", "later", retry_after_s=30), times=1)
        await refusal_of(api.get(THINGS, ONE))
        began_s, sent = _now(time), len(server.sent)
        error = await refusal_of(api.get(THINGS, ONE))
        assert isinstance(error, TooManyRequests)
        assert 29 < error.retry_after_s <= 30
        assert _now(time) - began_s < 0.01
        assert len(server.sent) == sent
        assert isinstance(await refusal_of(api.ungated().get(THINGS, ONE)), NotFound)

    _run(time, main)


def test_a_server_that_asks_for_hours_is_asked_again_within_a_minute(time: VirtualTime) -> None:
    async def main(api: ApiClient, server: FakeApiServer) -> None:
        server.faults.refuse_with(Refusal(429, "TooManyRequests", "later", retry_after_s=36000), times=1)
        await refusal_of(api.get(THINGS, ONE))
        await asyncio.sleep(61)
        assert isinstance(await refusal_of(api.get(THINGS, ONE)), NotFound)

    _run(time, main)


def test_a_guard_stops_writes_before_they_are_sent_and_never_reads(time: VirtualTime) -> None:
    def lost() -> float:
        raise LeaseLost("not mine")

    async def main(api: ApiClient, server: FakeApiServer) -> None:
        made = await api.create(THINGS, thing("ns"))
        sent = len(server.sent)
        guarded = api.guarded(lost)
        writes: list[Awaitable[Any]] = [
            guarded.create(THINGS, thing("ns", "two")),
            guarded.update(THINGS, made),
            guarded.apply(THINGS, made),
            guarded.apply_status(THINGS, made),
            guarded.json_patch(THINGS, ONE, []),
            guarded.merge_patch(THINGS, ONE, {}),
            guarded.delete(THINGS, made),
            guarded.add_finalizer(THINGS, made, "a.io/b"),
        ]
        for write in writes:
            assert isinstance(await refusal_of(write), LeaseLost)
        assert len(server.sent) == sent
        await guarded.get(THINGS, ONE)
        await guarded.list_objects(THINGS)
        await api.delete(THINGS, made)

    _run(time, main)


def test_a_guarded_write_ends_before_the_guards_time_does(time: VirtualTime) -> None:
    async def main(api: ApiClient, server: FakeApiServer) -> None:
        server.faults.blackhole()
        began_s = _now(time)
        await refusal_of(api.guarded(lambda: 2.5).create(THINGS, thing("ns")))
        assert 2.5 <= _now(time) - began_s < 2.51

    _run(time, main)


def test_a_hook_may_stop_a_request_and_what_follows_it(time: VirtualTime) -> None:
    class Killed(BaseException):
        pass

    async def main(api: ApiClient, server: FakeApiServer) -> None:
        for phase, stored in ((Phase.BEFORE, 0), (Phase.AFTER, 1)):

            def kill(now: Phase, call: Call, phase: Phase = phase) -> None:
                if now is phase and call.verb == "create":
                    raise Killed

            api.hooks[:] = [kill]
            with pytest.raises(Killed):
                await api.create(THINGS, thing("ns"))
            assert len(server.objects(THINGS)) == stored

    _run(time, main)


def test_writes_are_counted_by_kind_and_verb_and_requests_by_code(time: VirtualTime) -> None:
    async def main(api: ApiClient, _: FakeApiServer) -> None:
        made = await api.create(THINGS, thing("ns"))
        await api.apply(THINGS, {**thing("ns"), "spec": {"size": 2}})
        await refusal_of(api.create(THINGS, thing("ns")))
        await api.delete(THINGS, {"metadata": {**made["metadata"]}})
        await refusal_of(api.get(THINGS, ONE))
        assert api.metrics.count_writes() == {
            ("things", "create"): 2,
            ("things", "apply"): 1,
            ("things", "delete"): 1,
        }
        labels = {"resource": "things", "verb": "create", "code": "409"}
        assert api.metrics.registry.get_sample_value("operator_api_requests_total", labels) == 1

    _run(time, main)


def test_a_status_without_its_version_is_refused_here_already(time: VirtualTime) -> None:
    async def main(api: ApiClient, server: FakeApiServer) -> None:
        error = await refusal_of(api.apply_status(THINGS, thing("ns", status={})))
        assert isinstance(error, Invalid)
        assert server.sent == []

    _run(time, main)


def test_a_watch_that_is_silent_is_an_error_and_one_that_is_left_is_closed(time: VirtualTime) -> None:
    async def main(api: ApiClient, server: FakeApiServer) -> None:
        server.faults.has_bookmarks = False
        began_s = _now(time)
        error = await refusal_of(_drain(api, WatchCall("100", silence_s=95)))
        assert error.reason == "Silent"
        assert 95 <= _now(time) - began_s < 95.1
        server.faults.blackhole()
        began_s = _now(time)
        error = await refusal_of(_drain(api, WatchCall("100")))
        assert isinstance(error, OutcomeUnknown)
        assert _now(time) - began_s < 15.1, "opening has a deadline of its own"

    _run(time, main)


async def _drain(api: ApiClient, call: WatchCall) -> None:
    async with contextlib.aclosing(api.watch(THINGS, call)) as events:
        async for _ in events:
            pass


def test_events_in_pieces_of_any_size_are_put_together(time: VirtualTime) -> None:
    async def main(api: ApiClient, server: FakeApiServer) -> None:
        whole = server.stream

        @contextlib.asynccontextmanager
        async def in_pieces(request: Request) -> Any:
            async with whole(request) as stream:
                body = stream.chunks()

                async def chunks() -> Any:
                    async for chunk in body:
                        for start in range(0, len(chunk), 7):
                            yield chunk[start : start + 7]

                stream.chunks = chunks  # type: ignore[method-assign]
                yield stream

        server.stream = in_pieces  # type: ignore[method-assign]
        for number in range(3):
            server.write(THINGS, thing("ns", f"thing-{number}"))
        names = []
        async with contextlib.aclosing(api.watch(THINGS, WatchCall("100", timeout_s=5))) as events:
            async for event in events:
                names.append(event.object["metadata"]["name"])
        assert names == ["thing-0", "thing-1", "thing-2"]

    _run(time, main)


def test_a_question_that_is_not_kept_is_no_write(time: VirtualTime) -> None:
    async def main(api: ApiClient, server: FakeApiServer) -> None:
        async def send(request: Request) -> Answer:
            assert (request.method, request.path) == ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews")
            return Answer(201, {}, b'{"metadata": {}, "status": {"allowed": true}}')

        server.send = send  # type: ignore[method-assign]
        answer = await api.submit(REVIEWS, {"apiVersion": REVIEWS.api_version, "kind": REVIEWS.kind, "spec": {}})
        assert answer["status"] == {"allowed": True}
        assert api.metrics.count_writes() == {}

    _run(time, main)


REVIEWS = THINGS.__class__("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", False)


def test_paths_are_the_apis_and_a_name_cannot_leave_its_segment() -> None:
    assert PODS.path("ns", "web", "log") == "/api/v1/namespaces/ns/pods/web/log"
    assert PODS.path() == "/api/v1/pods"
    assert NODES.path("", "n1", "status") == "/api/v1/nodes/n1/status"
    assert THINGS.path("ns") == "/apis/example.xvirt.io/v1/namespaces/ns/things"
    assert PODS.path("ns", "system:a") == "/api/v1/namespaces/ns/pods/system:a"
    assert PODS.path("ns", "a?b#c d") == "/api/v1/namespaces/ns/pods/a%3Fb%23c%20d"
    for name in ("..", ".", "a/b", "%2e%2e"):
        with pytest.raises(ValueError, match="cannot be a name"):
            PODS.path("ns", name)
        with pytest.raises(ValueError, match="cannot be a name"):
            PODS.path(name)


def test_owners_lead_to_their_keys() -> None:
    owner: Object = {**thing("ns"), "metadata": {"name": "one", "namespace": "ns", "uid": "u"}}
    owned = config("ns", "other")
    owned["metadata"]["ownerReferences"] = [owner_reference(owner), {"kind": "Thing", "name": "no"}]
    assert list(owner_keys("Thing")(owned)) == [ONE]
    assert list(owner_keys("Pod")(owned)) == []
    assert list(owner_keys("Thing")(config("ns"))) == []
