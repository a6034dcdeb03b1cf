"""`get`, `describe`, `wait`, `events`, `explain`: what is there."""

from __future__ import annotations

import time
from typing import Any

import click

from xvirt.cli.adopt import FOREIGN_WORDS, get_foreign
from xvirt.cli.description import describe_lines, event_rows
from xvirt.cli.failures import Failures, note
from xvirt.cli.orphans import ORPHAN_WORDS, get_orphans
from xvirt.cli.place import Place
from xvirt.cli.session import Selection, Session, choose_refs, list_kind, pass_session
from xvirt.cli.tables import as_list, kind_of, object_rows, table, to_json, to_yaml
from xvirt.cli.waiting import parse_condition, wait_for
from xvirt.cli.watching import Wanted, watch_for_ever, watch_objects
from xvirt.cli.words import HOST_KIND, WrongWords, complete_kinds, parse_duration, parse_kind, parse_refs, short_name
from xvirt.model.errors import NotFound
from xvirt.model.exchange import ObjectRef, ObjectView, WatchEvent
from xvirt.model.explain import Depth
from xvirt.model.explain import explain as explain_path
from xvirt.model.kinds import BY_NAME, KINDS, Kind

_ALL = "all"


@click.command()
@click.argument(
    "words",
    nargs=-1,
    required=True,
    metavar="KIND[,KIND...]|KIND/NAME|all|orphans|foreign [NAME...]",
    shell_complete=complete_kinds,
)
@click.option("-o", "--output", type=click.Choice(["wide", "yaml", "json", "name"]), default=None, help="How to print.")
@click.option("-w", "--watch", "is_watching", is_flag=True, help="Go on with what changes, until Ctrl-C.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("-l", "--selector", default="", help="Labels: a=b, a!=b, a, !a, a in (b,c), a notin (b,c).")
@click.option("--no-headers", is_flag=True, help="No heading.")
@pass_session
def get(session: Session, /, words: tuple[str, ...], all_namespaces: bool, is_watching: bool, **given: Any) -> None:
    """List objects, or print them whole; `get orphans`: what lies on the host undeclared; `get foreign`: domains to adopt."""
    if words[0].lower() in ORPHAN_WORDS:
        if len(words) > 1 or is_watching or given["selector"]:
            raise WrongWords("orphans are no objects: they have no names, labels and changes to select or watch by")
        get_orphans(session, "" if all_namespaces else session.namespace, given["output"], not given["no_headers"])
        return
    if words[0].lower() in FOREIGN_WORDS:
        if len(words) > 1 or is_watching or given["selector"] or all_namespaces:
            raise WrongWords("foreign domains are no objects: they have no names, labels and namespaces to select by")
        get_foreign(session, given["output"], not given["no_headers"])
        return
    is_named = "/" in words[0] or len(words) > 1
    refs = parse_refs(session.namespace, words) if is_named else []
    if is_named and (all_namespaces or given["selector"]):
        raise WrongWords("-A and -l go without names")
    kinds = tuple(dict.fromkeys(BY_NAME[ref.kind] for ref in refs)) or _kinds(words[0])
    wanted = Wanted(
        kinds=kinds,
        namespace="" if all_namespaces else session.namespace,
        names=frozenset((ref.kind, ref.name) for ref in refs),
        selector=given["selector"],
        output=given["output"],
        has_headings=not given["no_headers"],
    )
    if is_watching and not session.is_in_cluster and any(kind.name == HOST_KIND for kind in kinds):
        raise WrongWords("a node is not watched; `get hosts` shows what it is now")
    with session.connect() as place:
        if is_watching:
            for ref in refs:
                place.get(ref)
            watch_objects(place, wanted)
        failures = Failures()
        _print(_select(place, wanted, refs, failures), wanted)
        failures.end()


def _kinds(word: str) -> tuple[Kind, ...]:
    if word.lower() == _ALL:
        return tuple(kind for kind in KINDS if kind.name != HOST_KIND)
    return tuple(dict.fromkeys(parse_kind(part) for part in word.split(",") if part))


def _select(place: Place, wanted: Wanted, refs: list[ObjectRef], failures: Failures) -> list[ObjectView]:
    found: list[ObjectView] = []
    for ref in refs:
        with failures.attempt():
            found.append(place.get(ref))
    for kind in wanted.kinds if not refs else ():
        with failures.attempt():
            found += list_kind(place, kind, wanted.namespace, wanted.selector)
    return found


def _print(views: list[ObjectView], wanted: Wanted) -> None:
    if wanted.output == "name":
        for view in views:
            click.echo(short_name(view.ref))
    elif wanted.output in ("yaml", "json"):
        if wanted.names and not views:
            return
        value = views[0].document if len(wanted.names) == 1 else as_list(views)
        click.echo((to_yaml(value) if wanted.output == "yaml" else to_json(value)).rstrip())
    elif views:
        _print_tables(views, wanted)
    elif not wanted.names:
        place = f"in namespace {wanted.namespace}" if wanted.namespace else "in any namespace"
        note(f"No objects found {place}.")


def _print_tables(views: list[ObjectView], wanted: Wanted) -> None:
    kinds = list(dict.fromkeys(kind_of(view).name for view in views))
    for number, name in enumerate(kinds):
        rows = object_rows(
            BY_NAME[name],
            [view for view in views if view.ref.kind == name],
            is_wide=wanted.output == "wide",
            with_namespace=not wanted.namespace,
            with_kind=len(wanted.kinds) > 1,
        )
        if number:
            click.echo()
        click.echo(table(rows if wanted.has_headings else rows[1:]))


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="KIND NAME... | KIND/NAME...", shell_complete=complete_kinds)
@click.option("-l", "--selector", default="", help="Objects of a kind with these labels.")
@pass_session
def describe(session: Session, words: tuple[str, ...], selector: str) -> None:
    """Everything about an object: status, conditions, events, operations, what the guest says."""
    failures = Failures()
    with session.connect() as place:
        for number, ref in enumerate(_described(session, place, words, selector)):
            with failures.attempt():
                click.echo("\n".join([*(["", ""] if number else []), *describe_lines(place.describe(ref))]))
    failures.end()


