"""Tables that must be complete."""

from __future__ import annotations

from typing import Any

from nodeplugin.plan import step as steps
from nodeplugin.steps.run import STEP_TYPES
from xvirt.cli.exit_codes import CODES as EXIT_CODES
from xvirt.model import errors
from xvirt.model.errors import XvirtError
from xvirt.wire.status import CODES, decode_error, encode_error


def _subclasses(cls: type[Any]) -> set[type[Any]]:
    return {cls} | {item for sub in cls.__subclasses__() for item in _subclasses(sub)}


def test_every_step_has_an_executor() -> None:
    concrete = {item for item in _subclasses(steps.Step) if hasattr(item, "name")}
    assert concrete == set(STEP_TYPES)


def test_every_error_has_a_status_and_an_exit_code() -> None:
    assert set(CODES) == _subclasses(XvirtError)
    assert set(EXIT_CODES) == _subclasses(XvirtError)


def test_every_error_arrives_as_it_was_sent() -> None:
    problem = errors.Problem("spec.x", "is wrong", "mend it")
    samples: list[XvirtError] = [
        errors.InvalidSpec([problem], "VirtualMachine default/web"),
        errors.Conflict("stale", stored_epoch=3, stored_generation=4),
        *(
            cls("what failed", reason="Why", libvirt_code=38)
            for cls in _subclasses(XvirtError)
            if cls not in (errors.InvalidSpec, errors.Conflict)
        ),
    ]
    for error in samples:
        code, message, metadata = encode_error(error)
        found = decode_error(code, message, metadata, "unix:///x")
        assert type(found) is type(error)
        assert (found.message, found.reason) == (error.message, error.reason)
        assert found.libvirt_code == error.libvirt_code
        if isinstance(error, errors.Conflict) and isinstance(found, errors.Conflict):
            assert (found.stored_epoch, found.stored_generation) == (3, 4)
        if isinstance(error, errors.InvalidSpec) and isinstance(found, errors.InvalidSpec):
            assert found.problems == error.problems
