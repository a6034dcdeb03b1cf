"""libvirt's errors to ours: one table by code, then what errno or words make more precise."""

from __future__ import annotations

import errno

import libvirt

from xvirt.model.errors import (
    Busy,
    Conflict,
    DeadlineExceeded,
    Exhausted,
    Forbidden,
    InternalError,
    InvalidSpec,
    NotFound,
    Problem,
    Refused,
    Unavailable,
    Unsupported,
    XvirtError,
)

_NAMES: dict[type[XvirtError], str] = {
    NotFound: (
        "NO_DOMAIN NO_NETWORK NO_STORAGE_POOL NO_STORAGE_VOL NO_DOMAIN_METADATA NO_DOMAIN_SNAPSHOT NO_DOMAIN_CHECKPOINT"
        " NO_DOMAIN_BACKUP NO_INTERFACE NO_NODE_DEVICE NO_NWFILTER NO_NWFILTER_BINDING NO_NETWORK_PORT NO_SECRET"
        " DEVICE_MISSING"
    ),
    Conflict: "DOM_EXIST NETWORK_EXIST NETWORK_PORT_EXIST STORAGE_VOL_EXIST MULTIPLE_DOMAINS MULTIPLE_INTERFACES",
    Refused: (
        "OPERATION_INVALID OPERATION_FAILED OPERATION_ABORTED INVALID_ARG DEVICE_UNPLUG_FAILED SYSTEM_ERROR"
        " INTERNAL_ERROR STORAGE_PROBE_FAILED STORAGE_POOL_BUILT SNAPSHOT_REVERT_RISKY BLOCK_COPY_ACTIVE MIGRATE_UNSAFE"
        " MIGRATE_FINISH_OK MIGRATE_PERSIST_FAILED CHECKPOINT_INCONSISTENT HOOK_SCRIPT_FAILED BUILD_FIREWALL OVERFLOW"
        " CPU_INCOMPATIBLE OPEN_FAILED READ_FAILED WRITE_FAILED DRIVER_FULL NO_NAME NO_OS NO_DEVICE NO_KERNEL NO_ROOT"
        " NO_SOURCE NO_TARGET NO_HOSTNAME"
    ),
    InvalidSpec: "XML_ERROR XML_DETAIL XML_INVALID_SCHEMA PARSE_FAILED CONF_SYNTAX INVALID_MAC SEXPR_SERIAL",
    Unsupported: (
        "NO_SUPPORT OPERATION_UNSUPPORTED ARGUMENT_UNSUPPORTED CONFIG_UNSUPPORTED OS_TYPE NO_XEN NO_XENSTORE XEN_CALL"
        " NO_SECURITY_MODEL"
    ),
    Forbidden: "OPERATION_DENIED ACCESS_DENIED AUTH_FAILED AUTH_CANCELLED",
    Exhausted: "NO_MEMORY",
    DeadlineExceeded: "OPERATION_TIMEOUT",
    Busy: "RESOURCE_BUSY",
    Unavailable: (
        "NO_CONNECT INVALID_CONN RPC NO_CLIENT NO_SERVER UNKNOWN_HOST AGENT_UNRESPONSIVE AGENT_UNSYNCED AGENT_COMMAND_TIMEOUT"
        " AUTH_UNAVAILABLE GNUTLS_ERROR HTTP_ERROR POST_FAILED GET_FAILED CALL_FAILED SSH LIBSSH DBUS_SERVICE"
    ),
    InternalError: (
        "OK INVALID_DOMAIN INVALID_NETWORK INVALID_STORAGE_POOL INVALID_STORAGE_VOL INVALID_STREAM INVALID_SECRET"
        " INVALID_INTERFACE INVALID_NODE_DEVICE INVALID_NWFILTER INVALID_NWFILTER_BINDING INVALID_NETWORK_PORT"
        " INVALID_DOMAIN_SNAPSHOT INVALID_DOMAIN_CHECKPOINT"
    ),
}

