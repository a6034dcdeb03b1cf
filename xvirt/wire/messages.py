"""Model values to messages and back. Documents travel as canonical JSON. What makes no sense, as a value or as a message, raises
InvalidSpec with the field's path."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

from xvirt.model.codec import canonical_json, from_json
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.exchange import (
    AdoptCall,
    ApplyCall,
    ApplyResult,
    DescribedPart,
    Description,
    Detail,
    Document,
    DryRun,
    Event,
    EventType,
    FieldChange,
    ForeignDomain,
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
from xvirt.model.jsontext import read_json
from xvirt.nodeapi.v1 import node_pb2 as pb
from xvirt.wire.limits import NAME_MAX_LENGTH, OPERATION_ID_MAX_LENGTH

P = ParamSpec("P")
E = TypeVar("E")
T = TypeVar("T")

_IMPACTS = {
    Impact.NONE: pb.IMPACT_NONE,
    Impact.LIVE: pb.IMPACT_LIVE,
    Impact.RESTART: pb.IMPACT_RESTART,
    Impact.REFUSED: pb.IMPACT_REFUSED,
}
_VERBS = {verb: pb.Verb.Value(verb.name) for verb in Verb}
_STATES = {state: pb.Operation.State.Value(state.name) for state in OperationState}
_WATCH_TYPES = {kind: pb.WatchEvent.Type.Value(kind.name) for kind in WatchType}
_ORPHAN_KINDS = {kind: pb.Orphan.Kind.Value(kind.name) for kind in OrphanKind}
_DETAILS = {Detail.WHOLE: pb.DETAIL_WHOLE, Detail.STATE: pb.DETAIL_STATE}
_DRY_RUNS = {DryRun.NONE: pb.DRY_RUN_NONE, DryRun.PLAN: pb.DRY_RUN_PLAN}


def _back(table: Mapping[E, int], value: int, path: str) -> E:
    for key, number in table.items():
        if number == value:
            return key
    raise InvalidSpec([Problem(path, f"value {value} is not known to this release", "update the older of both ends")])


def _json(data: bytes | str, path: str) -> Any:
    """A JSON value of an answer; nothing at all is null. What a request carries passes `from_json` and its limits instead."""
    try:
        return read_json(data) if data else None
    except ValueError as error:
        raise InvalidSpec([Problem(path, f"not JSON: {error}")]) from error


def _document(data: bytes, path: str) -> Document:
    value = _json(data, path)
    if not isinstance(value, dict):
        raise InvalidSpec([Problem(path, "must be a map")])
    return value


def sendable(encode: Callable[P, T]) -> Callable[P, T]:
    """Turns what protobuf and JSON cannot carry (numbers beyond their field, half characters, NaN, sets) into InvalidSpec."""

    @functools.wraps(encode)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return encode(*args, **kwargs)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidSpec([Problem("", f"cannot be sent: {error}")], "request") from error

    return wrapper


@sendable
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
    for field in ("kind", "namespace", "name", "uid", "authority"):
        if len(getattr(ref, field)) > NAME_MAX_LENGTH:
            raise InvalidSpec([Problem(f"ref.{field}", f"is longer than {NAME_MAX_LENGTH} characters")])
    return ref


@sendable
def encode_token(token: Token) -> pb.Token:
    return pb.Token(
        authority=token.authority,
        epoch=token.epoch,
        generation=token.generation,
        if_generation=token.if_generation,
    )


def decode_token(message: pb.Token) -> Token:
    """Raises InvalidSpec for negative numbers; `if_generation` may be -1."""
    for field, least in (("epoch", 0), ("generation", 0), ("if_generation", -1)):
        if getattr(message, field) < least:
            raise InvalidSpec([Problem(f"token.{field}", f"must not be below {least}")])
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
        document=_document(message.document, "document"),
        token=decode_token(message.token),
        is_deleting=message.deleting,
    )


@sendable
def encode_list(kind: str, namespace: str, detail: Detail) -> pb.ListRequest:
    return pb.ListRequest(kind=kind, namespace=namespace, detail=_DETAILS[detail])


def decode_detail(message: pb.ListRequest) -> Detail:
    """Raises InvalidSpec for a detail of a newer release."""
    return _back(_DETAILS, message.detail, "detail")


def _encode_secrets(secrets: Iterable[SecretContent]) -> list[pb.SecretData]:
    return [pb.SecretData(name=item.name, data=dict(item.data)) for item in secrets]


def _decode_secrets(messages: Iterable[pb.SecretData]) -> tuple[SecretContent, ...]:
    return tuple(SecretContent(name=item.name, data=dict(item.data)) for item in messages)


@sendable
def encode_apply(call: ApplyCall) -> pb.ApplyRequest:
    return pb.ApplyRequest(
        document=canonical_json(call.document),
        token=encode_token(call.token),
        secrets=_encode_secrets(call.secrets),
        dry_run=_DRY_RUNS[call.dry_run],
        profile=call.profile,
        seen_volumes=call.seen_volumes,
    )


def decode_apply(message: pb.ApplyRequest) -> ApplyCall:
    return ApplyCall(
        document=from_json(message.document),
        token=decode_token(message.token),
        secrets=_decode_secrets(message.secrets),
        dry_run=_back(_DRY_RUNS, message.dry_run, "dry_run"),
        profile=message.profile,
        seen_volumes=tuple(message.seen_volumes),
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
        old_json=canonical_json(change.old).decode(),
        new_json=canonical_json(change.new).decode(),
        impact=_IMPACTS[change.impact],
        reason=change.reason,
    )


def decode_applied(message: pb.ApplyResponse) -> ApplyResult:
    return ApplyResult(
        object=decode_view(message.object),
        plan=tuple(
            PlannedStep(name=s.name, summary=s.summary, impact=_back(_IMPACTS, s.impact, "plan.impact"))
            for s in message.plan
        ),
        changes=tuple(
            FieldChange(
                path=item.path,
                old=_json(item.old_json, "changes.old_json"),
                new=_json(item.new_json, "changes.new_json"),
                impact=_back(_IMPACTS, item.impact, "changes.impact"),
                reason=item.reason,
            )
            for item in message.changes
        ),
        waiting_for=tuple(message.waiting_for),
    )


@sendable
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
    """Raises InvalidSpec for an unknown verb and an operation id that is missing or too long."""
    grace = message.grace_period_seconds
    if not 0 < len(message.operation_id) <= OPERATION_ID_MAX_LENGTH:
        wrong = f"must have 1 to {OPERATION_ID_MAX_LENGTH} characters"
        raise InvalidSpec([Problem("operation_id", wrong, "use a new UUID for each act")])
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


def _event_type(text: str) -> EventType:
    try:
        return EventType(text)
    except ValueError:
        raise InvalidSpec([Problem("event.type", f"{text!r} is not known to this release")]) from None


def decode_event(message: pb.Event) -> Event:
    return Event(
        ref=decode_ref(message.ref),
        type=_event_type(message.type),
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
    """Raises InvalidSpec where the type is unknown, or what it promises is not there."""
    kind = _back(_WATCH_TYPES, message.type, "type")
    is_complete = {
        WatchType.OBJECT: message.HasField("object"),
        WatchType.DELETED: message.HasField("object"),
        WatchType.OPERATION: message.HasField("operation"),
        WatchType.EVENT: message.HasField("event"),
    }
    if not is_complete.get(kind, True):
        raise InvalidSpec([Problem(kind.value, f"is missing in a message of type {kind.value}")])
    return WatchEvent(
        type=kind,
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
            pb.DescribedPart(name=part.name, json=canonical_json(part.value), error=part.error)
            for part in description.parts
        ],
    )


def decode_description(message: pb.DescribeResponse) -> Description:
    return Description(
        object=decode_view(message.object),
        events=tuple(decode_event(item) for item in message.events),
        operations=tuple(decode_operation(item) for item in message.operations),
        parts=tuple(
            DescribedPart(name=part.name, value=_json(part.json, f"parts.{part.name}"), error=part.error)
            for part in message.parts
        ),
    )


def encode_node(node: NodeDescription) -> pb.NodeInfoResponse:
    return pb.NodeInfoResponse(document=canonical_json(node.document), capabilities=node.capabilities)


def decode_node(message: pb.NodeInfoResponse) -> NodeDescription:
    return NodeDescription(document=_document(message.document, "document"), capabilities=tuple(message.capabilities))


@sendable
def encode_adopt(call: AdoptCall) -> pb.AdoptRequest:
    return pb.AdoptRequest(
        domain_uuid=call.domain_uuid,
        document=canonical_json(call.document) if call.document is not None else b"",
        namespace=call.namespace,
        name=call.name,
        token=encode_token(call.token),
        dry_run=_DRY_RUNS[call.dry_run],
        profile=call.profile,
        secrets=_encode_secrets(call.secrets),
    )


def decode_adopt(message: pb.AdoptRequest) -> AdoptCall:
    return AdoptCall(
        domain_uuid=message.domain_uuid,
        document=_document(message.document, "document") if message.document else None,
        namespace=message.namespace,
        name=message.name,
        token=decode_token(message.token),
        dry_run=_back(_DRY_RUNS, message.dry_run, "dry_run"),
        profile=message.profile,
        secrets=_decode_secrets(message.secrets),
    )


def encode_foreign(domain: ForeignDomain) -> pb.ForeignDomain:
    return pb.ForeignDomain(
        uuid=domain.uuid,
        name=domain.name,
        power_state=domain.power_state,
        object_name=domain.object_name,
        obstacle=domain.obstacle,
    )


def decode_foreign(message: pb.ForeignDomain) -> ForeignDomain:
    return ForeignDomain(
        uuid=message.uuid,
        name=message.name,
        power_state=message.power_state,
        object_name=message.object_name,
        obstacle=message.obstacle,
    )


def encode_orphan(orphan: Orphan) -> pb.Orphan:
    return pb.Orphan(
        kind=_ORPHAN_KINDS[orphan.kind],
        namespace=orphan.namespace,
        name=orphan.name,
        location=orphan.location,
        pool=orphan.pool,
        size_bytes=orphan.size_bytes,
        reason=orphan.reason,
        message=orphan.message,
        take_back=orphan.take_back,
        removal=orphan.removal,
        used_by=orphan.used_by,
    )


def decode_orphan(message: pb.Orphan) -> Orphan:
    return Orphan(
        kind=_back(_ORPHAN_KINDS, message.kind, "orphans.kind"),
        namespace=message.namespace,
        name=message.name,
        location=message.location,
        pool=message.pool,
        size_bytes=message.size_bytes,
        reason=message.reason,
        message=message.message,
        take_back=message.take_back,
        removal=message.removal,
        used_by=tuple(message.used_by),
    )


@sendable
def encode_console_log(ref: ObjectRef, *, follow: bool, tail_bytes: int) -> pb.ConsoleLogRequest:
    return pb.ConsoleLogRequest(ref=encode_ref(ref), follow=follow, tail_bytes=tail_bytes)
