"""`apply`, `diff`, `delete`: what is declared."""

from __future__ import annotations

import enum
import json
import time
from collections.abc import Callable
from typing import Any

import click

from xvirt.cli.failures import Failures, note
from xvirt.cli.manifests import Manifest, Sources, read_manifests
from xvirt.cli.place import Declared, Place, Verdict, Wish
from xvirt.cli.session import Selection, Session, choose_refs, pass_session
from xvirt.cli.tables import clean
from xvirt.cli.waiting import has_condition, wait_for
from xvirt.cli.words import WrongWords, complete_kinds, parse_duration, short_name
from xvirt.model.errors import NotFound
from xvirt.model.exchange import Impact, ObjectRef
from xvirt.model.kinds import BY_NAME, SECRET_KIND


class Dry(enum.Enum):
    """How far apply goes."""

    NONE = "none"
    CLIENT = "client"
    SERVER = "server"


_DIFFERENCES = {
    Verdict.CREATED: "is new",
    Verdict.CONFIGURED: "differs",
    Verdict.UNCHANGED: "is declared so; the node has yet to",
}


class Difference(enum.Enum):
    """What `diff` ends with 1 for: what would be declared anew, or also what the node has yet to do."""

    DECLARED = "declared"
    STEPS = "steps"


def _with_files(command: Callable[..., Any]) -> Callable[..., Any]:
    recursive = click.option("-R", "--recursive", is_flag=True, help="With a folder: those below it too.")
    files = click.option(
        "-f", "--filename", "names", multiple=True, metavar="FILE|DIR|-", help="File, folder, or - for standard input."
    )
    return files(recursive(command))


@click.command()
@_with_files
@click.option(
    "--dry-run",
    type=click.Choice([item.value for item in Dry]),
    is_flag=False,
    flag_value=Dry.CLIENT.value,
    default=Dry.NONE.value,
    help="client: check the documents. server: also ask the node for its plan.",
)
@click.option("--profile", default="", help="Policy profile to be judged by.")
@click.option("--force-conflicts", is_flag=True, help="In a cluster: take over fields that others have set, too.")
@click.option("--wait", "is_waiting", is_flag=True, help="Wait until everything is Ready.")
@click.option("--timeout", default="5m", show_default=True, help="With --wait: how long at most.")
@pass_session
def apply(
    session: Session,
    names: tuple[str, ...],
    recursive: bool,
    dry_run: str,
    profile: str,
    force_conflicts: bool,
    is_waiting: bool,
    timeout: str,
) -> None:
    """Declare what the files hold. A stream with a mistake in it changes nothing."""
    timeout_s = parse_duration(timeout)
    if profile and session.is_in_cluster:
        raise WrongWords("--profile is for a node: in a cluster it is the namespace's label xvirt.io/policy-profile")
    manifests = read_manifests(Sources(names, recursive), session.namespace, session.secrets_are)
    dry = Dry(dry_run)
    if dry is Dry.CLIENT:
        for manifest in manifests:
            click.echo(f"{short_name(manifest.ref)} is valid (dry run)")
        return
    failures = Failures()
    applied: list[ObjectRef] = []
    wish = Wish(is_dry=dry is Dry.SERVER, profile=profile, takes_over=force_conflicts, timeout_s=session.timeout_s)
    with session.connect() as place:
        for manifest in manifests:
            with failures.attempt():
                _apply(place, manifest, wish)
                applied += [manifest.ref] if manifest.kind != SECRET_KIND else []
        if is_waiting and dry is Dry.NONE:
            _wait_ready(place, applied, timeout_s, failures)
    failures.end()


def _apply(place: Place, manifest: Manifest, wish: Wish) -> None:
    declared = place.declare(manifest, wish)
    click.echo(f"{short_name(manifest.ref)} {declared.verdict.value}{' (server dry run)' if wish.is_dry else ''}")
    if wish.is_dry:
        _print_plan(declared)


def _wait_ready(place: Place, refs: list[ObjectRef], timeout_s: float, failures: Failures) -> None:
    deadline = time.monotonic() + timeout_s
    for ref in refs:
        with failures.attempt():
            wait_for(place, ref, lambda document: has_condition(document, "Ready", "True"), deadline)
            click.echo(f"{short_name(ref)} ready")


