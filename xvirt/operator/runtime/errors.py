"""What an API server may refuse, as classes that say what to do.

ApiError
|-- NotFound           no such object, or no such kind (yet)
|-- Conflict           the view was old, or a precondition or a field's owner differs: read again, decide again
|-- AlreadyExists      somebody created it first: read again, decide again
|-- Invalid            the request is wrong and stays wrong until the object changes
|-- Forbidden          RBAC, a quota or admission refuses
|-- Unauthorized       the credentials are not accepted (they are read again before the next call)
|-- Gone               the resource version or continue token is too old: list anew
|-- RetryLater         nothing is wrong with the request
|   |-- TooManyRequests    429, or the gate that it closed; `retry_after_s`
|   |-- Unavailable        5xx
|   |-- Unreachable        nothing was sent, or nothing can have been done
|   `-- OutcomeUnknown     sent, and no answer: whether it was done is not known; look before repeating what is not idempotent
`-- LeaseLost          this process may not write any more; nothing was sent
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """Root. `reason` is the Status's (`NotFound`, `Expired`, ...), `code` the HTTP status or 0, `audit_id` the request's in the audit log."""

    def __init__(
        self,
        message: str,
        *,
        code: int = 0,
        reason: str = "",
        audit_id: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason or type(self).__name__
        self.audit_id = audit_id
        self.details: Mapping[str, Any] = details or {}


class NotFound(ApiError):
    """404."""


class Conflict(ApiError):
    """409, but for AlreadyExists."""


class AlreadyExists(ApiError):
    """409 of a create."""


class Invalid(ApiError):
    """422, 400, and every other 4xx that repeating cannot change."""


class Forbidden(ApiError):
    """403."""


class Unauthorized(ApiError):
    """401."""


class Gone(ApiError):
    """410."""


class RetryLater(ApiError):
    """Repeat it, later."""

    def __init__(self, message: str, *, retry_after_s: float = 0.0, **more: Any) -> None:
        super().__init__(message, **more)
        self.retry_after_s = retry_after_s


class TooManyRequests(RetryLater):
    """429, or held back by the gate."""


class Unavailable(RetryLater):
    """500, 502, 503, 504."""


class Unreachable(RetryLater):
    """No connection; nothing was done."""


class OutcomeUnknown(RetryLater):
    """The connection or the time ran out after sending."""


class LeaseLost(ApiError):
    """The lease's deadline has passed."""


_BY_REASON: Mapping[str, type[ApiError]] = {
    "NotFound": NotFound,
    "Conflict": Conflict,
    "AlreadyExists": AlreadyExists,
    "Invalid": Invalid,
    "BadRequest": Invalid,
    "Forbidden": Forbidden,
    "Unauthorized": Unauthorized,
    "Gone": Gone,
    "Expired": Gone,
    "TooManyRequests": TooManyRequests,
    "ServiceUnavailable": Unavailable,
    "InternalError": Unavailable,
    "ServerTimeout": Unavailable,
    "Timeout": Unavailable,
}
_BY_CODE: Mapping[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    429: TooManyRequests,
}


def class_of(code: int, reason: str) -> type[ApiError]:
    """The class of an answer by its code and its Status's reason. A code says more than a reason that is not known."""
    if code in (429, 410):
        return _BY_CODE[code]
    found = _BY_REASON.get(reason) or _BY_CODE.get(code)
    if found is not None:
        return found
    return Unavailable if code >= 500 else Invalid


def error_of(
    code: int, status: Mapping[str, Any], *, doing: str, audit_id: str = "", retry_after_s: float = 0.0
) -> ApiError:
    """The error of an answer. `doing` names verb and object; `status` is the Status document, or empty where there was none."""
    code = int(status.get("code") or code)
    reason = str(status.get("reason") or "")
    text = str(status.get("message") or "no message")
    found = class_of(code, reason)
    message = f"{doing}: {text} ({code} {reason or found.__name__}{f', audit ID {audit_id}' if audit_id else ''})"
    details = status.get("details")
    more: dict[str, Any] = {"code": code, "reason": reason, "audit_id": audit_id}
    more["details"] = details if isinstance(details, dict) else None
    if issubclass(found, RetryLater):
        told_s = float((details or {}).get("retryAfterSeconds") or 0) if isinstance(details, dict) else 0.0
        more["retry_after_s"] = max(retry_after_s, told_s)
    return found(message, **more)
