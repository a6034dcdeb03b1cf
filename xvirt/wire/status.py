"""Our errors and gRPC's status: one table, both ways. The whole error travels in the trailing metadata `xvirt-error-bin`."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf.message import DecodeError

from xvirt.model import errors
from xvirt.model.errors import Conflict, InvalidSpec, Problem, XvirtError
from xvirt.nodeapi.v1 import node_pb2 as pb

DETAIL_KEY = "xvirt-error-bin"
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
_PLAIN: dict[grpc.StatusCode, type[XvirtError]] = {
    _Code.UNAVAILABLE: errors.Unavailable,
    _Code.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    _Code.CANCELLED: errors.Unavailable,
    _Code.UNIMPLEMENTED: errors.Unsupported,
    _Code.UNAUTHENTICATED: errors.Forbidden,
    _Code.PERMISSION_DENIED: errors.Forbidden,
    _Code.RESOURCE_EXHAUSTED: errors.Exhausted,
    _Code.NOT_FOUND: errors.NotFound,
    _Code.INVALID_ARGUMENT: errors.Refused,
}
"""Status without a detail of ours: from gRPC itself, or from something between."""


def encode_error(error: XvirtError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """Status code, message and trailing metadata."""
    detail = pb.ErrorDetail(
        error_class=type(error).__name__,
        reason=error.reason,
        message=error.message,
        libvirt_code=error.libvirt_code or 0,
    )
    if isinstance(error, Conflict):
        detail.stored_epoch, detail.stored_generation = error.stored_epoch, error.stored_generation
    if isinstance(error, InvalidSpec):
        for problem in error.problems[:100]:
            detail.problems.add(path=problem.path, message=problem.message, remedy=problem.remedy)
    return CODES[type(error)], error.message[:1024], ((DETAIL_KEY, detail.SerializeToString()),)


def decode_error(
    code: grpc.StatusCode, message: str, metadata: Iterable[tuple[str, str | bytes]], target: str
) -> XvirtError:
    """The error that a call ended with."""
    data = next((value for key, value in metadata if key == DETAIL_KEY), None)
    if isinstance(data, bytes):
        try:
            return _from_detail(pb.ErrorDetail.FromString(data))
        except DecodeError:
            pass
    return _plain(code, message, target)


def _from_detail(detail: pb.ErrorDetail) -> XvirtError:
    cls = getattr(errors, detail.error_class, errors.InternalError)
    code = detail.libvirt_code or None
    if cls is InvalidSpec:
        problems = [Problem(item.path, item.message, item.remedy) for item in detail.problems]
        error = InvalidSpec(problems or [Problem("", detail.message)], reason=detail.reason)
        error.message = detail.message
        error.args = (detail.message,)
        return error
    if cls is Conflict:
        return Conflict(
            detail.message,
            reason=detail.reason,
            libvirt_code=code,
            stored_epoch=detail.stored_epoch,
            stored_generation=detail.stored_generation,
        )
    if not (isinstance(cls, type) and issubclass(cls, XvirtError)):
        cls = errors.InternalError
    return cls(detail.message, reason=detail.reason, libvirt_code=code)


def _plain(code: grpc.StatusCode, message: str, target: str) -> XvirtError:
    cls = _PLAIN.get(code, errors.InternalError)
    if cls is errors.Unavailable:
        return cls(
            f"node at {target} cannot be reached: {message}; is xvirt-node running there?", reason="NodeUnreachable"
        )
    if cls is errors.DeadlineExceeded:
        return cls(f"node at {target} did not answer in time; repeating the call is safe", reason="NodeTimeout")
    return cls(f"node at {target}: {message}")
