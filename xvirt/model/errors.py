"""The tree of errors. The class says what to do; `reason` is stable CamelCase for machines; the message is for people.

XvirtError
|-- InvalidSpec          fix the document (carries every problem with its path)
|-- Refused              the request contradicts the object's state; change one or the other
|-- Conflict             somebody else was first (stale token, owned by another authority, name taken)
|-- NotFound             no such object
|-- Forbidden            this caller may not; an administrator may grant it
|   `-- PolicyRefused    the policy profile denies something in the final XML
|-- Unsupported          this node, libvirt or release cannot; nothing was tried
|-- RetryLater           nothing is wrong with the request; repeat it
|   |-- Unavailable      the node or its libvirt cannot be reached
|   |-- DeadlineExceeded no answer in time; whether it took effect is unknown, repeating is safe
|   |-- Busy             another operation holds the object
|   `-- Exhausted        a named limit or a resource (disk space, memory) is used up
`-- InternalError        a bug in xVirt
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with a document: JSON path (`spec.disks[1].size`), what is wrong, what to do."""

    path: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        return f"{text}; {self.remedy}" if self.remedy else text


class XvirtError(Exception):
    """Root of all errors that cross a boundary. `libvirt_code` is libvirt's virErrorNumber where one caused it."""

    default_reason = "InternalError"

    def __init__(self, message: str, *, reason: str = "", libvirt_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.libvirt_code = libvirt_code


class InvalidSpec(XvirtError):
    """The document is wrong; `problems` holds at least one entry."""

    default_reason = "InvalidSpec"

    def __init__(self, problems: Sequence[Problem], subject: str = "", *, reason: str = "") -> None:
        self.problems = tuple(problems)
        head = f"{subject}: " if subject else ""
        super().__init__(head + "; ".join(str(problem) for problem in self.problems), reason=reason)


class Refused(XvirtError):
    """The request contradicts the state of the object."""

    default_reason = "Refused"


class Conflict(XvirtError):
    """Somebody else was first. `stored_epoch` and `stored_generation` tell what the node holds, where a token was stale."""

    default_reason = "Conflict"

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        libvirt_code: int | None = None,
        stored_epoch: int = 0,
        stored_generation: int = 0,
    ) -> None:
        super().__init__(message, reason=reason, libvirt_code=libvirt_code)
        self.stored_epoch = stored_epoch
        self.stored_generation = stored_generation


class NotFound(XvirtError):
    """No such object."""

    default_reason = "NotFound"


class Forbidden(XvirtError):
    """The caller lacks a right."""

    default_reason = "Forbidden"


class PolicyRefused(Forbidden):
    """The policy profile denies a path of the final XML."""

    default_reason = "PolicyRefused"


class Unsupported(XvirtError):
    """The node, its libvirt or this release cannot do it."""

    default_reason = "Unsupported"


class RetryLater(XvirtError):
    """Repeat the request."""

    default_reason = "RetryLater"


class Unavailable(RetryLater):
    """The node or its libvirt cannot be reached."""

    default_reason = "Unavailable"


class DeadlineExceeded(RetryLater):
    """No answer in time; repeating is safe."""

    default_reason = "DeadlineExceeded"


class Busy(RetryLater):
    """Another operation holds the object."""

    default_reason = "Busy"


class Exhausted(RetryLater):
    """A limit or a resource is used up."""

    default_reason = "Exhausted"


class InternalError(XvirtError):
    """A bug in xVirt."""

    default_reason = "InternalError"
