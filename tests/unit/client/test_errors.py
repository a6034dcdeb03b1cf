"""Every error of ours reaches either client as what it was; what is no error of ours is told as what it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from tests.unit.cli.live_node import eventually
from tests.unit.client.both import Connect
from tests.unit.client.scripted import REF, Served, limits, view
from xvirt.client.target import Target
from xvirt.model import errors
from xvirt.model.errors import InvalidSpec, Problem, XvirtError
from xvirt.model.exchange import ApplyCall, NodeDescription, OperateCall, Verb, WatchEvent, WatchType
from xvirt.nodeapi.v1 import node_pb2 as pb
from xvirt.wire import messages
from xvirt.wire.limits import MESSAGE_MAX_BYTES


def _subclasses(cls: type[XvirtError]) -> list[type[XvirtError]]:
    return [cls, *(item for sub in cls.__subclasses__() for item in _subclasses(sub))]


ALL = sorted(set(_subclasses(XvirtError)), key=lambda cls: cls.__name__)


def _make(cls: type[XvirtError], message: str) -> XvirtError:
    if cls is InvalidSpec:
        return InvalidSpec([Problem("spec.disks[0].size", message, "mend it")], "VirtualMachine web", reason="Why")
    if cls is errors.Conflict:
        return errors.Conflict(message, reason="Why", stored_epoch=3, stored_generation=2**60)
    return cls(message, reason="Why", libvirt_code=38)


def _caught(connect: Connect, served: Served, error: Exception) -> XvirtError:
    def fail(ref: Any) -> Any:
        raise error

    served.api.on["get"] = fail
    with pytest.raises(XvirtError) as found:
        connect(served.target).get(REF)
    return found.value


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_each_class_of_error_crosses_the_wire_whole(connect: Connect, served: Served, cls: type[XvirtError]) -> None:
    sent = _make(cls, "what failed")
    found = _caught(connect, served, sent)
    assert type(found) is cls
    assert {**vars(found), "args": found.args} == {**vars(sent), "args": sent.args}


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_each_class_of_error_ends_a_stream_as_itself(connect: Connect, served: Served, cls: type[XvirtError]) -> None:
    sent = _make(cls, "what failed")

    def fail(kind: str, namespace: str) -> Any:
        raise sent

    served.api.on["watch"] = fail
    with pytest.raises(XvirtError) as found, connect(served.target).watch() as events:
        next(events)
    assert (type(found.value), found.value.message) == (cls, sent.message)


@pytest.mark.parametrize("text", ["first line\nsecond\tline\r\n", "größer als 5 €, 日本語 🦊", "a\x00b\x7f", " "])
def test_texts_of_errors_arrive_letter_by_letter(connect: Connect, served: Served, text: str) -> None:
    assert _caught(connect, served, errors.Refused(text)).message == text


def test_half_a_character_in_an_errors_text_is_told_by_its_number(connect: Connect, served: Served) -> None:
    found = _caught(connect, served, errors.NotFound("no file '\udcff.qcow2'", reason="Why\ud800"))
    assert (found.message, found.reason) == ("no file '\\udcff.qcow2'", "Why\\ud800")


@pytest.mark.parametrize("letter", ["x", "%", "€", "🦊", "\n"])
@pytest.mark.parametrize("cls", [errors.Refused, InvalidSpec], ids=lambda cls: cls.__name__)
def test_an_error_of_any_length_still_arrives_as_itself(
    connect: Connect, served: Served, cls: type[XvirtError], letter: str
) -> None:
    client = connect(served.target)

    def fail(ref: Any) -> Any:
        text = letter * 200_000
        raise (
            InvalidSpec([Problem(text, text, text)], text, reason=text)
            if cls is InvalidSpec
            else cls(text, reason=text)
        )

    served.api.on["get"] = fail
    for _ in range(30):  # beyond its soft limit gRPC refuses headers by chance
        with pytest.raises(cls) as found:
            client.get(REF)
        assert found.value.reason.startswith(letter)


def test_of_a_thousand_problems_the_first_are_told_and_the_rest_counted(connect: Connect, served: Served) -> None:
    problems = [Problem(f"spec.disks[{number}].size", "must be a size", "write 20Gi") for number in range(1000)]
    found = _caught(connect, served, InvalidSpec(problems, "VirtualMachine web"))
    assert isinstance(found, InvalidSpec)
    told = found.problems[:-1]
    assert len(told) >= 40
    assert told == tuple(problems[: len(told)])
    assert found.problems[-1].message == f"{1000 - len(told)} more problems are not shown"
    assert found.message.startswith("VirtualMachine web: spec.disks[0].size: must be a size; write 20Gi; ")


def test_a_class_that_only_the_node_knows_arrives_as_the_nearest_known_one(
    connect: Connect, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    detail = pb.ErrorDetail(error_class="DiskFull", reason="DiskFull", message="pool is full").SerializeToString()
    status = (grpc.StatusCode.RESOURCE_EXHAUSTED, "pool is full", (("xvirt-error-bin", detail),))
    monkeypatch.setattr("nodeplugin.server_calls.encode_error", lambda error: status)
    found = _caught(connect, served, errors.Refused("replaced on its way"))
    assert (type(found), found.message, found.reason) == (errors.Exhausted, "pool is full", "DiskFull")


def test_a_bug_of_the_nodes_is_told_by_number_and_without_its_text(
    connect: Connect, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    found = _caught(connect, served, KeyError("secret of somebody"))
    assert isinstance(found, errors.InternalError)
    assert "secret" not in found.message
    number = found.message.rsplit(" ", 1)[-1]
    assert f"bug {number} in Get" in caplog.text


def test_a_bug_in_a_stream_is_told_by_number_and_without_its_text(connect: Connect, served: Served) -> None:
    def fail(kind: str, namespace: str) -> Any:
        raise KeyError("secret of somebody")

    served.api.on["watch"] = fail
    told = "KeyError in Watch; the node's log"
    with pytest.raises(errors.InternalError, match=told) as found, connect(served.target).watch() as events:
        next(events)
    assert "secret" not in found.value.message


def test_what_cannot_be_sent_is_refused_before_it_is(connect: Connect, served: Served) -> None:
    client = connect(served.target)
    for document in ({"a": "\ud800"}, {"a": float("nan")}, {"a": {1, 2}}):
        with pytest.raises(InvalidSpec):
            client.apply(ApplyCall(document=document))
    for name in ("\udcff", 7):
        with pytest.raises(InvalidSpec, match="cannot be sent"):
            client.list_objects(name)  # type: ignore[arg-type]
    with pytest.raises(InvalidSpec, match="cannot be sent"):
        client.operate(OperateCall(ref=REF, verb=Verb.STOP, operation_id="o", grace_period_s=2**40))
    assert served.api.calls == []


def test_a_request_beyond_the_limit_is_refused_and_the_connection_goes_on(connect: Connect, served: Served) -> None:
    client = connect(served.target)
    with pytest.raises(XvirtError) as found:
        client.apply(ApplyCall(document={"kind": "VirtualMachine", "x": "y" * (MESSAGE_MAX_BYTES + 1)}))
    assert isinstance(found.value, errors.Exhausted)
    assert client.get(REF) == view()


def test_an_answer_beyond_the_limit_is_told_and_the_connection_goes_on(connect: Connect, served: Served) -> None:
    client = connect(served.target)
    served.api.on["list_objects"] = lambda kind, namespace: [view(data="x" * (1 << 20)) for _ in range(17)]
    with pytest.raises(errors.Exhausted, match="ask for less at once"):
        client.list_objects()
    served.api.on["list_objects"] = lambda kind, namespace: [view(data="x" * (1 << 20)) for _ in range(15)]
    assert len(client.list_objects()) == 15


def test_answers_of_a_newer_release_are_not_guessed_at(
    connect: Connect, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = pb.Operation(id="o", ref=messages.encode_ref(REF), state=9, verb=1)  # type: ignore[arg-type]
    monkeypatch.setattr("nodeplugin.server_calls.messages.encode_operation", lambda operation: answer)
    served.api.on["operate"] = lambda call: None
    with pytest.raises(
        errors.Unsupported, match=r"its answer to Operate cannot be read.*value 9 is not known"
    ) as found:
        connect(served.target).operate(OperateCall(ref=REF, verb=Verb.STOP, operation_id="o"))
    assert found.value.reason == "AnswerNotUnderstood"


REQUESTS = [
    ("Operate", pb.OperateRequest(ref=pb.ObjectRef(uid="u"), verb=77, operation_id="o"), "verb"),  # type: ignore[arg-type]
    ("Operate", pb.OperateRequest(ref=pb.ObjectRef(uid="u"), verb=1), "operation_id"),  # type: ignore[arg-type]
    ("Operate", pb.OperateRequest(ref=pb.ObjectRef(uid="u"), verb=1, operation_id="o" * 129), "operation_id"),  # type: ignore[arg-type]
    ("Apply", pb.ApplyRequest(document=b"{}", dry_run=5), "dry_run"),  # type: ignore[arg-type]
    ("Apply", pb.ApplyRequest(document=b"{"), ""),
    ("Apply", pb.ApplyRequest(document=b'{"a": 1, "a": 2}'), ""),
    ("Apply", pb.ApplyRequest(document=b"{}", token=pb.Token(epoch=-1)), "token.epoch"),
    ("Apply", pb.ApplyRequest(document=b"{}", token=pb.Token(if_generation=-2)), "token.if_generation"),
    ("Get", pb.GetRequest(), "ref"),
    ("Get", pb.GetRequest(ref=pb.ObjectRef(uid="u" * 254)), "ref.uid"),
    ("Describe", pb.DescribeRequest(ref=pb.ObjectRef(kind="VirtualMachine")), "ref"),
]


@pytest.mark.parametrize(("method", "request_", "path"), REQUESTS)
def test_requests_that_make_no_sense_are_refused_by_field(
    served: Served, method: str, request_: Any, path: str
) -> None:
    with grpc.insecure_channel(served.target.grpc_address()) as channel:
        call = channel.unary_unary(
            f"/xvirt.nodeapi.v1.Node/{method}",
            request_serializer=type(request_).SerializeToString,
            response_deserializer=bytes,
        )
        with pytest.raises(grpc.RpcError) as found:
            call(request_, timeout=30)
    assert found.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert served.api.calls == []
    assert path in (found.value.details() or "")


def test_more_calls_than_the_limit_are_refused_typed_and_the_others_go_on(
    connect: Connect, serve: Callable[..., Served]
) -> None:
    served = serve(limits=limits(calls=2, streams=8))
    client = connect(served.target)
    with client.watch() as first, client.watch() as second:
        assert next(first).sequence == next(second).sequence == 1
        with pytest.raises(errors.Exhausted, match="Concurrent RPC limit"):
            client.get(REF)
        for feed in served.api.feeds:
            feed.events.put(WatchEvent(type=WatchType.OBJECT, boot_id="b", sequence=2, object=view()))
        assert next(first).sequence == next(second).sequence == 2

    def is_answered() -> bool:
        with contextlib.suppress(errors.Exhausted):
            return client.node_info() == NodeDescription(document={"kind": "VirtualHost"})
        return False

    assert eventually(is_answered)


def test_an_address_of_another_scheme_is_refused(connect: Connect) -> None:
    with pytest.raises(InvalidSpec, match="use unix:///path"):
        connect(Target("http://node-a:1"))
    with pytest.raises(InvalidSpec, match="TCP needs mutual TLS"):
        connect(Target("tcp://127.0.0.1:1", "node-a"))
