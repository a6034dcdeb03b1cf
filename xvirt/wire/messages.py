"""Model values to messages and back. Documents travel as canonical JSON. A message that makes no sense raises InvalidSpec."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xvirt.model.codec import canonical_json, from_json
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.exchange import (
    ApplyCall,
    ApplyResult,
    DescribedPart,
    Description,
    Document,
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
    PlannedStep,
    SecretContent,
    Token,
    Verb,
    WatchEvent,
    WatchType,
)
from xvirt.nodeapi.v1 import node_pb2 as pb

_IMPACTS = {
    Impact.NONE: pb.IMPACT_NONE,
    Impact.LIVE: pb.IMPACT_LIVE,
    Impact.RESTART: pb.IMPACT_RESTART,
    Impact.REFUSED: pb.IMPACT_REFUSED,
}
_VERBS = {verb: pb.Verb.Value(verb.name) for verb in Verb}
_STATES = {state: pb.Operation.State.Value(state.name) for state in OperationState}
_WATCH_TYPES = {kind: pb.WatchEvent.Type.Value(kind.name) for kind in WatchType}
_DRY_RUNS = {DryRun.NONE: pb.DRY_RUN_NONE, DryRun.PLAN: pb.DRY_RUN_PLAN}


def _back(table: Mapping[Any, int], value: int, path: str) -> Any:
    for key, number in table.items():
        if number == value:
            return key
    raise InvalidSpec([Problem(path, f"value {value} is not known to this release")])


def _load(data: bytes, path: str) -> Document:
    try:
        value = json.loads(data)
    except ValueError as error:
        raise InvalidSpec([Problem(path, f"not JSON: {error}")]) from error
    if not isinstance(value, dict):
        raise InvalidSpec([Problem(path, "must be a map")])
    return value


def encode_ref(ref: ObjectRef) -> pb.ObjectRef:
    return pb.ObjectRef(kind=ref.kind, namespace=ref.namespace, name=ref.name, uid=ref.uid, authority=ref.authority)


def decode_ref(message: pb.ObjectRef) -> ObjectRef:
    return ObjectRef(
        kind=message.kind,
        namespace=message.namespace,
        name=message.name,
        uid=message.uid,
        authority=message.authority,
    )


def decode_required_ref(message: pb.ObjectRef) -> ObjectRef:
    """A ref that names an object. Raises InvalidSpec where it does not."""
    ref = decode_ref(message)
    if not ref.uid and not (ref.kind and ref.name):
        raise InvalidSpec([Problem("ref", "must give uid, or kind and name")])
    return ref


def encode_token(token: Token) -> pb.Token:
    return pb.Token(
        authority=token.authority,
        epoch=token.epoch,
        generation=token.generation,
        if_generation=token.if_generation,
    )


def decode_token(message: pb.Token) -> Token:
    """Raises InvalidSpec for negative numbers."""
    if message.epoch < 0 or message.generation < 0:
        raise InvalidSpec([Problem("token", "epoch and generation must not be negative")])
    return Token(
        authority=message.authority,
        epoch=message.epoch,
        generation=message.generation,
        if_generation=message.if_generation,
    )


def encode_view(view: ObjectView) -> pb.Object:
    return pb.Object(
        ref=encode_ref(view.ref),
        document=canonical_json(view.document),
        token=encode_token(view.token),
        deleting=view.is_deleting,
    )


def decode_view(message: pb.Object) -> ObjectView:
    return ObjectView(
        ref=decode_ref(message.ref),
        document=_load(message.document, "document"),
        token=decode_token(message.token),
        is_deleting=message.deleting,
    )


def encode_apply(call: ApplyCall) -> pb.ApplyRequest:
    return pb.ApplyRequest(
        document=canonical_json(call.document),
        token=encode_token(call.token),
        secrets=[pb.SecretData(name=item.name, data=dict(item.data)) for item in call.secrets],
        dry_run=_DRY_RUNS[call.dry_run],
        profile=call.profile,
    )


def decode_apply(message: pb.ApplyRequest) -> ApplyCall:
    return ApplyCall(
        document=from_json(message.document),
        token=decode_token(message.token),
        secrets=tuple(SecretContent(name=item.name, data=dict(item.data)) for item in message.secrets),
        dry_run=_back(_DRY_RUNS, message.dry_run, "dry_run"),
        profile=message.profile,
    )


def encode_applied(result: ApplyResult) -> pb.ApplyResponse:
    return pb.ApplyResponse(
        object=encode_view(result.object),
        plan=[pb.PlannedStep(name=s.name, summary=s.summary, impact=_IMPACTS[s.impact]) for s in result.plan],
        changes=[_encode_change(item) for item in result.changes],
        waiting_for=result.waiting_for,
    )


def _encode_change(change: FieldChange) -> pb.FieldChange:
    return pb.FieldChange(
        path=change.path,
        old_json=json.dumps(change.old, sort_keys=True),
        new_json=json.dumps(change.new, sort_keys=True),
        impact=_IMPACTS[change.impact],
        reason=change.reason,
    )


def decode_applied(message: pb.ApplyResponse) -> ApplyResult:
    return ApplyResult(
        object=decode_view(message.object),
        plan=tuple(
            PlannedStep(name=s.name, summary=s.summary, impact=_back(_IMPACTS, s.impact, "impact"))
            for s in message.plan
        ),
        changes=tuple(
            FieldChange(
                path=item.path,
                old=json.loads(item.old_json or "null"),
                new=json.loads(item.new_json or "null"),
                impact=_back(_IMPACTS, item.impact, "impact"),
                reason=item.reason,
            )
            for item in message.changes
        ),
        waiting_for=tuple(message.waiting_for),
    )


def encode_operate(call: OperateCall) -> pb.OperateRequest:
    return pb.OperateRequest(
        ref=encode_ref(call.ref),
        token=encode_token(call.token),
        verb=_VERBS[call.verb],
        operation_id=call.operation_id,
        force=call.force,
        grace_period_seconds=-1 if call.grace_period_s is None else call.grace_period_s,
    )


def decode_operate(message: pb.OperateRequest) -> OperateCall:
    grace = message.grace_period_seconds
    return OperateCall(
        ref=decode_required_ref(message.ref),
        token=decode_token(message.token),
        verb=_back(_VERBS, message.verb, "verb"),
        operation_id=message.operation_id,
        force=message.force,
        grace_period_s=None if grace < 0 else grace,
    )


def encode_operation(operation: Operation) -> pb.Operation:
    return pb.Operation(
        id=operation.id,
        ref=encode_ref(operation.ref),
        verb=_VERBS[operation.verb],
        state=_STATES[operation.state],
        message=operation.message,
        reason=operation.reason,
        libvirt_code=operation.libvirt_code,
        started=operation.started,
        finished=operation.finished,
        progress_percent=operation.progress_percent,
    )


def decode_operation(message: pb.Operation) -> Operation:
    return Operation(
        id=message.id,
        ref=decode_ref(message.ref),
        verb=_back(_VERBS, message.verb, "verb"),
        state=_back(_STATES, message.state, "state"),
        message=message.message,
        reason=message.reason,
        libvirt_code=message.libvirt_code,
        started=message.started,
        finished=message.finished,
        progress_percent=message.progress_percent,
    )


def encode_event(event: Event) -> pb.Event:
    return pb.Event(
        ref=encode_ref(event.ref),
        type=event.type.value,
        reason=event.reason,
        message=event.message,
        count=event.count,
        first_seen=event.first_seen,
        last_seen=event.last_seen,
    )


def decode_event(message: pb.Event) -> Event:
    return Event(
        ref=decode_ref(message.ref),
        type=EventType(message.type),
        reason=message.reason,
        message=message.message,
        count=message.count,
        first_seen=message.first_seen,
        last_seen=message.last_seen,
    )


def encode_watch_event(event: WatchEvent) -> pb.WatchEvent:
    return pb.WatchEvent(
        type=_WATCH_TYPES[event.type],
        boot_id=event.boot_id,
        sequence=event.sequence,
        object=encode_view(event.object) if event.object else None,
        operation=encode_operation(event.operation) if event.operation else None,
        event=encode_event(event.event) if event.event else None,
    )


def decode_watch_event(message: pb.WatchEvent) -> WatchEvent:
    return WatchEvent(
        type=_back(_WATCH_TYPES, message.type, "type"),
        boot_id=message.boot_id,
        sequence=message.sequence,
        object=decode_view(message.object) if message.HasField("object") else None,
        operation=decode_operation(message.operation) if message.HasField("operation") else None,
        event=decode_event(message.event) if message.HasField("event") else None,
    )


def encode_description(description: Description) -> pb.DescribeResponse:
    return pb.DescribeResponse(
        object=encode_view(description.object),
        events=[encode_event(item) for item in description.events],
        operations=[encode_operation(item) for item in description.operations],
        parts=[
            pb.DescribedPart(name=part.name, json=json.dumps(part.value).encode(), error=part.error)
            for part in description.parts
        ],
    )


def decode_description(message: pb.DescribeResponse) -> Description:
    return Description(
        object=decode_view(message.object),
        events=tuple(decode_event(item) for item in message.events),
        operations=tuple(decode_operation(item) for item in message.operations),
        parts=tuple(
            DescribedPart(name=part.name, value=json.loads(part.json or b"null"), error=part.error)
            for part in message.parts
        ),
    )


def encode_node(node: NodeDescription) -> pb.NodeInfoResponse:
    return pb.NodeInfoResponse(document=canonical_json(node.document), capabilities=node.capabilities)


def decode_node(message: pb.NodeInfoResponse) -> NodeDescription:
    return NodeDescription(document=_load(message.document, "document"), capabilities=tuple(message.capabilities))
