"""`apply`, `diff`, `delete`: what is declared."""

from __future__ import annotations

import json
from typing import Any

import click

from xvirt.cli.manifests import Manifest, read_manifests
from xvirt.cli.session import Session, note, parse_refs, pass_session, short_name
from xvirt.cli.waiting import has_condition, parse_duration, wait_for
from xvirt.client.blocking import NodeClient
from xvirt.model.errors import NotFound
from xvirt.model.exchange import ApplyCall, ApplyResult, DryRun, ObjectRef
from xvirt.model.kinds import BY_NAME

_files = click.option(
    "-f", "--filename", "filenames", multiple=True, metavar="FILE|DIR|-", help="File, folder, or - for standard input."
)


def _ref(manifest: Manifest) -> ObjectRef:
    metadata = manifest.document["metadata"]
    return ObjectRef(kind=manifest.kind, namespace=metadata.get("namespace", ""), name=metadata["name"])


def _find(client: NodeClient, ref: ObjectRef) -> Any:
    try:
        return client.get(ref).document
    except NotFound:
        return None


@click.command()
@_files
@click.option("--dry-run", type=click.Choice(["none", "server"]), default="none", help="server: plan, store nothing.")
@click.option("--profile", default="", help="Policy profile to be judged by.")
@click.option("--wait", "is_waiting", is_flag=True, help="Wait until everything is Ready.")
@click.option("--timeout", default="5m", show_default=True, help="With --wait: how long at most.")
@pass_session
def apply(
    session: Session, filenames: tuple[str, ...], dry_run: str, profile: str, is_waiting: bool, timeout: str
) -> None:
    """Declare what the files hold. A stream with a mistake in it changes nothing."""
    manifests = read_manifests(filenames, session.namespace)
    timeout_s = parse_duration(timeout)
    is_dry = dry_run == "server"
    with session.connect() as client:
        for manifest in manifests:
            before = _find(client, _ref(manifest))
            call = ApplyCall(
                document=manifest.document,
                secrets=manifest.secrets,
                dry_run=DryRun.PLAN if is_dry else DryRun.NONE,
                profile=profile,
            )
            result = client.apply(call, session.timeout_s)
            suffix = " (server dry run)" if is_dry else ""
            click.echo(f"{short_name(result.object.ref)} {_verb(before, result)}{suffix}")
            if is_dry:
                _print_plan(result)
        if is_waiting and not is_dry:
            for manifest in manifests:
                wait_for(client, _ref(manifest), lambda document: has_condition(document, "Ready", "True"), timeout_s)
                click.echo(f"{short_name(_ref(manifest))} ready")


def _verb(before: Any, result: ApplyResult) -> str:
    if before is None:
        return "created"
    is_same = before["metadata"].get("generation") == result.object.token.generation
    return "unchanged" if is_same else "configured"


def _print_plan(result: ApplyResult) -> None:
    for change in result.changes:
        click.echo(f"  ~ {change.path}: {_value(change.old)} -> {_value(change.new)}   [{change.impact.value}]")
    for step in result.plan:
        click.echo(f"  + {step.summary}   [{step.impact.value}]")
    for reason in result.waiting_for:
        click.echo(f"  ! {reason}")


def _value(value: Any) -> str:
    return "absent" if value is None else json.dumps(value, ensure_ascii=False)


@click.command()
@_files
@pass_session
@click.pass_context
def diff(context: click.Context, session: Session, filenames: tuple[str, ...]) -> None:
    """Show what apply would change and do, as the node plans it. Exit code 1 where there is a difference."""
    differs = False
    with session.connect() as client:
        for manifest in read_manifests(filenames, session.namespace):
            before = _find(client, _ref(manifest))
            call = ApplyCall(document=manifest.document, secrets=manifest.secrets, dry_run=DryRun.PLAN)
            result = client.apply(call, session.timeout_s)
            if before is not None and not result.changes and not result.plan:
                continue
            differs = True
            click.echo(f"{short_name(_ref(manifest))} {'is new' if before is None else 'differs'}")
            _print_plan(result)
    context.exit(1 if differs else 0)


@click.command()
@click.argument("words", nargs=-1, metavar="KIND NAME...")
@_files
@click.option("--force", is_flag=True, help="Power machines off at once.")
@click.option("--wait/--no-wait", "is_waiting", default=True, help="Wait until they are gone.")
@click.option("--timeout", default="10m", show_default=True, help="How long to wait at most.")
@click.option("--ignore-not-found", is_flag=True, help="What is not there is no error.")
@pass_session
def delete(
    session: Session,
    words: tuple[str, ...],
    filenames: tuple[str, ...],
    force: bool,
    is_waiting: bool,
    timeout: str,
    ignore_not_found: bool,
) -> None:
    """Delete objects: machines gracefully, data as their deletionPolicy says."""
    timeout_s = parse_duration(timeout)
    refs = parse_refs(session, words) if words or not filenames else []
    if filenames:
        manifests = read_manifests(filenames, session.namespace)
        ordered = sorted(manifests, key=lambda manifest: -BY_NAME[manifest.kind].apply_order)
        refs += [_ref(manifest) for manifest in ordered]
    with session.connect() as client:
        for ref in refs:
            try:
                client.delete(ref, force=force)
            except NotFound:
                if not ignore_not_found:
                    raise
                note(f"{short_name(ref)} is not there")
                continue
            if is_waiting:
                wait_for(client, ref, None, timeout_s)
            click.echo(f"{short_name(ref)} {'deleted' if is_waiting else 'is being deleted'}")
