"""The table of errors: complete both ways, and as its module draws it."""

from __future__ import annotations

import re

import grpc
import pytest

from xvirt.model import errors
from xvirt.model.errors import InvalidSpec, XvirtError
from xvirt.nodeapi.v1 import node_pb2 as pb
from xvirt.wire import status
from xvirt.wire.limits import ERROR_DETAIL_MAX_BYTES, ERROR_MESSAGE_MAX_BYTES
from xvirt.wire.status import CLASSES, CODES, DETAIL_KEY, decode_error, encode_error

Code = grpc.StatusCode
BY_NAME: dict[str, grpc.StatusCode] = {code.name: code for code in Code}


def _drawn() -> list[tuple[str, str, str]]:
    rows = re.findall(r"^  (?:[|` -]*)(\w+) +([A-Z_]+)(?: +(\w.*))?$", status.__doc__ or "", re.MULTILINE)
    return [(name, code, read_as) for name, code, read_as in rows if hasattr(errors, name)]


def test_every_status_but_ok_is_read_as_a_class() -> None:
    assert set(CLASSES) == set(Code) - {Code.OK}


def test_the_drawn_table_is_the_one_that_is_used() -> None:
    drawn = _drawn()
    assert {getattr(errors, name): BY_NAME[code] for name, code, _ in drawn} == CODES
    for name, code, read_as in drawn:
        words = read_as.replace(",", "").split()
        if words:
            assert CLASSES[BY_NAME[code]].__name__ == words[0], name
        if words[1:]:
            assert CLASSES[BY_NAME[words[2]]].__name__ == words[0], name


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.OK])
@pytest.mark.parametrize("message", ["", "what gRPC says"])
def test_a_bare_status_names_the_node(code: grpc.StatusCode, message: str) -> None:
    found = decode_error(code, message, [], "tcp://node-a:9443")
    assert type(found) is CLASSES[code]
    assert "tcp://node-a:9443" in found.message
    assert (message or code.name) in found.message


@pytest.mark.parametrize(
    ("target", "message", "reason"),
    [
        ("unix:///run/ssl/node.sock", "last error: unix:/run/ssl/node.sock: Socket closed", "NodeUnreachable"),
        ("tcp://tls-1.example:9443", "DNS resolution failed for tls-1.example:9443: timeout", "NodeUnreachable"),
        ("tcp://tls-1.example:9443", "errors resolving tls-1.example: [timeout]", "NodeUnreachable"),
        ("tcp://tls-1.example:9443", "tls-1.example:9443: Ssl handshake failed", "TlsRefused"),
        ("tcp://node-a:9443", "certificate verify failed", "TlsRefused"),
    ],
)
def test_words_of_tls_in_an_address_say_nothing_of_certificates(target: str, message: str, reason: str) -> None:
    assert decode_error(Code.UNAVAILABLE, message, [], target).reason == reason


def test_a_broken_detail_is_as_good_as_none() -> None:
    found = decode_error(Code.NOT_FOUND, "gone", [(DETAIL_KEY, b"\xff\xff\xff")], "unix:///x")
    assert (type(found), found.message) == (errors.NotFound, "node at unix:///x: gone")


def test_a_detail_of_a_class_that_is_no_error_of_ours_is_not_looked_up() -> None:
    for name in ("Problem", "__builtins__", "dataclasses", ""):
        data = pb.ErrorDetail(error_class=name, message="m").SerializeToString()
        assert type(decode_error(Code.ABORTED, "m", [(DETAIL_KEY, data)], "unix:///x")) is errors.Conflict


@pytest.mark.parametrize("letter", ["x", "\n", "é", "€", "🦊", "\ud800"])
def test_what_is_sent_stays_within_its_bounds(letter: str) -> None:
    text = letter * 100_000
    samples: list[XvirtError] = [
        errors.Refused(text, reason=text),
        InvalidSpec([errors.Problem(text, text, text)] * 50, text, reason=text),
        InvalidSpec([errors.Problem("a", "b")] * 100_000),
    ]
    for error in samples:
        _, message, metadata = encode_error(error)
        assert len(message.encode()) <= ERROR_MESSAGE_MAX_BYTES
        assert len(metadata[0][1]) <= ERROR_DETAIL_MAX_BYTES + 200
