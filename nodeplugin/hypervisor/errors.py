"""libvirt's errors to ours: one table. A code that is not in it is a refusal, with libvirt's own words."""

from __future__ import annotations

import libvirt

from xvirt.model.errors import (
    Busy,
    DeadlineExceeded,
    Exhausted,
    Forbidden,
    InternalError,
    NotFound,
    Refused,
    Unavailable,
    Unsupported,
    XvirtError,
)

CODES: dict[int, type[XvirtError]] = {
    libvirt.VIR_ERR_NO_DOMAIN: NotFound,
    libvirt.VIR_ERR_NO_NETWORK: NotFound,
    libvirt.VIR_ERR_NO_STORAGE_POOL: NotFound,
    libvirt.VIR_ERR_NO_STORAGE_VOL: NotFound,
    libvirt.VIR_ERR_NO_DOMAIN_METADATA: NotFound,
    libvirt.VIR_ERR_DEVICE_MISSING: NotFound,
    libvirt.VIR_ERR_OPERATION_INVALID: Refused,
    libvirt.VIR_ERR_OPERATION_FAILED: Refused,
    libvirt.VIR_ERR_OPERATION_DENIED: Forbidden,
    libvirt.VIR_ERR_AUTH_FAILED: Forbidden,
    libvirt.VIR_ERR_ACCESS_DENIED: Forbidden,
    libvirt.VIR_ERR_NO_SUPPORT: Unsupported,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED: Unsupported,
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED: Unsupported,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: Unsupported,
    libvirt.VIR_ERR_XML_ERROR: Refused,
    libvirt.VIR_ERR_XML_DETAIL: Refused,
    libvirt.VIR_ERR_XML_INVALID_SCHEMA: Refused,
    libvirt.VIR_ERR_INVALID_ARG: Refused,
    libvirt.VIR_ERR_DOM_EXIST: Refused,
    libvirt.VIR_ERR_NETWORK_EXIST: Refused,
    libvirt.VIR_ERR_NO_MEMORY: Exhausted,
    libvirt.VIR_ERR_OPERATION_TIMEOUT: DeadlineExceeded,
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE: DeadlineExceeded,
    libvirt.VIR_ERR_AGENT_UNSYNCED: DeadlineExceeded,
    libvirt.VIR_ERR_RESOURCE_BUSY: Busy,
    libvirt.VIR_ERR_NO_CONNECT: Unavailable,
    libvirt.VIR_ERR_INVALID_CONN: Unavailable,
    libvirt.VIR_ERR_RPC: Unavailable,
    libvirt.VIR_ERR_NO_CLIENT: Unavailable,
    libvirt.VIR_ERR_INTERNAL_ERROR: Refused,
    libvirt.VIR_ERR_SYSTEM_ERROR: Refused,
}
"""By virErrorNumber. INTERNAL_ERROR is what libvirt says of nearly everything that QEMU refuses: a refusal, not a bug of ours."""

_PHRASES: tuple[tuple[str, type[XvirtError]], ...] = (
    ("No space left on device", Exhausted),
    ("Cannot allocate memory", Exhausted),
    ("cannot acquire state change lock", Busy),
    ("client socket is closed", Unavailable),
    ("Connection reset by peer", Unavailable),
    ("Broken pipe", Unavailable),
    ("End of file while reading data", Unavailable),
    ("Failed to connect socket", Unavailable),
    ("internal client error", Unavailable),
    ("connection closed", Unavailable),
)
"""What libvirt says in words only."""


def translate(error: libvirt.libvirtError, action: str) -> XvirtError:
    """The error as ours: `action` says what was tried, on what."""
    code = error.get_error_code()
    text = error.get_error_message() or str(error)
    cls = next((found for phrase, found in _PHRASES if phrase in text), None)
    if cls is None:
        cls = CODES.get(code or -1, Refused) if code is not None else InternalError
    name = _REASONS.get(cls, cls.default_reason)
    return cls(f"{action}: libvirt says: {text}", reason=name, libvirt_code=code)


_REASONS: dict[type[XvirtError], str] = {Refused: "LibvirtRefused", Unavailable: "HypervisorUnavailable"}
