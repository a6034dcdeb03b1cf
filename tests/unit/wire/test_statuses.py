"""The table of errors as Kubernetes' Status: complete both ways, and as its module draws it."""

from __future__ import annotations

import re

import pytest

from xvirt.model import errors
from xvirt.model.errors import InvalidSpec, Problem, XvirtError
from xvirt.wire import statuses
from xvirt.wire.statuses import CODES, decode_status, encode_status

CLASSES = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, XvirtError)]
SUBJECT = {"group": "subresources.xvirt.io", "kind": "VirtualMachine", "name": "web"}


def make(cls: type[XvirtError], reason: str = "") -> XvirtError:
    if issubclass(cls, InvalidSpec):
        return InvalidSpec([Problem("spec.x", "is wrong", "mend it"), Problem("", "is odd")])
    return cls("what happened", reason=reason)


def test_the_drawn_table_is_the_one_that_is_used() -> None:
    rows = re.findall(r"^  (?:[|` -]*)(\w+) +(\d{3}) +(\w+)$", statuses.__doc__ or "", re.MULTILINE)
    assert {getattr(errors, name): (int(code), reason) for name, code, reason in rows} == CODES


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("reason", ["", "NotRunning"])
def test_every_error_comes_back_as_it_was(cls: type[XvirtError], reason: str) -> None:
    error = make(cls, reason)
    status = encode_status(error, SUBJECT)
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", CODES[cls][0])
    found = decode_status(status["reason"], status["details"])
    assert found is not None
    assert (type(found), found.message) == (
        cls,
        "spec.x: is wrong; mend it; is odd" if cls is InvalidSpec else error.message,
    )
    if cls is not InvalidSpec:
        assert found.reason == error.reason
        assert status["reason"] == (reason or CODES[cls][1])


def test_problems_are_causes_by_their_field() -> None:
    causes = encode_status(make(InvalidSpec), SUBJECT)["details"]["causes"][1:]
    assert causes == [
        {"reason": "FieldValueInvalid", "message": "is wrong; mend it", "field": "spec.x"},
        {"reason": "FieldValueInvalid", "message": "is odd", "field": ""},
    ]


@pytest.mark.parametrize(
    "details", [None, {}, {"causes": []}, {"causes": ["?"]}, {"causes": [{"reason": "FieldValueInvalid"}]}]
)
def test_what_is_not_ours_is_left_to_others(details: dict[str, object] | None) -> None:
    assert decode_status("NotFound", details) is None


def test_a_class_of_a_newer_release_is_left_to_its_code() -> None:
    assert decode_status("Odd", {"causes": [{"reason": "xvirt.io/Odd", "message": "?"}]}) is None
