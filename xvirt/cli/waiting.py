"""Waiting for objects: conditions, deletion, a value; and what the terminal shows meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from xvirt.cli.place import Place
from xvirt.cli.tables import clean, lookup
from xvirt.cli.words import WrongWords
from xvirt.model.errors import DeadlineExceeded, NotFound, Refused, Unavailable
from xvirt.model.exchange import ObjectRef, Operation

Predicate = Callable[[Any], bool]


def parse_condition(text: str) -> Predicate | None:
    """`create`, `condition=Ready[=True]` or `jsonpath={.a.b}=value`; None for `delete`. Raises WrongWords."""
    if text == "delete":
        return None
    if text == "create":
        return lambda document: True
    if match := re.fullmatch(r"condition=([A-Za-z]+)(?:=(true|false|unknown))?", text, re.IGNORECASE):
        wanted_type, wanted_status = match.group(1), (match.group(2) or "True").capitalize()
        return _Condition(wanted_type, wanted_status)
    if match := re.fullmatch(r"jsonpath='?\{\.?([^}]+)\}'?=(.*)", text):
        path, wanted = match.group(1), match.group(2)
        return lambda document: _text(lookup(document, path)) == wanted
    remedy = "use condition=Ready, create, delete, or jsonpath={.status.powerState}=Running"
    raise WrongWords(f"--for: {text!r} is not understood; {remedy}")


@dataclasses.dataclass(frozen=True)
class _Condition:
    """A predicate that can be told about."""

    type: str
    status: str

    def __call__(self, document: Any) -> bool:
        return has_condition(document, self.type, self.status)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def has_condition(document: Any, wanted_type: str, wanted_status: str) -> bool:
    """Whether a condition stands, said of the newest generation. The type's case does not matter, as for kubectl."""
    generation = lookup(document, "metadata.generation")
    return any(
        str(item.get("type")).lower() == wanted_type.lower()
        and item.get("status") == wanted_status
        and item.get("observedGeneration") == generation
        for item in lookup(document, "status.conditions") or ()
    )


def wait_for(
    place: Place, ref: ObjectRef, wanted: Predicate | None, deadline: float, *, may_appear: bool = False
) -> Any:
    """Block until the predicate holds (None: until the object is gone); the document, or None.

    `deadline` is of `time.monotonic`. Raises DeadlineExceeded with what the object says of itself, and NotFound where it is not
    there, unless it may yet appear.
    """
    document: Any = None
    with show_progress() as progress:
        while True:
            trouble = ""
            try:
                document = place.get(ref).document
            except NotFound:
                if wanted is None:
                    return None
                if not may_appear:
                    raise
                trouble = "it is not there"
            except Unavailable as error:
                trouble = error.message
            if not trouble and wanted is not None and wanted(document):
                return document
            why = trouble or explain(document, wanted.type if isinstance(wanted, _Condition) else "Ready")
            progress.show(ref, document, why)
            if time.monotonic() >= deadline:
                raise DeadlineExceeded(f"{ref}: not in time; {why}", reason="WaitTimeout")
            time.sleep(place.poll_s)


def explain(document: Any, wanted_type: str = "Ready") -> str:
    """What an object says of a condition."""
    for item in lookup(document, "status.conditions") or ():
        if str(item.get("type")).lower() == wanted_type.lower():
            said = f"{item.get('reason')}: {item.get('message') or ''}".rstrip(": ")
            is_plain = item.get("type") == "Ready" and item.get("status") != "True"
            return said if is_plain else f"{item.get('type')} is {item.get('status')} ({said})"
    return f"it says nothing of {wanted_type}"


def wait_for_operation(place: Place, operation: Operation, timeout_s: float) -> Operation:
    """Block until an operation has ended. Raises Refused where it failed, DeadlineExceeded."""
    deadline = time.monotonic() + timeout_s
    ref = operation.ref
    with show_progress() as progress:
        while True:
            found = next((item for item in place.inspect(ref).operations if item.id == operation.id), None)
            if found is not None and found.state.is_final:
                break
            percent = f" ({found.progress_percent} %)" if found is not None and found.progress_percent else ""
            progress.show(ref, None, f"{operation.verb.value}{percent}")
            if time.monotonic() >= deadline:
                message = f"{ref}: {operation.verb.value} has not ended within {timeout_s:g} s; it goes on"
                raise DeadlineExceeded(message, reason="WaitTimeout")
            time.sleep(place.poll_s)
    if found.message:
        raise Refused(
            f"{ref}: {operation.verb.value} failed: {found.message}",
            reason=found.reason,
            libvirt_code=found.libvirt_code or None,
        )
    return found


PROGRESS_VARIABLE = "XVIRT_PROGRESS"
"""`lines`: progress is told line by line also where standard error is no terminal, for logs."""


class Progress:
    """One line on a terminal's standard error that is written over; nothing anywhere else, or lines where they are asked for."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._is_told = not self._is_terminal and os.environ.get(PROGRESS_VARIABLE) == "lines"
        self._last = ""

    def show(self, ref: ObjectRef, document: Any, text: str) -> None:
        """What is going on."""
        if not (self._is_terminal or self._is_told):
            return
        percent = lookup(document, "status.progressPercent")
        line = clean(f"{ref}: {text}" + (f" ({percent} %)" if percent is not None else ""))
        if self._is_terminal:
            line = line[: _columns() - 1]  # text in the last column would wrap
        if line == self._last.rstrip():
            return
        if self._is_told:
            click.echo(line, err=True)
            self._last = line
        else:
            self._last = line.ljust(len(self._last.rstrip()))
            click.echo("\r" + self._last, err=True, nl=False)

    def end(self) -> None:
        """Clear the line."""
        if self._last and self._is_terminal:
            click.echo("\r" + " " * len(self._last) + "\r", err=True, nl=False)
        self._last = ""


def _columns() -> int:
    """Width of the terminal behind standard error; one without a size says 0."""
    with contextlib.suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    return 80


@contextlib.contextmanager
def show_progress() -> Iterator[Progress]:
    """A line of progress that is gone afterwards, Ctrl-C included."""
    progress = Progress()
    try:
        yield progress
    finally:
        progress.end()