def _described(session: Session, place: Place, words: tuple[str, ...], selector: str) -> list[ObjectRef]:
    """What is named; a kind alone means all of its objects, as for kubectl."""
    is_kind = len(words) == 1 and "/" not in words[0]
    refs = choose_refs(session, place, words, Selection(selector, is_all=is_kind))
    if not refs:
        note(f"No objects found in namespace {session.namespace}.")
    return refs


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="KIND NAME... | KIND/NAME...", shell_complete=complete_kinds)
@click.option(
    "--for",
    "wanted",
    required=True,
    help="condition=Ready, create, delete, or jsonpath={.status.powerState}=Running.",
)
@click.option("-l", "--selector", default="", help="Objects of a kind with these labels.")
@click.option("--all", "is_all", is_flag=True, help="All objects of a kind in the namespace.")
@click.option("--timeout", default="2m", show_default=True, help="How long at most, for all of them.")
@pass_session
def wait(session: Session, words: tuple[str, ...], wanted: str, selector: str, is_all: bool, timeout: str) -> None:
    """Wait until objects are as wanted."""
    predicate = parse_condition(wanted)
    deadline = time.monotonic() + parse_duration(timeout)
    failures = Failures()
    with session.connect() as place:
        refs = choose_refs(session, place, words, Selection(selector, is_all))
        if not refs:
            raise NotFound("no objects are there to wait for; look at the namespace and the labels")
        for ref in refs:
            with failures.attempt():
                wait_for(place, ref, predicate, deadline, may_appear=wanted == "create")
                click.echo(f"{short_name(ref)} {'deleted' if predicate is None else 'condition met'}")
    failures.end()


@click.command()
@click.argument("words", nargs=-1, metavar="[KIND NAME]", shell_complete=complete_kinds)
@click.option("--for", "subject", default="", metavar="KIND/NAME", help="As the words.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("-w", "--watch", "is_watching", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@pass_session
def events(session: Session, words: tuple[str, ...], subject: str, all_namespaces: bool, is_watching: bool) -> None:
    """What happened, oldest first."""
    named = (*words, subject) if subject else words
    refs = parse_refs(session.namespace, named) if named else []
    namespace = "" if refs or all_namespaces else session.namespace
    with session.connect() as place:
        asked: list[ObjectRef | None] = list(refs) or [None]
        found = [event for ref in asked for event in place.list_events(ref, namespace)]
        if found:
            click.echo(table(event_rows(found, with_object=True, with_namespace=all_namespaces)))
        elif not is_watching:
            subject = f"for {named[0]}" if len(named) == 1 else f"for {' '.join(named)}" if named else "yet"
            note(f"No events {subject}.")
        if is_watching:
            _watch_events(session, place, refs, all_namespaces=all_namespaces)


def _watch_events(session: Session, place: Place, refs: list[ObjectRef], *, all_namespaces: bool) -> None:
    names = {(ref.kind, ref.namespace, ref.name) for ref in refs}

    def show(message: WatchEvent | None) -> None:
        event = message.event if message is not None else None
        if event is None or (names and (event.ref.kind, event.ref.namespace, event.ref.name) not in names):
            return
        if names or all_namespaces or event.ref.namespace in ("", session.namespace):
            click.echo(table(event_rows([event], with_object=True, with_namespace=all_namespaces)[1:]))

    namespace = "" if names or all_namespaces else session.namespace
    watch_for_ever(lambda: place.watch_events(namespace), show)


@click.command()
@click.argument("path", metavar="KIND[.FIELD...]", shell_complete=complete_kinds)
@click.option("--recursive", is_flag=True, help="All fields below.")
def explain(path: str, recursive: bool) -> None:
    """Explain a kind or field: type, unit, default, what a change costs."""
    click.echo(explain_path([path], Depth.ALL if recursive else Depth.FIELDS).rstrip())
