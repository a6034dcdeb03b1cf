"""Our errors and gRPC's status: one table, both ways.

  class                     sent as              a bare status is read as
  XvirtError                UNKNOWN              InternalError
  |-- InvalidSpec           INVALID_ARGUMENT     InvalidSpec
  |-- Refused               FAILED_PRECONDITION  Refused, as OUT_OF_RANGE
  |-- Conflict              ABORTED              Conflict, as ALREADY_EXISTS
  |-- NotFound              NOT_FOUND            NotFound
  |-- Forbidden             PERMISSION_DENIED    Forbidden, as UNAUTHENTICATED
  |   `-- PolicyRefused     PERMISSION_DENIED
  |-- Unsupported           UNIMPLEMENTED        Unsupported
  |-- RetryLater            UNAVAILABLE
  |   |-- Unavailable       UNAVAILABLE          Unavailable, as CANCELLED
  |   |-- DeadlineExceeded  DEADLINE_EXCEEDED    DeadlineExceeded
  |   |-- Busy              RESOURCE_EXHAUSTED
  |   `-- Exhausted         RESOURCE_EXHAUSTED   Exhausted
  `-- InternalError         INTERNAL             InternalError, as DATA_LOSS

The whole error travels in the trailing metadata `xvirt-error-bin`, so the class is exact between our own ends. A status without it comes
from gRPC itself or from something between, and is told with the target's name and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf.message import DecodeError

from xvirt.model import errors
from xvirt.model.errors import Conflict, InvalidSpec, Problem, XvirtError
from xvirt.nodeapi.v1 import node_pb2 as pb
from xvirt.wire.limits import ERROR_DETAIL_MAX_BYTES, ERROR_MESSAGE_MAX_BYTES, ERROR_TEXT_MAX_BYTES

DETAIL_KEY = "xvirt-error-bin"
TOO_MANY_CALLS = "TooManyCalls"
"""Reason of a call that was refused before it began: the same client has its share of calls under way."""
UNREACHABLE = "NodeUnreachable"
TLS_REFUSED = "TlsRefused"
_Code = grpc.StatusCode

CODES: dict[type[XvirtError], grpc.StatusCode] = {
    errors.XvirtError: _Code.UNKNOWN,
    errors.InvalidSpec: _Code.INVALID_ARGUMENT,
    errors.Refused: _Code.FAILED_PRECONDITION,
    errors.Conflict: _Code.ABORTED,
    errors.NotFound: _Code.NOT_FOUND,
    errors.Forbidden: _Code.PERMISSION_DENIED,
    errors.PolicyRefused: _Code.PERMISSION_DENIED,
    errors.Unsupported: _Code.UNIMPLEMENTED,
    errors.RetryLater: _Code.UNAVAILABLE,
    errors.Unavailable: _Code.UNAVAILABLE,
    errors.DeadlineExceeded: _Code.DEADLINE_EXCEEDED,
    errors.Busy: _Code.RESOURCE_EXHAUSTED,
    errors.Exhausted: _Code.RESOURCE_EXHAUSTED,
    errors.InternalError: _Code.INTERNAL,
}
"""What each class is sent as."""

CLASSES: dict[grpc.StatusCode, type[XvirtError]] = {
    _Code.CANCELLED: errors.Unavailable,
    _Code.UNKNOWN: errors.InternalError,
    _Code.INVALID_ARGUMENT: errors.InvalidSpec,
    _Code.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    _Code.NOT_FOUND: errors.NotFound,
    _Code.ALREADY_EXISTS: errors.Conflict,
    _Code.PERMISSION_DENIED: errors.Forbidden,
    _Code.RESOURCE_EXHAUSTED: errors.Exhausted,
    _Code.FAILED_PRECONDITION: errors.Refused,
    _Code.ABORTED: errors.Conflict,
    _Code.OUT_OF_RANGE: errors.Refused,
    _Code.UNIMPLEMENTED: errors.Unsupported,
    _Code.INTERNAL: errors.InternalError,
    _Code.UNAVAILABLE: errors.Unavailable,
    _Code.DATA_LOSS: errors.InternalError,
    _Code.UNAUTHENTICATED: errors.Forbidden,
}
"""What a bare status is read as, and a class that only a newer release knows."""

_BY_NAME = {cls.__name__: cls for cls in CODES}
_TLS_WORDS = ("handshake", "ssl", "tls", "certificate", "peer name")
_REMEDIES: dict[grpc.StatusCode, str] = {
    _Code.UNAVAILABLE: "is xvirt-node running there? (`systemctl status xvirt-node`)",
    _Code.CANCELLED: "the call was ended from the other side; repeat it",
    _Code.DEADLINE_EXCEEDED: "whether it took effect is unknown; repeating the call is safe",
    _Code.UNIMPLEMENTED: "its release does not know this call; update xvirt-node",
    _Code.UNAUTHENTICATED: "use a certificate that its CA has signed",
    _Code.PERMISSION_DENIED: "ask the node's administrator",
    _Code.RESOURCE_EXHAUSTED: "ask for less at once (one kind, one namespace), or repeat it later",
}
_TLS_REMEDY = "look at the CA, at the dates and the names of both certificates, and whether --node-name is the node that listens there"


def encode_error(error: XvirtError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """Status code, message and trailing metadata; together they stay below what gRPC takes as headers."""
    known = next(cls for cls in type(error).__mro__ if cls in CODES)
    detail = pb.ErrorDetail(
        error_class=known.__name__,
        reason=_clip(error.reason, ERROR_TEXT_MAX_BYTES),
        message=_clip(error.message, ERROR_TEXT_MAX_BYTES),
        libvirt_code=error.libvirt_code or 0,
    )
    if isinstance(error, Conflict):
        detail.stored_epoch, detail.stored_generation = error.stored_epoch, error.stored_generation
    if isinstance(error, InvalidSpec):
        _add_problems(detail, error)
    message = _clip(error.message, ERROR_MESSAGE_MAX_BYTES)
    return CODES[known], message, ((DETAIL_KEY, detail.SerializeToString()),)


def _add_problems(detail: pb.ErrorDetail, error: InvalidSpec) -> None:
    """The problems that fit; `message` is then only what stands before them, since they are its rest."""
    told = "; ".join(str(problem) for problem in error.problems)
    detail.message = _clip(error.message.removesuffix(told).removesuffix(": "), ERROR_TEXT_MAX_BYTES // 2)
    for number, problem in enumerate(error.problems):
        detail.problems.add(
            path=_clip(problem.path, ERROR_TEXT_MAX_BYTES // 4),
            message=_clip(problem.message, ERROR_TEXT_MAX_BYTES // 2),
            remedy=_clip(problem.remedy, ERROR_TEXT_MAX_BYTES // 4),
        )
        if detail.ByteSize() > ERROR_DETAIL_MAX_BYTES:
            del detail.problems[number:]
            left = len(error.problems) - number
            detail.problems.add(message=f"{left} more problems are not shown", remedy="mend these first")
            return


def _clip(text: str, limit_bytes: int) -> str:
    """A text that protobuf takes (no lone surrogates, as in undecodable file names), cut where it is too long."""
    data = text.encode(errors="backslashreplace")
    if len(data) <= limit_bytes:
        return data.decode()
    return data[: limit_bytes - 3].decode(errors="ignore") + "…"


def decode_error(
    code: grpc.StatusCode, message: str, metadata: Iterable[tuple[str, str | bytes]], target: str
) -> XvirtError:
    """The error that a call ended with."""
    data = next((value for key, value in metadata if key == DETAIL_KEY), None)
    if isinstance(data, bytes):
        try:
            return _from_detail(pb.ErrorDetail.FromString(data), code)
        except DecodeError:
            return _plain(code, message, target)
    return _plain(code, message, target)


def _from_detail(detail: pb.ErrorDetail, code: grpc.StatusCode) -> XvirtError:
    cls = _BY_NAME.get(detail.error_class) or CLASSES.get(code, errors.InternalError)
    libvirt_code = detail.libvirt_code or None
    if issubclass(cls, InvalidSpec):
        return _invalid(detail)
    if issubclass(cls, Conflict):
        return cls(
            detail.message,
            reason=detail.reason,
            libvirt_code=libvirt_code,
            stored_epoch=detail.stored_epoch,
            stored_generation=detail.stored_generation,
        )
    return cls(detail.message, reason=detail.reason, libvirt_code=libvirt_code)


def _invalid(detail: pb.ErrorDetail) -> InvalidSpec:
    problems = [Problem(item.path, item.message, item.remedy) for item in detail.problems]
    if not problems:
        return InvalidSpec([Problem("", detail.message)], reason=detail.reason)
    return InvalidSpec(problems, detail.message, reason=detail.reason)


def _is_of_tls(message: str, target: str) -> bool:
    """Whether a connection was refused for its certificates. The words may also stand in the address that the message names."""
    scheme, _, address = target.partition("://")
    if scheme == "unix":
        return False
    told = message.replace(address, "").replace(f" {address.rpartition(':')[0]}", "").lower()
    return any(word in told for word in _TLS_WORDS)


def _plain(code: grpc.StatusCode, message: str, target: str) -> XvirtError:
    cls = CLASSES.get(code, errors.InternalError)
    remedy, reason = _REMEDIES.get(code, ""), ""
    if code is _Code.UNAVAILABLE:
        is_tls = _is_of_tls(message, target)
        reason = TLS_REFUSED if is_tls else UNREACHABLE
        remedy = _TLS_REMEDY if is_tls else remedy
    what = f"node at {target} cannot be reached" if code is _Code.UNAVAILABLE else f"node at {target}"
    text = f"{what}: {message or code.name}"
    if issubclass(cls, InvalidSpec):
        return InvalidSpec([Problem("", text, remedy)])
    return cls(f"{text}; {remedy}" if remedy else text, reason=reason)
