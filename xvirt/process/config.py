"""Config files: YAML, checked whole before anything starts, each mistake with its line and path."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from xvirt import API_VERSION
from xvirt.model.codec import decode
from xvirt.model.documents import load_documents
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.fields import Format, Mutability, field
from xvirt.model.validation import check_rules, validate_value
from xvirt.process.config_lines import refuse

T = TypeVar("T")

RESTART = Mutability.RESTART
"""What a change of any setting costs: the process reads its config when it starts."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClientTlsConfig:
    """Files to call nodes with; read again when they change."""

    certificate: str = field("Own certificate, PEM.", RESTART, format=Format.HOST_PATH, max_length=4096)
    key: str = field("Its private key, PEM.", RESTART, format=Format.HOST_PATH, max_length=4096)
    ca: str = field("CA of the nodes' certificates, PEM.", RESTART, format=Format.HOST_PATH, max_length=4096)


def read_config(path: Path, cls: type[T], kind: str, check: Callable[[T], Sequence[Problem]]) -> T:
    """Read a file as one of the config dataclasses. Raises InvalidSpec, reason InvalidConfig, with every mistake.

    `check` finds what only the whole shows, or the machine: files that are named and cannot be read.
    """
    text = _read_text(path)
    documents = load_documents(text, str(path))
    if len(documents) != 1:
        raise InvalidSpec([Problem("", f"holds {len(documents)} documents, one is wanted")], str(path))
    document: dict[str, Any] = dict(documents[0].document)
    problems = [
        Problem(key, f"must be {wanted}", f"write {key}: {wanted}")
        for key, wanted in (("apiVersion", API_VERSION), ("kind", kind))
        if document.pop(key, None) != wanted
    ]
    problems += validate_value(cls, document)
    if problems:
        raise refuse(problems, str(path), text)
    config: T = decode(cls, document)
    problems = [*check_rules(config, ""), *check(config)]
    if problems:
        raise refuse(problems, str(path), text)
    return config


def _read_text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise InvalidSpec([Problem("", f"cannot be read: {error.strerror}")], str(path)) from error
    except UnicodeDecodeError as error:
        raise InvalidSpec([Problem("", f"is not UTF-8 text (byte {error.start})")], str(path)) from error


def is_address(text: str) -> bool:
    """Whether a text is `address:port`."""
    host, colon, port = text.rpartition(":")
    is_host = host.startswith("[") and host.endswith("]") if ":" in host else bool(host)
    return bool(colon) and is_host and port.isascii() and port.isdigit() and int(port) <= 65535


def find_unreadable(files: Sequence[tuple[str, str]], remedy: str = "correct the path") -> list[Problem]:
    """A problem for each (path in the config, file) whose file cannot be read."""
    problems = []
    for path, name in files:
        try:
            Path(name).open("rb").close()
        except OSError as error:
            problems.append(Problem(path, f"{name} cannot be read: {error.strerror}", remedy))
    return problems


def explain(error: BaseException) -> list[str]:
    """A line for each thing that is wrong with a start: of a config file with its lines, of anything else the message."""
    if isinstance(error, InvalidSpec) and error.reason == "InvalidConfig":
        return [str(problem) for problem in error.problems]
    return [str(getattr(error, "message", error))]