def _print_plan(declared: Declared) -> None:
    for change in declared.changes:
        arrow = f"{_value(change.old)} -> {_value(change.new)}"
        click.echo(f"  ~ {clean(change.path)}: {arrow}   [{change.impact.value}]")
    for step in declared.plan:
        cost = "" if step.impact is Impact.NONE else f"   [{step.impact.value}]"
        click.echo(f"  + {clean(step.summary)}{cost}")
    for reason in declared.waiting_for:
        click.echo(f"  ! {clean(reason)}")


def _value(value: Any) -> str:
    return "absent" if value is None else clean(json.dumps(value, ensure_ascii=False))


@click.command()
@_with_files
@click.option(
    "--exit-on",
    type=click.Choice([item.value for item in Difference]),
    default=Difference.DECLARED.value,
    show_default=True,
    help="What exit code 1 is for: documents that differ, or also steps that the node has yet to do.",
)
@pass_session
@click.pass_context
def diff(context: click.Context, session: Session, names: tuple[str, ...], recursive: bool, exit_on: str) -> None:
    """Show what apply would change and do, as the node plans it. Exit code 1 where there is a difference."""
    differs = False
    failures = Failures()
    manifests = read_manifests(Sources(names, recursive), session.namespace, session.secrets_are)
    with session.connect() as place:
        for manifest in manifests:
            with failures.attempt():
                is_new, has_steps = _show_difference(session, place, manifest)
                differs = differs or is_new or (has_steps and Difference(exit_on) is Difference.STEPS)
    failures.end()
    context.exit(1 if differs else 0)


def _show_difference(session: Session, place: Place, manifest: Manifest) -> tuple[bool, bool]:
    """Whether it is declared anew; whether the node has anything to do."""
    declared = place.declare(manifest, Wish(is_dry=True, timeout_s=session.timeout_s))
    is_new, has_steps = declared.verdict is not Verdict.UNCHANGED, bool(declared.plan)
    if is_new or has_steps:
        click.echo(f"{short_name(manifest.ref)} {_DIFFERENCES[declared.verdict]}")
        _print_plan(declared)
    return is_new, has_steps


@click.command()
@click.argument("words", nargs=-1, metavar="KIND NAME... | KIND/NAME...", shell_complete=complete_kinds)
@_with_files
@click.option("-l", "--selector", default="", help="Objects of a kind with these labels.")
@click.option("--all", "is_all", is_flag=True, help="All objects of a kind in the namespace.")
@click.option("--force", is_flag=True, help="Power machines off at once.")
@click.option("--wait/--no-wait", "is_waiting", default=True, help="Wait until they are gone.")
@click.option("--timeout", default="10m", show_default=True, help="How long to wait at most.")
@click.option("--ignore-not-found", is_flag=True, help="What is not there is no error.")
@pass_session
def delete(session: Session, /, words: tuple[str, ...], names: tuple[str, ...], timeout: str, **given: Any) -> None:
    """Delete objects: machines gracefully, data as their deletionPolicy says."""
    timeout_s = parse_duration(timeout)
    selection = Selection(given["selector"], given["is_all"])
    if names and (words or selection):
        raise click.UsageError("name objects or files, not both")
    failures = Failures()
    with session.connect() as place:
        if names:
            manifests = read_manifests(Sources(names, given["recursive"]), session.namespace, session.secrets_are)
            refs = [manifest.ref for manifest in reversed(manifests)]
        else:
            refs = choose_refs(session, place, words, selection)
            refs.sort(key=lambda ref: -BY_NAME[ref.kind].apply_order)
        if not refs:
            note("No objects found.")
        going = _ask_for_deletion(place, refs, failures, given)
        _wait_gone(place, going, timeout_s, failures, is_waiting=given["is_waiting"])
    failures.end()


def _ask_for_deletion(
    place: Place, refs: list[ObjectRef], failures: Failures, given: dict[str, Any]
) -> list[ObjectRef]:
    """All of them first: one that takes long keeps no other waiting."""
    going = []
    for ref in refs:
        with failures.attempt():
            try:
                place.delete(ref, force=given["force"])
            except NotFound:
                if not given["ignore_not_found"]:
                    raise
                note(f"{short_name(ref)} is not there")
                continue
            going.append(ref)
    return going


def _wait_gone(place: Place, refs: list[ObjectRef], timeout_s: float, failures: Failures, *, is_waiting: bool) -> None:
    deadline = time.monotonic() + timeout_s
    for ref in refs:
        with failures.attempt():
            if is_waiting:
                wait_for(place, ref, None, deadline)
            click.echo(f"{short_name(ref)} {'deleted' if is_waiting else 'is being deleted'}")
