"""What an API server refuses, as xVirt's errors: the table is complete, and as its module draws it."""

from __future__ import annotations

import re

import pytest

from xvirt.model import errors
from xvirt.model.errors import Forbidden, InvalidSpec, Refused
from xvirt.operator import refusals
from xvirt.operator.refusals import CLASSES, translate
from xvirt.operator.runtime import errors as api
from xvirt.operator.runtime.errors import ApiError, error_of
from xvirt.wire.statuses import encode_status


def test_every_error_of_an_api_server_has_its_own() -> None:
    known = {cls for cls in vars(api).values() if isinstance(cls, type) and issubclass(cls, ApiError)}
    assert set(CLASSES) == known


def test_the_drawn_table_is_the_one_that_is_used() -> None:
    rows = re.findall(r"^  ([\w, ]+?)  +(\w+)", refusals.__doc__ or "", re.MULTILINE)
    drawn = {getattr(api, name): getattr(errors, own) for names, own in rows for name in names.split(", ")}
    assert drawn == CLASSES


def test_the_causes_of_an_invalid_document_are_its_problems() -> None:
    details = {"causes": [{"field": "spec.cpu.cores", "message": "must be at least 1", "reason": "FieldValueInvalid"}]}
    error = error_of(422, {"reason": "Invalid", "message": "no", "details": details}, doing="apply vm web")
    found = translate(error, "VirtualMachine default/web")
    assert isinstance(found, InvalidSpec)
    assert found.message == "VirtualMachine default/web: spec.cpu.cores: must be at least 1"


@pytest.mark.parametrize("status", [{}, {"reason": "Invalid", "message": "odd"}])
def test_a_refusal_without_causes_is_told_as_it_came(status: dict[str, str]) -> None:
    found = translate(error_of(422, status, doing="apply vm web"))
    assert isinstance(found, InvalidSpec)
    assert "apply vm web" in found.message


def test_what_the_gateway_answers_comes_out_as_it_was_there() -> None:
    status = encode_status(Refused("VirtualMachine default/web is not running", reason="NotRunning"), {"name": "web"})
    found = translate(error_of(409, status, doing="update"))
    assert (type(found), found.reason, found.message) == (
        Refused,
        "NotRunning",
        "VirtualMachine default/web is not running",
    )


def test_a_right_that_is_lacking_is_told_in_the_api_servers_words() -> None:
    found = translate(
        error_of(403, {"reason": "Forbidden", "message": 'User "ann" cannot patch'}, doing="apply vm web")
    )
    assert isinstance(found, Forbidden)
    assert 'User "ann" cannot patch' in found.message
