"""Streams: how many, how slow a reader may be, how they end with the node; health and reflection beside them."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from nodeplugin.server import SERVICE
from tests.unit.cli.live_node import eventually
from tests.unit.client.both import PATIENCE_S, Connect
from tests.unit.client.scripted import REF, Served, limits, view
from xvirt.client.schedule import Patience
from xvirt.model.errors import Exhausted, InvalidSpec, Unavailable
from xvirt.model.exchange import WatchEvent, WatchType
from xvirt.nodeapi.v1 import node_pb2 as pb
from xvirt.nodeapi.v1.node_pb2_grpc import NodeStub
from xvirt.wire.limits import CONSOLE_CHUNK_BYTES, STREAMS_MAX


class Flood:
    """A watch that always has something large to tell."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.taken = 0
        self.is_closed = False

    def next_event(self, timeout_s: float) -> WatchEvent:
        self.taken = next(self._numbers)
        return WatchEvent(type=WatchType.OBJECT, boot_id="b", sequence=self.taken, object=view(data="x" * (1 << 18)))

    def close(self) -> None:
        self.is_closed = True


def _slots(served: Served) -> int:
    return sum(calls.slots.count() for _, calls, _ in served.server._servers)


def test_more_streams_than_the_limit_are_refused_typed_and_slots_come_back(connect: Connect, served: Served) -> None:
    client = connect(served.target)
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(client.watch()) for _ in range(STREAMS_MAX)]
        assert {next(events).type for events in streams} == {WatchType.SYNCED}
        with pytest.raises(Exhausted, match=f"{STREAMS_MAX} streams are open") as found, client.watch() as events:
            next(events)
        assert found.value.reason == "TooManyStreams"
        assert client.get(REF) == view()
    eventually(lambda: _slots(served) == 0)
    assert all(feed.is_closed for feed in served.api.feeds)
    with client.watch() as events:
        assert next(events).type is WatchType.SYNCED


def test_a_reader_that_takes_nothing_is_cut_and_everybody_else_goes_on(
    connect: Connect, serve: Callable[..., Served]
) -> None:
    served = serve(limits=limits(slow_reader_timeout_s=0.5))
    client = connect(served.target)
    flood = Flood()
    served.api.on["watch"] = lambda kind, namespace: flood
    with client.watch() as stuck:
        assert next(stuck).sequence == 1
        del served.api.on["watch"]
        with connect(served.target).watch() as events:
            assert next(events).type is WatchType.SYNCED
            eventually(lambda: flood.is_closed and _slots(served) == 1)
            served.api.feeds[0].events.put(WatchEvent(type=WatchType.DELETED, boot_id="b", sequence=2, object=view()))
            assert next(events).type is WatchType.DELETED
        with pytest.raises(Unavailable):
            list(stuck)


def test_a_reader_that_fell_behind_is_told_so(connect: Connect, served: Served) -> None:
    class Overrun(Flood):
        def next_event(self, timeout_s: float) -> WatchEvent:
            raise Exhausted("the reader fell more than 4096 messages behind; watch again", reason="SlowReader")

    served.api.on["watch"] = lambda kind, namespace: Overrun()
    with pytest.raises(Exhausted) as found, connect(served.target).watch() as events:
        next(events)
    assert found.value.reason == "SlowReader"


def _followed() -> Iterator[bytes]:
    yield b"line\n"
    while True:
        threading.Event().wait(0.05)
        yield b""


def test_a_stop_ends_open_streams_with_unavailable_in_bounded_time(connect: Connect, served: Served) -> None:
    client = connect(served.target)
    served.api.on["console_log"] = lambda ref, follow, tail: _followed()
    with client.watch() as events, client.console(REF) as console:
        assert next(events).type is WatchType.SYNCED
        console.write(b"x")
        assert console.read() == b"x"
        log = client.console_log(REF, follow=True)
        assert next(log) == b"line\n"
        stopper = threading.Thread(target=served.stop, args=(PATIENCE_S,))
        stopper.start()
        for read in (lambda: next(events), console.read, lambda: next(log)):
            with pytest.raises(Unavailable, match="is stopping") as found:
                read()
            assert found.value.reason == "NodeStopping"
        stopper.join(PATIENCE_S / 2)
        assert not stopper.is_alive()
    assert _slots(served) == 0
    assert served.api.feeds[0].is_closed


def test_a_stop_waits_no_longer_than_its_grace_for_what_does_not_end(connect: Connect, served: Served) -> None:
    arrived, release = threading.Event(), threading.Event()

    def hang(ref: Any) -> Any:
        arrived.set()
        release.wait(PATIENCE_S)
        return view()

    served.api.on["get"] = hang
    client = connect(served.target, Patience(repeat_within_s=0.0))
    found: list[Exception] = []

    def ask() -> None:
        try:
            client.get(REF)
        except Unavailable as error:
            found.append(error)

    asker = threading.Thread(target=ask)
    asker.start()
    arrived.wait(PATIENCE_S)
    served.stop(0.1)  # returns although the call hangs
    assert not release.is_set()
    asker.join(PATIENCE_S)
    release.set()
    assert [type(error) for error in found] == [Unavailable]


