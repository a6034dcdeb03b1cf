"""Our errors and Kubernetes' `Status`: one table, both ways.

  class                     code  reason where the error has none of its own
  XvirtError                500   InternalError
  |-- InvalidSpec           422   Invalid
  |-- Refused               409   Refused
  |-- Conflict              409   Conflict
  |-- NotFound              404   NotFound
  |-- Forbidden             403   Forbidden
  |   `-- PolicyRefused     403   PolicyRefused
  |-- Unsupported           501   Unsupported
  |-- RetryLater            503   ServiceUnavailable
  |   |-- Unavailable       503   ServiceUnavailable
  |   |-- DeadlineExceeded  504   Timeout
  |   |-- Busy              429   TooManyRequests
  |   `-- Exhausted         429   TooManyRequests
  `-- InternalError         500   InternalError

Whoever speaks for Kubernetes reads code and reason; the class stands in the first cause, so that it is exact between our own ends.
No answer says Retry-After: clients of Kubernetes would repeat by themselves for half a minute what the caller wants to know now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xvirt.model import errors
from xvirt.model.errors import InvalidSpec, Problem, XvirtError

CLASS_PREFIX = "xvirt.io/"
"""Before the class in the reason of the first cause."""

CODES: dict[type[XvirtError], tuple[int, str]] = {
    errors.XvirtError: (500, "InternalError"),
    errors.InvalidSpec: (422, "Invalid"),
    errors.Refused: (409, "Refused"),
    errors.Conflict: (409, "Conflict"),
    errors.NotFound: (404, "NotFound"),
    errors.Forbidden: (403, "Forbidden"),
    errors.PolicyRefused: (403, "PolicyRefused"),
    errors.Unsupported: (501, "Unsupported"),
    errors.RetryLater: (503, "ServiceUnavailable"),
    errors.Unavailable: (503, "ServiceUnavailable"),
    errors.DeadlineExceeded: (504, "Timeout"),
    errors.Busy: (429, "TooManyRequests"),
    errors.Exhausted: (429, "TooManyRequests"),
    errors.InternalError: (500, "InternalError"),
}
_BY_NAME = {cls.__name__: cls for cls in CODES}


def make_status(code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A failure, as Kubernetes writes it."""
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    told = {"details": dict(details)} if details else {}
    return {**status, "message": message, "reason": reason, **told, "code": code}


def encode_status(error: XvirtError, subject: Mapping[str, Any]) -> dict[str, Any]:
    """The Status of an error. `subject` holds what is known of the object: `group`, `kind`, `name`."""
    known = next(cls for cls in type(error).__mro__ if cls in CODES)
    code, reason = CODES[known]
    if error.reason != error.default_reason:
        reason = error.reason
    causes = [{"reason": f"{CLASS_PREFIX}{known.__name__}", "message": error.message}]
    if isinstance(error, InvalidSpec):
        causes += [
            {"reason": "FieldValueInvalid", "message": _sentence(item), "field": item.path} for item in error.problems
        ]
    return make_status(code, reason, error.message, {**subject, "causes": causes})


def _sentence(problem: Problem) -> str:
    return f"{problem.message}; {problem.remedy}" if problem.remedy else problem.message


def decode_status(reason: str, details: Mapping[str, Any] | None) -> XvirtError | None:
    """The error that `encode_status` made a Status of; None where it is not one of ours."""
    causes = [item for item in (details or {}).get("causes") or () if isinstance(item, Mapping)]
    name = str(causes[0].get("reason", "")) if causes else ""
    cls = _BY_NAME.get(name.removeprefix(CLASS_PREFIX)) if name.startswith(CLASS_PREFIX) else None
    if cls is None:
        return None
    if issubclass(cls, InvalidSpec):
        return InvalidSpec(read_problems(causes[1:]))
    return cls(str(causes[0].get("message") or ""), reason="" if reason == CODES[cls][1] else reason)


def read_problems(causes: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """What is wrong with a document, from the causes of an answer."""
    return [Problem(str(item.get("field") or ""), str(item.get("message") or "")) for item in causes]
