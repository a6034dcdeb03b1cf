"""Values to messages and back: nothing is lost, nothing is guessed."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from xvirt.model.errors import InvalidSpec
from xvirt.model.exchange import (
    ApplyCall,
    ApplyResult,
    DescribedPart,
    Description,
    Detail,
    DryRun,
    Event,
    EventType,
    FieldChange,
    Impact,
    NodeDescription,
    ObjectRef,
    ObjectView,
    OperateCall,
    Operation,
    OperationState,
    Orphan,
    OrphanKind,
    PlannedStep,
    SecretContent,
    Token,
    Verb,
    WatchEvent,
    WatchType,
)
from xvirt.nodeapi.v1 import node_pb2 as pb
from xvirt.wire import messages

REF = ObjectRef(kind="VirtualMachine", namespace="default", name="web", uid="u-1", authority="local")
TOKEN = Token(authority="local", epoch=2**62, generation=7, if_generation=6)
VIEW = ObjectView(ref=REF, document={"spec": {"a": [1, None, "é🦊\n"]}}, token=TOKEN, is_deleting=True)
EVENT = Event(ref=REF, type=EventType.WARNING, reason="R", message="m", count=3, first_seen="a", last_seen="b")


def _operation(verb: Verb, state: OperationState) -> Operation:
    return Operation(
        id="o",
        ref=REF,
        verb=verb,
        state=state,
        message="m",
        reason="r",
        libvirt_code=38,
        started="a",
        finished="b",
        progress_percent=50,
    )


PAIRS: list[tuple[Any, Any, Any]] = [
    (messages.encode_ref, messages.decode_ref, REF),
    (messages.encode_token, messages.decode_token, TOKEN),
    (messages.encode_view, messages.decode_view, VIEW),
    *(
        (
            messages.encode_orphan,
            messages.decode_orphan,
            Orphan(
                kind=kind,
                namespace="red",
                name="red_data.qcow2",
                location="/pool/red_data.qcow2",
                reason="Retained",
                message="m",
                take_back="t",
                removal="r",
                pool="default",
                size_bytes=2**50,
                used_by=("a", "b"),
            ),
        )
        for kind in OrphanKind
    ),
    *(
        (functools.partial(messages.encode_list, "VirtualMachine", "red"), messages.decode_detail, detail)
        for detail in Detail
    ),
    *(
        (
            messages.encode_apply,
            messages.decode_apply,
            ApplyCall(
                document={"kind": "x"},
                token=TOKEN,
                secrets=(SecretContent(name="s", data={"k": b"\0\xff"}),),
                dry_run=dry_run,
                profile="baseline",
            ),
        )
        for dry_run in DryRun
    ),
    *(
        (
            messages.encode_applied,
            messages.decode_applied,
            ApplyResult(
                object=VIEW,
                plan=(PlannedStep(name="define-domain", summary="s", impact=impact),),
                changes=(FieldChange(path="spec.a", old=None, new={"b": [1.5]}, impact=impact, reason="r"),),
                waiting_for=("an image",),
            ),
        )
        for impact in Impact
    ),
    *(
        (
            messages.encode_operate,
            messages.decode_operate,
            OperateCall(ref=REF, verb=verb, operation_id="o", token=TOKEN, force=True, grace_period_s=grace_s),
        )
        for verb in Verb
        for grace_s in (None, 0, 30)
    ),
    *(
        (messages.encode_operation, messages.decode_operation, _operation(verb, state))
        for verb in Verb
        for state in OperationState
    ),
    *((messages.encode_event, messages.decode_event, EVENT) for _ in (1,)),
    (
        messages.encode_description,
        messages.decode_description,
        Description(
            object=VIEW,
            events=(EVENT,),
            operations=(_operation(Verb.STOP, OperationState.FAILED),),
            parts=(DescribedPart(name="a", value={"x": [1]}), DescribedPart(name="b", error="no agent")),
        ),
    ),
    (
        messages.encode_node,
        messages.decode_node,
        NodeDescription(document={"kind": "VirtualHost"}, capabilities=("a", "b")),
    ),
    *(
        (
            messages.encode_watch_event,
            messages.decode_watch_event,
            WatchEvent(
                type=kind,
                boot_id="b",
                sequence=2**63,
                object=VIEW if kind in (WatchType.OBJECT, WatchType.DELETED) else None,
                operation=_operation(Verb.STOP, OperationState.PENDING) if kind is WatchType.OPERATION else None,
                event=EVENT if kind is WatchType.EVENT else None,
            ),
        )
        for kind in WatchType
    ),
]


@pytest.mark.parametrize(("encode", "decode", "value"), PAIRS)
def test_what_is_sent_is_what_arrives(encode: Any, decode: Any, value: Any) -> None:
    message = encode(value)
    assert decode(type(message).FromString(message.SerializeToString())) == value


BROKEN: list[tuple[Any, Any, str]] = [
    (messages.decode_view, pb.Object(document=b"[]"), "document: must be a map"),
    (messages.decode_view, pb.Object(document=b"{"), "document: not JSON"),
    (messages.decode_view, pb.Object(document=b'{"a": 1, "a": 2}'), "given twice"),
    (messages.decode_view, pb.Object(document=b"\xff"), "document: not JSON"),
    (messages.decode_node, pb.NodeInfoResponse(), "document: must be a map"),
    (messages.decode_event, pb.Event(type="Odd"), "event.type: 'Odd' is not known"),
    (messages.decode_operation, pb.Operation(verb=99, state=1), "verb: value 99 is not known"),  # type: ignore[arg-type]
    (messages.decode_operation, pb.Operation(verb=1), "state: value 0 is not known"),  # type: ignore[arg-type]
    (messages.decode_watch_event, pb.WatchEvent(), "type: value 0 is not known"),
    (messages.decode_watch_event, pb.WatchEvent(type=1), "object: is missing"),  # type: ignore[arg-type]
    (messages.decode_watch_event, pb.WatchEvent(type=4), "operation: is missing"),  # type: ignore[arg-type]
    (messages.decode_watch_event, pb.WatchEvent(type=5), "event: is missing"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("decode", "message", "wrong"), BROKEN)
def test_a_message_that_makes_no_sense_is_refused_by_field(decode: Any, message: Any, wrong: str) -> None:
    with pytest.raises(InvalidSpec) as found:
        decode(message)
    assert wrong in found.value.message