CODES: dict[int, type[XvirtError]] = {
    getattr(libvirt, f"VIR_ERR_{name}"): cls
    for cls, names in _NAMES.items()
    for name in names.split()
    if hasattr(libvirt, f"VIR_ERR_{name}")
}
"""By virErrorNumber. INTERNAL_ERROR is what libvirt says of nearly everything that QEMU refuses: a refusal, not a bug of ours.
A code that a newer libvirt adds is a refusal in libvirt's own words."""

_ERRNOS: dict[int, type[XvirtError]] = {
    errno.ENOSPC: Exhausted,
    errno.EDQUOT: Exhausted,
    errno.ENOMEM: Exhausted,
    errno.EMFILE: Exhausted,
    errno.ENFILE: Exhausted,
    errno.EBUSY: Busy,
}
"""SYSTEM_ERROR carries the errno in `int1` (libvirt src/util/virerror.c, virReportSystemErrorFull)."""

_PHRASES: tuple[tuple[str, type[XvirtError], str], ...] = (
    ("No space left on device", Exhausted, "NoSpace"),
    ("Disk quota exceeded", Exhausted, "NoSpace"),
    ("Cannot allocate memory", Exhausted, "NoMemory"),
    ("cannot acquire state change lock", Busy, "OperationInProgress"),
    ("Too many queued jobs", Busy, "OperationInProgress"),
    ('Failed to get "write" lock', Busy, "ImageInUse"),
    ('Failed to get shared "write" lock', Busy, "ImageInUse"),
    ("already exists with uuid", Conflict, "NameTaken"),
    ("already defined with uuid", Conflict, "NameTaken"),
)
"""What libvirt says in words only."""

_REASONS: dict[type[XvirtError], str] = {
    Refused: "LibvirtRefused",
    InvalidSpec: "LibvirtRefused",
    Unavailable: "HypervisorUnavailable",
    DeadlineExceeded: "HypervisorTimeout",
}
_AGENT_CODES = frozenset(
    getattr(libvirt, f"VIR_ERR_{name}")
    for name in ("AGENT_UNRESPONSIVE", "AGENT_UNSYNCED", "AGENT_COMMAND_TIMEOUT")
    if hasattr(libvirt, f"VIR_ERR_{name}")
)
_CONNECTION_LOST = frozenset({libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_SYSTEM_ERROR})
"""The RPC layer says with these that the socket is gone; nothing else in that layer uses them."""


def classify(code: int, origin: int, number: int, text: str) -> tuple[type[XvirtError], str]:
    """Class and reason for a virErrorNumber, its virErrorDomain, its `int1` and its words."""
    if origin == libvirt.VIR_FROM_RPC and code in _CONNECTION_LOST:
        return Unavailable, _REASONS[Unavailable]
    for phrase, cls, reason in _PHRASES:
        if phrase in text:
            return cls, reason
    cls = CODES.get(code, Refused)
    if code == libvirt.VIR_ERR_SYSTEM_ERROR:
        cls = _ERRNOS.get(number, cls)
    if code in _AGENT_CODES:
        return cls, "AgentNotResponding"
    return cls, _REASONS.get(cls, cls.default_reason)


def translate(error: libvirt.libvirtError, action: str) -> XvirtError:
    """The error as ours: `action` says what was tried, on what. `libvirt_code` is kept on each."""
    code = error.get_error_code()
    text = (error.get_error_message() or str(error)).strip()
    if code is None:
        return InternalError(f"{action}: libvirt's binding says: {text}")
    cls, reason = classify(code, error.get_error_domain() or 0, error.get_int1() or 0, text)
    message = f"{action}: libvirt says: {text}"
    if issubclass(cls, InvalidSpec):
        invalid = InvalidSpec([Problem("", f"libvirt says: {text}")], action, reason=reason)
        invalid.libvirt_code = code
        return invalid
    return cls(message, reason=reason, libvirt_code=code)
