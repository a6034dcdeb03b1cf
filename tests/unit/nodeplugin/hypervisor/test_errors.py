"""libvirt's errors become ours by one complete table."""

from __future__ import annotations

import errno

import libvirt
import pytest

from nodeplugin.hypervisor.errors import CODES, classify, translate
from xvirt.model.errors import (
    Busy,
    Conflict,
    DeadlineExceeded,
    Exhausted,
    InternalError,
    InvalidSpec,
    NotFound,
    Refused,
    Unavailable,
    Unsupported,
    XvirtError,
)

LEVELS = {"VIR_ERR_NONE", "VIR_ERR_WARNING", "VIR_ERR_ERROR"}
"""virErrorLevel shares the prefix of virErrorNumber."""


class _Error(libvirt.libvirtError):  # type: ignore[misc]
    def __init__(self, code: int, text: str, origin: int = 0, number: int = 0) -> None:
        Exception.__init__(self, text)
        self.err = (code, origin, text, 2, None, None, None, number, 0)


def test_every_error_of_the_binding_has_its_class() -> None:
    names = {name for name in dir(libvirt) if name.startswith("VIR_ERR_")} - LEVELS
    assert {name for name in names if getattr(libvirt, name) not in CODES} == set()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (libvirt.VIR_ERR_NO_DOMAIN, NotFound),
        (libvirt.VIR_ERR_DEVICE_MISSING, NotFound),
        (libvirt.VIR_ERR_OPERATION_INVALID, Refused),
        (libvirt.VIR_ERR_INTERNAL_ERROR, Refused),
        (libvirt.VIR_ERR_OPERATION_TIMEOUT, DeadlineExceeded),
        (libvirt.VIR_ERR_XML_ERROR, InvalidSpec),
        (libvirt.VIR_ERR_XML_INVALID_SCHEMA, InvalidSpec),
        (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, Unsupported),
        (libvirt.VIR_ERR_NO_SUPPORT, Unsupported),
        (libvirt.VIR_ERR_RESOURCE_BUSY, Busy),
        (libvirt.VIR_ERR_AGENT_UNRESPONSIVE, Unavailable),
        (libvirt.VIR_ERR_NO_CONNECT, Unavailable),
        (libvirt.VIR_ERR_NO_MEMORY, Exhausted),
        (libvirt.VIR_ERR_INVALID_DOMAIN, InternalError),
        (999_999, Refused),
    ],
)
def test_a_code_keeps_its_number_and_says_what_failed_on_what(code: int, expected: type[XvirtError]) -> None:
    error = translate(_Error(code, "words"), "start domain 7")
    assert type(error) is expected
    assert error.libvirt_code == code
    assert "start domain 7" in error.message
    assert "words" in error.message


@pytest.mark.parametrize(
    ("code", "origin", "number", "text", "expected", "reason"),
    [
        (libvirt.VIR_ERR_SYSTEM_ERROR, 0, errno.ENOSPC, "x", Exhausted, "Exhausted"),
        (libvirt.VIR_ERR_SYSTEM_ERROR, 0, errno.EACCES, "x", Refused, "LibvirtRefused"),
        (libvirt.VIR_ERR_INTERNAL_ERROR, 0, 0, "write: No space left on device", Exhausted, "NoSpace"),
        (libvirt.VIR_ERR_INTERNAL_ERROR, 0, 0, 'Failed to get "write" lock', Busy, "ImageInUse"),
        (libvirt.VIR_ERR_OPERATION_TIMEOUT, 0, 0, "cannot acquire state change lock", Busy, "OperationInProgress"),
        (libvirt.VIR_ERR_OPERATION_FAILED, 0, 0, "domain 'a' already exists with uuid b", Conflict, "NameTaken"),
        (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC, 0, "closed", Unavailable, "HypervisorUnavailable"),
        (libvirt.VIR_ERR_AGENT_UNRESPONSIVE, 0, 0, "silent", Unavailable, "AgentNotResponding"),
    ],
)
def test_errno_words_and_origin_are_more_precise(
    code: int, origin: int, number: int, text: str, expected: type[XvirtError], reason: str
) -> None:
    assert classify(code, origin, number, text) == (expected, reason)


def test_an_error_without_a_code_is_a_bug() -> None:
    error = libvirt.libvirtError("no error was set")
    error.err = None
    assert isinstance(translate(error, "x"), InternalError)
