"""`get`, `describe`, `wait`, `events`, `explain`: what is there."""

from __future__ import annotations

import click

from xvirt.cli.selector import matches
from xvirt.cli.session import Session, parse_kind, parse_refs, pass_session, short_name
from xvirt.cli.tables import as_list, kind_of, lookup, object_rows, table, to_json, to_yaml
from xvirt.cli.waiting import parse_condition, parse_duration, wait_for, watch_for_ever
from xvirt.client.blocking import NodeClient
from xvirt.model.exchange import Description, Event, ObjectRef, ObjectView, Token, WatchEvent, WatchType
from xvirt.model.explain import Depth
from xvirt.model.explain import explain as explain_path
from xvirt.model.kinds import BY_NAME, KINDS, Kind
from xvirt.model.meta import Scope

_HOST_WORDS = ("host", "hosts", "virtualhost", "virtualhosts", "vhost")


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="KIND[,KIND...]|KIND/NAME|all [NAME...]")
@click.option("-o", "--output", type=click.Choice(["wide", "yaml", "json", "name"]), default=None, help="How to print.")
@click.option("-w", "--watch", "is_watching", is_flag=True, help="Go on with what changes.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("-l", "--selector", default="", help="Labels: a=b, a!=b, a, !a, a in (b,c), a notin (b,c).")
@click.option("--no-headers", is_flag=True, help="No heading.")
@pass_session
def get(
    session: Session,
    words: tuple[str, ...],
    output: str | None,
    is_watching: bool,
    all_namespaces: bool,
    selector: str,
    no_headers: bool,
) -> None:
    """List objects, or print them whole."""
    namespace = "" if all_namespaces else session.namespace
    with session.connect() as client:
        if words[0].lower() in _HOST_WORDS:
            _print([_host(client)], output, with_namespace=False, no_headers=no_headers)
            return
        views = _select(session, client, words, namespace)
        views = [view for view in views if matches(selector, lookup(view.document, "metadata.labels") or {})]
        if not views and not is_watching and output in (None, "wide"):
            click.echo(f"No objects found in {namespace or 'any namespace'}.", err=True)
        else:
            _print(views, output, with_namespace=all_namespaces, no_headers=no_headers)
        if is_watching:
            _watch(client, words, namespace, output)


def _host(client: NodeClient) -> ObjectView:
    document = client.node_info().document
    name = document["metadata"]["name"]
    return ObjectView(ref=ObjectRef(kind="VirtualHost", name=name), document=document, token=Token())


def _kinds(word: str) -> list[Kind]:
    if word == "all":
        return [kind for kind in KINDS if kind.name != "VirtualHost"]
    return [parse_kind(part) for part in word.split(",")]


def _select(session: Session, client: NodeClient, words: tuple[str, ...], namespace: str) -> list[ObjectView]:
    if "/" in words[0] or len(words) > 1:
        return [client.get(ref) for ref in parse_refs(session, words)]
    found: list[ObjectView] = []
    for kind in _kinds(words[0]):
        found += client.list_objects(kind.name, "" if kind.scope is Scope.CLUSTER else namespace)
    return found


def _print(views: list[ObjectView], output: str | None, *, with_namespace: bool, no_headers: bool) -> None:
    if output == "name":
        for view in views:
            click.echo(short_name(view.ref))
        return
    if output in ("yaml", "json"):
        value = as_list(views)
        click.echo((to_yaml(value) if output == "yaml" else to_json(value)).rstrip())
        return
    kinds = list(dict.fromkeys(kind_of(view).name for view in views))
    for number, name in enumerate(kinds):
        rows = object_rows(
            BY_NAME[name],
            [view for view in views if view.ref.kind == name],
            is_wide=output == "wide",
            with_namespace=with_namespace,
            with_kind=len(kinds) > 1,
        )
        if number:
            click.echo()
        click.echo(table(rows[1:] if no_headers else rows))


def _watch(client: NodeClient, words: tuple[str, ...], namespace: str, output: str | None) -> None:
    names = {kind.name for kind in _kinds(words[0].partition("/")[0])}
    wanted = {word.partition("/")[2] or word for word in words[1:]} | ({words[0].partition("/")[2]} - {""})
    last: dict[str, str] = {}
    is_live = False

    def show(event: WatchEvent) -> None:
        nonlocal is_live
        is_live = is_live or event.type is WatchType.SYNCED
        view = event.object
        if view is None or view.ref.kind not in names or (wanted and view.ref.name not in wanted):
            return
        if event.type is WatchType.DELETED:
            click.echo(f"{short_name(view.ref)} deleted")
            return
        rows = object_rows(
            kind_of(view), [view], is_wide=output == "wide", with_namespace=not namespace, with_kind=len(names) > 1
        )
        text = "   ".join(rows[1])
        if is_live and last.get(view.ref.uid) != text:
            click.echo(text)
        last[view.ref.uid] = text

    watch_for_ever(client, next(iter(names)) if len(names) == 1 else "", namespace, show)


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="KIND NAME...")
@pass_session
def describe(session: Session, words: tuple[str, ...]) -> None:
    """Everything about an object: status, conditions, events, operations, what the guest says."""
    with session.connect() as client:
        for number, ref in enumerate(parse_refs(session, words)):
            if number:
                click.echo("\n---")
            click.echo("\n".join(_describe(client.describe(ref))))


