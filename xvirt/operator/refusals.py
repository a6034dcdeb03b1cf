"""What an API server refuses, as xVirt's errors: one table.

  NotFound                  NotFound
  Conflict, AlreadyExists   Conflict
  Invalid                   InvalidSpec, a problem for each cause
  Forbidden, Unauthorized   Forbidden
  Gone                      Unavailable
  RetryLater                RetryLater
  TooManyRequests           Exhausted
  Unavailable, Unreachable  Unavailable
  OutcomeUnknown            DeadlineExceeded
  LeaseLost                 Refused
  ApiError                  InternalError

What the gateway (`subresources.xvirt.io`) answers comes out as the error that it was there.
"""

from __future__ import annotations

from xvirt.model import errors
from xvirt.model.errors import InvalidSpec, Problem, XvirtError
from xvirt.operator.runtime import errors as api
from xvirt.operator.runtime.errors import ApiError
from xvirt.wire.statuses import decode_status, read_problems

CLASSES: dict[type[ApiError], type[XvirtError]] = {
    api.ApiError: errors.InternalError,
    api.NotFound: errors.NotFound,
    api.Conflict: errors.Conflict,
    api.AlreadyExists: errors.Conflict,
    api.Invalid: errors.InvalidSpec,
    api.Forbidden: errors.Forbidden,
    api.Unauthorized: errors.Forbidden,
    api.Gone: errors.Unavailable,
    api.RetryLater: errors.RetryLater,
    api.TooManyRequests: errors.Exhausted,
    api.Unavailable: errors.Unavailable,
    api.Unreachable: errors.Unavailable,
    api.OutcomeUnknown: errors.DeadlineExceeded,
    api.LeaseLost: errors.Refused,
}


def translate(error: ApiError, subject: str = "") -> XvirtError:
    """Ours, from an API server's. `subject` is what a document that is refused is called."""
    own = decode_status(error.reason, error.details)
    if own is not None:
        return own
    found = CLASSES[type(error)]
    if issubclass(found, InvalidSpec):
        causes = [item for item in (error.details or {}).get("causes") or () if isinstance(item, dict)]
        return InvalidSpec(read_problems(causes) or [Problem("", error.message)], subject)
    return found(error.message, reason=error.reason)
