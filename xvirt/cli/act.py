"""`start`, `stop` and their siblings, and `logs`: acts upon machines."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from typing import Any

import click

from xvirt.cli.failures import Failures, note
from xvirt.cli.place import Place
from xvirt.cli.session import Selection, Session, choose_refs, pass_session
from xvirt.cli.waiting import wait_for_operation
from xvirt.cli.words import WrongWords, parse_duration, parse_machine, short_name
from xvirt.client.blocking import NodeClient
from xvirt.model.errors import Forbidden
from xvirt.model.exchange import ObjectRef, OperateCall, Operation, Verb

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
_ENDING = frozenset({Verb.STOP, Verb.RESTART})


def make_verb(verb: Verb) -> click.Command:
    """The command of a verb."""

    @click.command(verb.value, help=_HELP[verb])
    @click.argument("words", nargs=-1, metavar="[vm] NAME...")
    @click.option("-l", "--selector", default="", help="Machines with these labels.")
    @click.option("--all", "is_all", is_flag=True, help="All machines of the namespace.")
    @click.option("--wait/--no-wait", "is_waiting", default=True, help="Wait until it is done.")
    @click.option("--timeout", default="10m", show_default=True, help="How long to wait at most.")
    @click.option(
        "--operation-id",
        default="",
        help="Your own name for the act, of one machine: asked again by it, nothing is done twice.",
    )
    @pass_session
    def command(session: Session, /, words: tuple[str, ...], timeout: str, **given: Any) -> None:
        timeout_s = parse_duration(timeout)
        selection = Selection(given["selector"], given["is_all"])
        failures = Failures()
        with session.connect() as place:
            refs = choose_refs(session, place, words, selection, "vm")
            for ref in refs:
                if ref.kind != "VirtualMachine":
                    raise WrongWords(f"{short_name(ref)}: {verb.value} is for machines only")
            if not refs:
                note("No machines found.")
            if given["operation_id"] and len(refs) != 1:
                raise WrongWords("--operation-id is of one machine")
            call = OperateCall(
                ref=ObjectRef(),
                verb=verb,
                operation_id=given["operation_id"],
                force=given.get("force", False),
                grace_period_s=given.get("grace_period"),
            )
            _operate(place, refs, call, timeout_s if given["is_waiting"] else None, failures)
        failures.end()

    if verb in _ENDING:
        command.params += [
            click.Option(["--force"], is_flag=True, help="Power off at once."),
            click.Option(["--grace-period"], type=click.IntRange(min=0), help="Seconds to shut down; then power off."),
        ]
    return command


def _operate(
    place: Place, refs: list[ObjectRef], call: OperateCall, timeout_s: float | None, failures: Failures
) -> None:
    """All are asked first, so that none waits for another; `timeout_s` None: without waiting for their end."""
    operations = []
    for ref in refs:
        with failures.attempt():
            asked = OperateCall(
                ref=ref,
                verb=call.verb,
                operation_id=call.operation_id or str(uuid.uuid4()),
                force=call.force,
                grace_period_s=call.grace_period_s,
            )
            operations.append((ref, place.operate(asked)))
    for ref, operation in operations:
        with failures.attempt():
            is_done = timeout_s is not None and _wait(place, operation, timeout_s)
            text = _DONE[call.verb] if is_done else f"{call.verb.value} was asked for"
            click.echo(f"{short_name(ref)} {text}")


def _wait(place: Place, operation: Operation, timeout_s: float) -> bool:
    """Whether it was seen to end: rights to act and to look are two, in a cluster."""
    try:
        wait_for_operation(place, operation, timeout_s)
    except Forbidden as error:
        note(f"warning: whether it is done cannot be seen: {error.message}")
        return False
    return True


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[vm] NAME")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--tail", type=click.IntRange(min=0), default=None, metavar="LINES", help="The last lines only.")
@pass_session
def logs(session: Session, words: tuple[str, ...], follow: bool, tail: int | None) -> None:
    """The boot log: what the serial console printed."""
    ref = parse_machine(session.namespace, words)
    with session.connect_node("logs") as place:
        client = place.client
        client.get(ref)  # a log that is not there yet is empty; a machine that is not there is an error
        is_empty = True
        for chunk in _log(client, ref, tail, follow=follow):
            is_empty = False
            write_bytes(chunk)
        if is_empty and tail != 0:
            note(f"{short_name(ref)} has printed nothing yet.")


def _log(client: NodeClient, ref: ObjectRef, tail: int | None, *, follow: bool) -> Iterator[bytes]:
    if tail is None:
        yield from client.console_log(ref, follow=follow)
        return
    whole = b"".join(client.console_log(ref))
    if tail:
        yield b"".join(whole.splitlines(keepends=True)[-tail:])
    if follow:
        # What was written between the two calls comes late rather than twice.
        chunks = client.console_log(ref, follow=True)
        seen = len(whole)
        for chunk in chunks:
            fresh, seen = chunk[seen:], max(0, seen - len(chunk))
            if fresh:
                yield fresh


def write_bytes(data: bytes) -> None:
    """To standard output as they are, at once."""
    if sys.stdout is not None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
