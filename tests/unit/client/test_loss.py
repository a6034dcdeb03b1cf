"""What the clients do where the node does not answer, goes away, comes back, or is cut off in the middle of a call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.unit.cli.live_node import LiveNode, eventually
from tests.unit.client.both import PATIENCE_S, Connect
from tests.unit.client.relay import Relay, black_hole
from tests.unit.client.scripted import REF, Served, limits, view
from tests.unit.client.test_calls import machine
from xvirt.client.schedule import Attempts, Method, Patience
from xvirt.client.target import Target
from xvirt.model.errors import DeadlineExceeded, Refused, RetryLater, Unavailable, XvirtError
from xvirt.model.exchange import ApplyCall, OperateCall, Token, Verb, WatchEvent, WatchType

SHORT = Patience(call_s=0.5, repeat_within_s=0.3, silence_s=0.5)
LONG = Patience(call_s=PATIENCE_S, repeat_within_s=PATIENCE_S)


@pytest.fixture
def relay(node: LiveNode, tmp_path: Path) -> Iterator[Relay]:
    made = Relay(tmp_path / "relay.sock", node.socket)
    yield made
    made.close()


def test_a_call_of_a_peer_that_never_answers_ends_at_its_deadline(connect: Connect, tmp_path: Path) -> None:
    with black_hole(tmp_path / "hole.sock") as address:
        client = connect(Target(address), SHORT)
        with pytest.raises(DeadlineExceeded, match=r"hole.sock.*repeating the call is safe"):
            client.get(REF)
        with pytest.raises(DeadlineExceeded):
            client.apply(ApplyCall(document={"kind": "x"}), 0.2)


def test_a_watch_of_a_peer_that_never_answers_is_given_up(connect: Connect, tmp_path: Path) -> None:
    with black_hole(tmp_path / "hole.sock") as address:
        client = connect(Target(address), SHORT)
        with pytest.raises(Unavailable, match=r"silent for 0\.5 s") as found, client.watch() as events:
            next(events)
        with pytest.raises(Unavailable):
            next(client.console_log(REF))
    assert found.value.reason == "NodeSilent"


def test_a_watch_that_falls_silent_is_given_up_and_one_with_heartbeats_is_not(
    connect: Connect, serve: Callable[..., Served]
) -> None:
    served = serve(limits=limits(heartbeat_interval_s=0.25))
    client = connect(served.target, Patience(silence_s=5.0))
    with client.watch() as events:
        found = [next(events) for _ in range(4)]
    assert [event.type for event in found] == [WatchType.SYNCED] + [WatchType.HEARTBEAT] * 3
    assert {(event.boot_id, event.sequence) for event in found} == {("b", 1)}


def test_a_reader_that_takes_its_time_is_not_taken_for_silence(connect: Connect, served: Served) -> None:
    client = connect(served.target, Patience(silence_s=0.2))
    with client.watch() as events:
        next(events)
        feed = served.api.feeds[0]
        assert not threading.Event().wait(0.6)  # this much later than its silence, the stream must still be there
        feed.events.put(WatchEvent(type=WatchType.OBJECT, boot_id="b", sequence=2, object=view()))
        assert next(events).sequence == 2


def test_a_node_that_is_not_there_is_unavailable_and_says_what_to_look_at(connect: Connect, tmp_path: Path) -> None:
    client = connect(Target(f"unix://{tmp_path}/none.sock"), SHORT)
    for ask in (lambda: client.get(REF), lambda: next(client.console_log(REF))):
        with pytest.raises(Unavailable, match=r"none.sock cannot be reached.*systemctl status xvirt-node") as found:
            ask()
        assert found.value.reason == "NodeUnreachable"
    with pytest.raises(Unavailable), client.watch() as events:
        next(events)
    with pytest.raises(Unavailable), client.console(REF) as console:
        console.read()


def test_a_call_finds_a_node_that_comes_back_while_there_is_time(connect: Connect, served: Served) -> None:
    client = connect(served.target, LONG)
    assert client.get(REF) == view()
    served.stop()
    found: list[Any] = []
    asker = threading.Thread(target=lambda: found.append(client.get(REF)))
    asker.start()
    served.start()
    asker.join(PATIENCE_S)
    assert found == [view()]


def test_a_call_that_was_cut_in_the_middle_is_repeated_and_stored_once(
    connect: Connect, node: LiveNode, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived: list[int] = []
    original = node.service.apply

    def cut_after_storing(*args: Any) -> Any:
        result = original(*args)
        arrived.append(result.object.token.generation)
        if len(arrived) == 1:
            relay.cut()
        return result

    monkeypatch.setattr(node.service, "apply", cut_after_storing)
    answer = connect(Target(relay.address), LONG).apply(ApplyCall(document=machine(), token=Token(if_generation=-1)))
    assert arrived == [1, 1]
    assert answer.object.token.generation == 1
    assert len(node.store.list_objects()) == 1


def test_an_act_that_was_cut_in_the_middle_is_done_once(
    connect: Connect, node: LiveNode, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(Target(relay.address), LONG)
    ref = client.apply(ApplyCall(document=machine())).object.ref
    eventually(lambda: client.get(ref).document.get("status", {}).get("printableStatus") == "Running")
    arrived: list[str] = []
    original = node.service.operate

    def cut_after_storing(*args: Any) -> Any:
        operation = original(*args)
        arrived.append(operation.id)
        if len(arrived) == 1:
            relay.cut()
        return operation

    monkeypatch.setattr(node.service, "operate", cut_after_storing)
    client.operate(OperateCall(ref=ref, verb=Verb.PAUSE, operation_id="once"))
    assert arrived == ["once", "once"]
    assert [item.id for item in client.describe(ref).operations] == ["once"]


def test_streams_that_are_cut_raise_unavailable_and_are_not_begun_again(
    connect: Connect, node: LiveNode, relay: Relay
) -> None:
    client = connect(Target(relay.address), LONG)
    with client.watch() as events:
        assert next(events).type is WatchType.SYNCED
        relay.cut()
        with pytest.raises(Unavailable):
            next(events)

    def begins_anew() -> bool:
        """The next one may still be sent on the connection that was cut: gRPC hears of its end a moment later."""
        try:
            with client.watch() as again:
                return next(again).type is WatchType.SYNCED
        except Unavailable:
            return False

    eventually(begins_anew)


def test_a_stream_that_its_own_client_closes_ends_with_unavailable(connect: Connect, served: Served) -> None:
    client = connect(served.target)
    found: list[Exception] = []
    with client.watch() as events:
        next(events)

        def read() -> None:
            try:
                next(events)
            except XvirtError as error:
                found.append(error)

        reader = threading.Thread(target=read)
        reader.start()
        client.close()
        reader.join(PATIENCE_S)
    assert [type(error) for error in found] == [Unavailable]


def test_a_closed_client_says_so(connect: Connect, served: Served) -> None:
    client = connect(served.target)
    client.get(REF)
    client.close()
    with pytest.raises(Refused, match="is closed; make a new one"):
        client.get(REF)


@pytest.mark.parametrize("method", list(Method))
def test_attempts_end_within_their_bounds(method: Method) -> None:
    patience = Patience(call_s=30.0, repeat_within_s=3.0)
    attempts, now_s, pauses = Attempts(method, patience, 100.0), 100.0, []
    lost = Unavailable("x", reason="NodeUnreachable")
    while (pause_s := attempts.pause_s(lost, now_s)) is not None:
        pauses.append(pause_s)
        now_s += pause_s
        assert attempts.left_s(now_s) == pytest.approx(130.0 - now_s)
    is_stream = method in (Method.WATCH, Method.CONSOLE, Method.CONSOLE_LOG, Method.UPLOAD)
    assert pauses == ([] if is_stream else pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0]))
    assert now_s <= 103.0
    assert attempts.left_s(1000.0) > 0.0


@pytest.mark.parametrize("failure", [Unavailable("libvirt is away"), DeadlineExceeded("late"), Refused("no")])
def test_only_a_node_that_was_not_reached_is_asked_again(failure: XvirtError) -> None:
    assert Attempts(Method.GET, LONG, 0.0).pause_s(failure, 0.0) is None


def test_no_attempt_begins_after_a_short_deadline() -> None:
    attempts = Attempts(Method.GET, Patience(), 0.0, timeout_s=0.05)
    assert attempts.pause_s(Unavailable("x", reason="NodeUnreachable"), 0.0) is None


def test_what_the_node_answers_is_not_asked_again(connect: Connect, served: Served) -> None:
    def fail(ref: Any) -> Any:
        raise Unavailable("libvirt is away")

    served.api.on["get"] = fail
    with pytest.raises(RetryLater, match="libvirt is away"):
        connect(served.target).get(REF)
    assert len(served.api.calls) == 1


def test_an_error_keeps_no_trace_of_grpc(connect: Connect, tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as found:
        connect(Target(f"unix://{tmp_path}/none.sock"), SHORT).get(REF)
    assert found.value.__suppress_context__


def test_a_watch_that_is_ended_without_an_error_is_unavailable_all_the_same(connect: Connect, tmp_path: Path) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    done_at_once: Any = grpc.unary_stream_rpc_method_handler(lambda request, context: iter(()))
    service = grpc.method_handlers_generic_handler("xvirt.nodeapi.v1.Node", {"Watch": done_at_once})
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"unix:{tmp_path}/brief.sock")
    server.start()
    try:
        client = connect(Target(f"unix://{tmp_path}/brief.sock"))
        with pytest.raises(Unavailable) as found, client.watch() as events:
            next(events)
        assert found.value.reason == "WatchEnded"
    finally:
        server.stop(0).wait(PATIENCE_S)