def _describe(description: Description) -> list[str]:
    document = description.object.document
    lines = [f"{'Name:':<14}{document['metadata']['name']}", f"{'Kind:':<14}{document['kind']}"]
    for key in ("namespace", "uid", "generation", "labels"):
        if document["metadata"].get(key):
            lines.append(f"{key.capitalize() + ':':<14}{document['metadata'][key]}")
    status = dict(document.get("status") or {})
    conditions = status.pop("conditions", [])
    lines += ["Spec:", *_indent(to_yaml(document["spec"])), "Status:", *_indent(to_yaml(status))]
    if conditions:
        rows = [["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]]
        rows += [
            [item["type"], item["status"], item["reason"], item["lastTransitionTime"], item.get("message", "")]
            for item in conditions
        ]
        lines += ["Conditions:", *_indent(table(rows))]
    for part in description.parts:
        text = part.error or (part.value if isinstance(part.value, str) else to_yaml(part.value))
        lines += [f"{part.name}:", *_indent(text)]
    if description.operations:
        rows = [["VERB", "STATE", "STARTED", "FINISHED", "MESSAGE"]]
        rows += [[o.verb.value, o.state.value, o.started, o.finished, o.message] for o in description.operations]
        lines += ["Operations:", *_indent(table(rows))]
    if description.events:
        lines += ["Events:", *_indent(table(_event_rows(list(description.events), with_object=False)))]
    return lines


def _indent(text: str) -> list[str]:
    return ["  " + line for line in text.rstrip().splitlines()]


def _event_rows(events: list[Event], *, with_object: bool) -> list[list[str]]:
    rows = [["LAST SEEN", "COUNT", "TYPE", "REASON", *(["OBJECT"] if with_object else []), "MESSAGE"]]
    for item in events:
        subject = [short_name(item.ref)] if with_object else []
        rows.append([item.last_seen, str(item.count), item.type.value, item.reason, *subject, item.message])
    return rows


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="KIND NAME...")
@click.option(
    "--for", "wanted", required=True, help="condition=Ready, delete, or jsonpath={.status.powerState}=Running."
)
@click.option("--timeout", default="2m", show_default=True, help="How long at most.")
@pass_session
def wait(session: Session, words: tuple[str, ...], wanted: str, timeout: str) -> None:
    """Wait until objects are as wanted."""
    predicate = parse_condition(wanted)
    timeout_s = parse_duration(timeout)
    with session.connect() as client:
        for ref in parse_refs(session, words):
            wait_for(client, ref, predicate, timeout_s)
            click.echo(f"{short_name(ref)} {'deleted' if predicate is None else 'condition met'}")


@click.command()
@click.argument("words", nargs=-1, metavar="[KIND NAME]")
@click.option("-w", "--watch", "is_watching", is_flag=True, help="Go on with what happens.")
@pass_session
def events(session: Session, words: tuple[str, ...], is_watching: bool) -> None:
    """What happened, oldest first."""
    with session.connect() as client:
        refs = parse_refs(session, words) if words else [None]
        found = [event for ref in refs for event in client.list_events(ref)]
        if found:
            click.echo(table(_event_rows(found, with_object=True)))
        if not is_watching:
            return
        names = {short_name(ref) for ref in refs if ref is not None}

        def show(message: WatchEvent) -> None:
            event = message.event
            if event is not None and (not names or short_name(event.ref) in names):
                click.echo("   ".join(_event_rows([event], with_object=True)[1]))

        watch_for_ever(client, "", "", show)


@click.command()
@click.argument("path", metavar="KIND[.FIELD...]")
@click.option("--recursive", is_flag=True, help="All fields below.")
def explain(path: str, recursive: bool) -> None:
    """Explain a kind or field: type, unit, default, what a change costs."""
    click.echo(explain_path([path], Depth.ALL if recursive else Depth.FIELDS).rstrip())
