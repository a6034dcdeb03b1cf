"""`start`, `stop` and their siblings, `logs` and `console`: acts upon one machine."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import threading
import tty
import uuid
from collections.abc import Iterator

import click

from xvirt.cli.session import Session, note, parse_refs, pass_session, short_name
from xvirt.cli.waiting import parse_duration, wait_for_operation
from xvirt.client.blocking import ConsoleSession
from xvirt.model.exchange import OperateCall, Verb

LEAVE = b"\x1d"
"""Ctrl-], as telnet and virsh have it."""

_DONE = {
    Verb.START: "started",
    Verb.STOP: "stopped",
    Verb.RESTART: "restarted",
    Verb.RESET: "reset",
    Verb.PAUSE: "paused",
    Verb.RESUME: "resumed",
    Verb.SAVE: "saved",
    Verb.RESTORE: "restored",
}
_HELP = {
    Verb.START: "Start machines; what was saved goes on where it was.",
    Verb.STOP: "Shut machines down, and keep them off until they are started.",
    Verb.RESTART: "Shut machines down and start them again.",
    Verb.RESET: "Press the reset button.",
    Verb.PAUSE: "Halt the vCPUs; memory stays.",
    Verb.RESUME: "Let paused machines go on.",
    Verb.SAVE: "Write memory to disk and power off.",
    Verb.RESTORE: "Go on from a saved state.",
}


def make_verb(verb: Verb) -> click.Command:
    """The command of a verb."""

    @click.command(verb.value, help=_HELP[verb])
    @click.argument("words", nargs=-1, required=True, metavar="[vm] NAME...")
    @click.option("--force", is_flag=True, help="stop, restart: power off at once.")
    @click.option("--grace-period", type=click.IntRange(min=0), default=None, help="stop, restart: seconds.")
    @click.option("--wait/--no-wait", "is_waiting", default=True, help="Wait until it is done.")
    @click.option("--timeout", default="10m", show_default=True, help="How long to wait at most.")
    @pass_session
    def command(
        session: Session,
        words: tuple[str, ...],
        force: bool,
        grace_period: int | None,
        is_waiting: bool,
        timeout: str,
    ) -> None:
        timeout_s = parse_duration(timeout)
        with session.connect() as client:
            for ref in parse_refs(session, words, "vm"):
                call = OperateCall(
                    ref=ref,
                    verb=verb,
                    operation_id=str(uuid.uuid4()),
                    force=force,
                    grace_period_s=grace_period,
                )
                operation = client.operate(call)
                if is_waiting:
                    wait_for_operation(client, operation, timeout_s)
                text = _DONE[verb] if is_waiting else f"{verb.value} was asked for"
                click.echo(f"{short_name(ref)} {text}")

    return command


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[vm] NAME")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("--tail", type=click.IntRange(min=0), default=None, metavar="LINES", help="The last lines only.")
@pass_session
def logs(session: Session, words: tuple[str, ...], follow: bool, tail: int | None) -> None:
    """The boot log: what the serial console printed."""
    (ref, *_) = parse_refs(session, words, "vm")
    with session.connect() as client:
        if tail is not None and not follow:
            text = b"".join(client.console_log(ref))
            lines = text.splitlines(keepends=True)
            _write(b"".join(lines[-tail:] if tail else []))
            return
        for chunk in client.console_log(ref, follow=follow, tail_bytes=0 if tail is None else tail * 200):
            _write(chunk)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[vm] NAME")
@click.option("--force", is_flag=True, help="Take it from whoever has it.")
@pass_session
def console(session: Session, words: tuple[str, ...], force: bool) -> None:
    """The serial console. Ctrl-] leaves."""
    (ref, *_) = parse_refs(session, words, "vm")
    with session.connect() as client, client.console(ref, force=force) as stream:
        if sys.stdin.isatty():
            note(f"Connected to {short_name(ref)}. Ctrl-] leaves.")
        with _raw_terminal():
            reader = threading.Thread(target=_pump_output, args=(stream,), daemon=True)
            reader.start()
            _pump_input(stream, reader)
        if sys.stdin.isatty():
            note("\nDisconnected.")


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Keys go to the guest one by one; the terminal is as before afterwards, whatever happens."""
    if not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _pump_output(stream: ConsoleSession) -> None:
    with contextlib.suppress(Exception):  # the stream is cancelled when input ends
        while (data := stream.read()) is not None:
            _write(data)


def _pump_input(stream: ConsoleSession, reader: threading.Thread) -> None:
    descriptor = sys.stdin.fileno()
    while reader.is_alive():
        ready, _, _ = select.select([descriptor], [], [], 0.2)
        if not ready:
            continue
        data = os.read(descriptor, 1024)
        head, is_leaving, _ = data.partition(LEAVE)
        if head:
            stream.write(head)
        if is_leaving or not data:
            reader.join(0.5 if is_leaving else 2.0)
            return
