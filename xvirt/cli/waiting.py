"""Waiting for objects, by Watch: conditions, deletion, a value."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from typing import Any

import click

from xvirt.cli.session import note
from xvirt.cli.tables import lookup
from xvirt.client.blocking import NodeClient
from xvirt.model.errors import DeadlineExceeded, InvalidSpec, NotFound, Problem, Refused, Unavailable
from xvirt.model.exchange import ObjectRef, Operation, WatchType

Predicate = Callable[[Any], bool]
RECONNECT_S = 0.5
POLL_S = 0.1


def parse_duration(text: str) -> float:
    """`90`, `90s`, `2m`, `1h` as seconds. Raises InvalidSpec."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", text)
    if match is None:
        raise InvalidSpec([Problem("--timeout", f"{text!r} is no duration", "write 90s, 2m or 1h")])
    return float(match.group(1)) * {"s": 1, "m": 60, "h": 3600, None: 1}[match.group(2)]


def parse_condition(text: str) -> Predicate | None:
    """`condition=Ready[=True]` or `jsonpath={.a.b}=value`; None for `delete`. Raises InvalidSpec."""
    if text == "delete":
        return None
    if match := re.fullmatch(r"condition=([A-Za-z]+)(?:=(True|False|Unknown))?", text):
        wanted_type, wanted_status = match.group(1), match.group(2) or "True"
        return lambda document: has_condition(document, wanted_type, wanted_status)
    if match := re.fullmatch(r"jsonpath='?\{\.?([^}]+)\}'?=(.*)", text):
        path, wanted = match.group(1), match.group(2)
        return lambda document: str(lookup(document, path)) == wanted
    remedy = "use condition=Ready, delete, or jsonpath={.status.powerState}=Running"
    raise InvalidSpec([Problem("--for", f"{text!r} is not understood", remedy)])


def has_condition(document: Any, wanted_type: str, wanted_status: str) -> bool:
    """Whether a condition stands, said of the newest generation."""
    generation = lookup(document, "metadata.generation")
    return any(
        item.get("type") == wanted_type
        and item.get("status") == wanted_status
        and item.get("observedGeneration") == generation
        for item in lookup(document, "status.conditions") or ()
    )


def wait_for(client: NodeClient, ref: ObjectRef, wanted: Predicate | None, timeout_s: float) -> Any:
    """Block until the predicate holds (None: until the object is gone); the document, or None.

    Raises DeadlineExceeded with what the object says of itself, NotFound where it goes away meanwhile.
    """
    deadline = time.monotonic() + timeout_s
    progress = Progress()
    document: Any = None
    while True:
        try:
            document = client.get(ref).document
        except NotFound:
            progress.end()
            if wanted is None:
                return None
            raise
        except Unavailable:
            document = None
        if wanted is not None and document is not None and wanted(document):
            progress.end()
            return document
        progress.show(ref, document)
        if time.monotonic() >= deadline:
            progress.end()
            raise DeadlineExceeded(f"{ref}: not within {timeout_s:g} s; {explain(document)}", reason="WaitTimeout")
        time.sleep(POLL_S)


def explain(document: Any) -> str:
    """What an object says of why it is not ready."""
    for item in lookup(document, "status.conditions") or ():
        if item.get("type") == "Ready" and item.get("status") != "True":
            return f"{item.get('reason')}: {item.get('message')}"
    return "it says nothing of why"


def wait_for_operation(client: NodeClient, operation: Operation, timeout_s: float) -> Operation:
    """Block until an operation has ended. Raises Refused where it failed, DeadlineExceeded."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = next((item for item in client.describe(operation.ref).operations if item.id == operation.id), None)
        if found is not None and found.state.is_final:
            break
        if time.monotonic() >= deadline:
            message = f"{operation.ref}: {operation.verb.value} has not ended within {timeout_s:g} s; it goes on"
            raise DeadlineExceeded(message, reason="WaitTimeout")
        time.sleep(0.1)
    if found.message:
        raise Refused(
            f"{operation.ref}: {operation.verb.value} failed: {found.message}",
            reason=found.reason,
            libvirt_code=found.libvirt_code or None,
        )
    return found


class Progress:
    """One line on a terminal's standard error that is written over; nothing anywhere else."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._last = ""

    def show(self, ref: ObjectRef, document: Any) -> None:
        """What is going on."""
        percent = lookup(document, "status.progressPercent")
        text = f"{ref}: {explain(document)}" + (f" ({percent} %)" if percent is not None else "")
        if self._is_shown and text != self._last:
            width = 100
            click.echo("\r" + text[:width].ljust(width), err=True, nl=False)
            self._last = text

    def end(self) -> None:
        """Clear the line."""
        if self._is_shown and self._last:
            click.echo("\r" + " " * 100 + "\r", err=True, nl=False)


def watch_for_ever(client: NodeClient, kind: str, namespace: str, show: Callable[[Any], None]) -> None:
    """Show each message of a watch; a broken stream starts over with a note."""
    while True:
        try:
            with client.watch(kind, namespace) as events:
                for event in events:
                    if event.type is not WatchType.HEARTBEAT:
                        show(event)
        except Unavailable as error:
            note(f"xvirt: {error.message}; watching again")
            time.sleep(RECONNECT_S)
