"""What a machine can be asked for beside its object, as documents of `subresources.xvirt.io`: acts upon it, and its host's description.

    PUT .../namespaces/N/virtualmachines/X/start        OperateOptions -> Operation
    GET .../namespaces/N/virtualmachines/X/description                 -> VirtualMachineDescription

Gateway and command line read and write them here alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.exchange import (
    DescribedPart,
    Description,
    Event,
    EventType,
    ObjectRef,
    ObjectView,
    OperateCall,
    Operation,
    OperationState,
    Token,
    Verb,
)
from xvirt.model.fields import Mutability, field
from xvirt.model.validation import validate_value
from xvirt.model.values import decode
from xvirt.wire.limits import OPERATION_ID_MAX_LENGTH

GROUP, VERSION = "subresources.xvirt.io", "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
PLURAL = "virtualmachines"
MACHINE = "VirtualMachine"
DESCRIPTION = "description"
OPTIONS_KIND = "OperateOptions"
OPERATION_KIND = "Operation"
DESCRIPTION_KIND = "VirtualMachineDescription"
GRACE_MAX_S = 86_400


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperateOptions:
    """How an act is done."""

    operation_id: str | None = field(
        "Your own name for the act: asked again by it, nothing is done twice. Absent: one is made.",
        Mutability.LIVE,
        default=None,
        max_length=OPERATION_ID_MAX_LENGTH,
    )
    force: bool = field("Power off at once: `stop` and `restart`.", Mutability.LIVE, default=False)
    grace_period_seconds: int | None = field(
        "How long the guest has to shut down, then it is powered off: `stop` and `restart`. Absent: as its spec says.",
        Mutability.LIVE,
        default=None,
        unit="s",
        minimum=0,
        maximum=GRACE_MAX_S,
    )


_ENDING = (Verb.STOP, Verb.RESTART)


def encode_options(call: OperateCall) -> dict[str, Any]:
    """The document to send for an act."""
    metadata = {"name": call.ref.name, "namespace": call.ref.namespace}
    document: dict[str, Any] = {"apiVersion": API_VERSION, "kind": OPTIONS_KIND, "metadata": metadata}
    document["operationId"] = call.operation_id
    if call.force:
        document["force"] = True
    if call.grace_period_s is not None:
        document["gracePeriodSeconds"] = call.grace_period_s
    return document


def decode_options(document: Mapping[str, Any], verb: Verb, namespace: str, name: str) -> OperateOptions:
    """Options of an act upon a machine. Raises InvalidSpec with everything that is wrong."""
    rest = dict(document)
    problems = [
        Problem(key, f"must be {wanted}", f"write {key}: {wanted}, or leave it out")
        for key, wanted in (("apiVersion", API_VERSION), ("kind", OPTIONS_KIND))
        if rest.pop(key, wanted) != wanted
    ]
    problems += _check_metadata(rest.pop("metadata", None), {"namespace": namespace, "name": name})
    problems += validate_value(OperateOptions, rest)
    if verb not in _ENDING:
        problems += [
            Problem(key, f"means nothing to {verb.value}", "leave it out")
            for key in ("force", "gracePeriodSeconds")
            if rest.get(key) not in (None, False)
        ]
    if rest.get("operationId") == "":
        problems.append(Problem("operationId", "must have 1 to 128 characters", "use a UUID, or leave it out"))
    if problems:
        raise InvalidSpec(problems, OPTIONS_KIND)
    return decode(OperateOptions, rest)


def _check_metadata(metadata: Any, wanted: Mapping[str, str]) -> list[Problem]:
    if metadata is None:
        return []
    if not isinstance(metadata, Mapping):
        return [Problem("metadata", "must be a map with name and namespace")]
    return [
        Problem(f"metadata.{key}", f"is not that of the path, {value}", "leave it out, or write the path's")
        for key, value in wanted.items()
        if metadata.get(key, value) != value
    ]


def encode_operation(operation: Operation) -> dict[str, Any]:
    """An act and how it went."""
    ref = operation.ref
    status = {
        "state": operation.state.value,
        "reason": operation.reason,
        "message": operation.message,
        "libvirtCode": operation.libvirt_code,
        "startTime": operation.started,
        "completionTime": operation.finished,
        "progressPercent": operation.progress_percent,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": OPERATION_KIND,
        "metadata": {"name": operation.id, "namespace": ref.namespace},
        "spec": {"verb": operation.verb.value, "virtualMachine": ref.name, "uid": ref.uid},
        "status": {key: value for key, value in status.items() if value not in ("", 0)},
    }


def decode_operation(document: Mapping[str, Any]) -> Operation:
    """The inverse. Raises KeyError and ValueError for what is none."""
    spec, status, metadata = document["spec"], document["status"], document["metadata"]
    return Operation(
        id=metadata["name"],
        ref=ObjectRef(kind=MACHINE, namespace=metadata["namespace"], name=spec["virtualMachine"], uid=spec["uid"]),
        verb=Verb(spec["verb"]),
        state=OperationState(status["state"]),
        message=status.get("message", ""),
        reason=status.get("reason", ""),
        libvirt_code=status.get("libvirtCode", 0),
        started=status.get("startTime", ""),
        finished=status.get("completionTime", ""),
        progress_percent=status.get("progressPercent", 0),
    )


def encode_description(description: Description, host: str) -> dict[str, Any]:
    """What a machine's host knows of it beyond the object."""
    ref = description.object.ref
    return {
        "apiVersion": API_VERSION,
        "kind": DESCRIPTION_KIND,
        "metadata": {"name": ref.name, "namespace": ref.namespace, "uid": ref.uid},
        "host": host,
        "object": dict(description.object.document),
        "parts": [
            {"name": part.name, **({"error": part.error} if part.error else {"value": part.value})}
            for part in description.parts
        ],
        "operations": [encode_operation(item) for item in description.operations],
        "events": [_encode_event(item) for item in description.events],
    }


def decode_description(document: Mapping[str, Any]) -> Description:
    """The inverse. Raises KeyError and ValueError for what is none."""
    metadata = document["metadata"]
    ref = ObjectRef(kind=MACHINE, namespace=metadata["namespace"], name=metadata["name"], uid=metadata["uid"])
    return Description(
        object=ObjectView(ref=ref, document=document["object"], token=Token()),
        events=tuple(_decode_event(item, ref) for item in document["events"]),
        operations=tuple(decode_operation(item) for item in document["operations"]),
        parts=tuple(
            DescribedPart(name=part["name"], value=part.get("value"), error=part.get("error", ""))
            for part in document["parts"]
        ),
    )


def _encode_event(event: Event) -> dict[str, Any]:
    return {
        "type": event.type.value,
        "reason": event.reason,
        "message": event.message,
        "count": event.count,
        "firstSeen": event.first_seen,
        "lastSeen": event.last_seen,
    }


def _decode_event(item: Mapping[str, Any], ref: ObjectRef) -> Event:
    return Event(
        ref=ref,
        type=EventType(item["type"]),
        reason=item["reason"],
        message=item["message"],
        count=item["count"],
        first_seen=item["firstSeen"],
        last_seen=item["lastSeen"],
    )
