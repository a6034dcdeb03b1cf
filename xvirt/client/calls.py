"""What is asked of a node and how its answer is read. Pure: both clients send these, neither builds a message of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from xvirt.client.schedule import Method
from xvirt.model.errors import InvalidSpec, Unsupported
from xvirt.model.exchange import (
    AdoptCall,
    ApplyCall,
    ApplyResult,
    Description,
    Detail,
    Event,
    ForeignDomain,
    NodeDescription,
    ObjectRef,
    ObjectView,
    OperateCall,
    Operation,
    Orphan,
    Token,
    WatchEvent,
)
from xvirt.nodeapi.v1 import node_pb2 as pb
from xvirt.nodeapi.v1.image_pb2 import UploadRequest
from xvirt.wire import messages
from xvirt.wire.limits import CONSOLE_CHUNK_BYTES

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Call(Generic[T]):
    """One call: an RPC, its request, and how one message of the answer is read."""

    method: Method
    request: Any
    decode: Callable[[Any], T]

    def read(self, answer: Any, address: str) -> T:
        """Raises Unsupported for an answer that this release does not understand: the request was right, the releases differ."""
        try:
            return self.decode(answer)
        except InvalidSpec as error:
            message = f"node at {address}: its answer to {self.method.value} cannot be read: {error.message}"
            raise Unsupported(message, reason="AnswerNotUnderstood") from error


def apply(call: ApplyCall) -> Call[ApplyResult]:
    return Call(Method.APPLY, messages.encode_apply(call), messages.decode_applied)


def delete(ref: ObjectRef, token: Token | None, *, force: bool) -> Call[ObjectView]:
    request = pb.DeleteRequest(ref=messages.encode_ref(ref), token=messages.encode_token(token or Token()), force=force)
    return Call(Method.DELETE, request, lambda answer: messages.decode_view(answer.object))


def get(ref: ObjectRef) -> Call[ObjectView]:
    return Call(Method.GET, pb.GetRequest(ref=messages.encode_ref(ref)), messages.decode_view)


def list_objects(kind: str, namespace: str, detail: Detail) -> Call[list[ObjectView]]:
    request = messages.encode_list(kind, namespace, detail)
    return Call(Method.LIST, request, lambda answer: [messages.decode_view(item) for item in answer.objects])


def operate(call: OperateCall) -> Call[Operation]:
    return Call(Method.OPERATE, messages.encode_operate(call), messages.decode_operation)


def describe(ref: ObjectRef) -> Call[Description]:
    return Call(Method.DESCRIBE, pb.DescribeRequest(ref=messages.encode_ref(ref)), messages.decode_description)


def node_info() -> Call[NodeDescription]:
    return Call(Method.NODE_INFO, pb.NodeInfoRequest(), messages.decode_node)


def list_events(ref: ObjectRef | None) -> Call[list[Event]]:
    request = pb.ListEventsRequest(ref=messages.encode_ref(ref) if ref else None)
    return Call(Method.LIST_EVENTS, request, lambda answer: [messages.decode_event(item) for item in answer.events])


def adopt(call: AdoptCall) -> Call[ApplyResult]:
    return Call(Method.ADOPT, messages.encode_adopt(call), messages.decode_applied)


def list_foreign() -> Call[list[ForeignDomain]]:
    request = pb.ListForeignRequest()
    return Call(Method.LIST_FOREIGN, request, lambda answer: [messages.decode_foreign(item) for item in answer.domains])


def accept_epoch(authority: str) -> Call[list[ObjectRef]]:
    request = pb.AcceptEpochRequest(authority=messages.encode_token(Token(authority=authority)).authority)
    return Call(Method.ACCEPT_EPOCH, request, lambda answer: [messages.decode_ref(item) for item in answer.refs])


def list_orphans(namespace: str) -> Call[list[Orphan]]:
    scope = messages.encode_ref(ObjectRef(namespace=namespace))
    request = pb.ListOrphansRequest(namespace=scope.namespace)
    return Call(Method.LIST_ORPHANS, request, lambda answer: [messages.decode_orphan(item) for item in answer.orphans])


def watch(kind: str, namespace: str) -> Call[WatchEvent]:
    scope = messages.encode_ref(ObjectRef(kind=kind, namespace=namespace))
    request = pb.WatchRequest(kind=scope.kind, namespace=scope.namespace)
    return Call(Method.WATCH, request, messages.decode_watch_event)


def console_log(ref: ObjectRef, *, follow: bool, tail_bytes: int) -> Call[bytes]:
    request = messages.encode_console_log(ref, follow=follow, tail_bytes=tail_bytes)
    return Call(Method.CONSOLE_LOG, request, _output)


def console(ref: ObjectRef, *, force: bool) -> Call[bytes]:
    """Its request is the first message of the stream; `console_input` makes the others."""
    return Call(Method.CONSOLE, pb.ConsoleRequest(ref=messages.encode_ref(ref), force=force), _output)


def console_input(data: bytes) -> Iterator[pb.ConsoleRequest]:
    """Input in messages of at most CONSOLE_CHUNK_BYTES."""
    for begin in range(0, len(data), CONSOLE_CHUNK_BYTES):
        yield pb.ConsoleRequest(input=data[begin : begin + CONSOLE_CHUNK_BYTES])


def upload(ref: ObjectRef, size_bytes: int) -> Call[int]:
    """Its request is the first message of the stream; each answer is how many bytes the node has."""
    request = UploadRequest(ref=messages.encode_ref(ref), size_bytes=size_bytes)
    return Call(Method.UPLOAD, request, lambda answer: int(answer.received_bytes))


def _output(answer: Any) -> bytes:
    return bytes(answer.output)