def test_a_call_that_runs_ends_within_the_grace_of_a_stop(connect: Connect, served: Served) -> None:
    arrived, release = threading.Event(), threading.Event()

    def slow(ref: Any) -> Any:
        arrived.set()
        release.wait(PATIENCE_S)
        return view()

    served.api.on["get"] = slow
    client = connect(served.target)
    found: list[Any] = []
    asker = threading.Thread(target=lambda: found.append(client.get(REF)))
    asker.start()
    arrived.wait(PATIENCE_S)
    stopper = threading.Thread(target=served.stop, args=(PATIENCE_S,))
    stopper.start()
    release.set()
    asker.join(PATIENCE_S)
    stopper.join(PATIENCE_S)
    assert found == [view()]


def test_what_nobody_waits_for_any_more_is_not_begun(served: Served) -> None:
    release, arrived = threading.Event(), threading.Semaphore(0)

    def hang(ref: Any) -> Any:
        arrived.release()
        release.wait(PATIENCE_S)
        return view()

    served.api.on["get"] = hang
    with grpc.insecure_channel(served.target.grpc_address()) as channel:
        stub: Any = NodeStub(channel)
        request = pb.GetRequest(ref=pb.ObjectRef(uid="u"))
        state = served.server._servers[0][0]._state  # type: ignore[attr-defined]
        threads = state.thread_pool._max_workers
        running = [stub.Get.future(request, timeout=PATIENCE_S) for _ in range(threads)]
        for _ in running:
            assert arrived.acquire(timeout=PATIENCE_S)
        waiting = stub.Get.future(request, timeout=PATIENCE_S)
        eventually(lambda: len(state.rpc_states) == threads + 1)
        waiting.cancel()
        eventually(lambda: len(state.rpc_states) == threads)  # the server has heard of it
        release.set()
        assert all(call.result(timeout=PATIENCE_S) for call in running)
        assert stub.NodeInfo(pb.NodeInfoRequest(), timeout=PATIENCE_S)
    assert [name for name, _ in served.api.calls].count("get") == threads


def test_a_console_whose_client_says_nothing_gives_its_slot_back(serve: Callable[..., Served]) -> None:
    served = serve(limits=limits(first_message_timeout_s=0.3))
    with grpc.insecure_channel(served.target.grpc_address()) as channel:
        stub: Any = NodeStub(channel)
        never = threading.Event()
        stream = stub.Console(iter(lambda: never.wait(PATIENCE_S), True), timeout=PATIENCE_S)
        with pytest.raises(grpc.RpcError) as found:
            next(stream)
        never.set()
    assert "the first message must name the machine" in (found.value.details() or "")
    eventually(lambda: _slots(served) == 0)


def test_a_log_from_before_its_beginning_is_refused(connect: Connect, served: Served) -> None:
    with pytest.raises(InvalidSpec, match="tail_bytes: must not be below 0"):
        next(connect(served.target).console_log(REF, tail_bytes=-1))


def test_a_console_refuses_input_once_it_has_ended(connect: Connect, served: Served) -> None:
    with connect(served.target).console(REF) as console:
        console.write(b"x")
        assert console.read() == b"x"
        assert served.api.domain.console is not None
        served.api.domain.console.close()
        assert console.read() is None
        with pytest.raises(Unavailable) as found:
            console.write(b"y" * (CONSOLE_CHUNK_BYTES * 1000))
    assert found.value.reason == "ConsoleEnded"


def _health(served: Served) -> Any:
    with grpc.insecure_channel(served.target.grpc_address()) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(service=SERVICE), timeout=PATIENCE_S).status


def test_health_tells_whether_the_node_serves(served: Served) -> None:
    assert _health(served) == health_pb2.HealthCheckResponse.SERVING
    with grpc.insecure_channel(served.target.grpc_address()) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        told = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=PATIENCE_S)
        assert next(told).status == health_pb2.HealthCheckResponse.SERVING
        stopper = threading.Thread(target=served.stop, args=(1.0,))
        stopper.start()
        assert next(told).status == health_pb2.HealthCheckResponse.NOT_SERVING
        stopper.join(PATIENCE_S)


@pytest.mark.parametrize("is_opted_in", [False, True])
def test_reflection_is_there_only_when_it_was_opted_in(serve: Callable[..., Served], is_opted_in: bool) -> None:
    served = serve(reflection=is_opted_in)
    with grpc.insecure_channel(served.target.grpc_address()) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = stub.ServerReflectionInfo(iter([request]), timeout=PATIENCE_S)
        if is_opted_in:
            assert SERVICE in [item.name for item in next(answers).list_services_response.service]
            return
        with pytest.raises(grpc.RpcError) as found:
            next(answers)
    assert found.value.code() is grpc.StatusCode.UNIMPLEMENTED
