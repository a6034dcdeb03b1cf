"""`adopt`, `release`, `get foreign`: domains that were there before xVirt, taken over and given back as they are."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Sequence
from typing import Any

import click

from xvirt.cli.failures import Failures, note
from xvirt.cli.listing import Listing, print_listing
from xvirt.cli.manifests import Manifest, Sources, read_manifests
from xvirt.cli.node_place import NodePlace
from xvirt.cli.session import Selection, Session, choose_refs, pass_session
from xvirt.cli.tables import clean, to_yaml
from xvirt.cli.waiting import wait_for
from xvirt.cli.words import WrongWords, check_name, parse_duration, short_name
from xvirt.client.blocking import NodeClient
from xvirt.model.codec import parse
from xvirt.model.concise import concise_document
from xvirt.model.errors import InvalidSpec, NotFound, Problem
from xvirt.model.exchange import AdoptCall, ApplyCall, ApplyResult, DryRun, ForeignDomain, ObjectRef
from xvirt.model.secrets import secret_names
from xvirt.model.virtualmachine import MachineDeletionPolicy

FOREIGN_WORDS = frozenset({"foreign"})
_NAMED = "name domains, or give --all, perhaps with --filter"


@click.command()
@click.argument("words", nargs=-1, metavar="[DOMAIN|UUID]...")
@click.option("--all", "is_all", is_flag=True, help="All domains that nobody declares.")
@click.option("--filter", "pattern", default="", help="With --all: those whose names match, such as 'web-*'.")
@click.option("--as", "name", default="", metavar="NAME", help="What the object is called; for one domain.")
@click.option(
    "-f",
    "--filename",
    "document",
    default="",
    metavar="FILE|-",
    help="Document to take it over by, with its Secrets; for one domain.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be declared, and change nothing.")
@click.option("--profile", default="", help="Policy profile; absent: the best that you are granted.")
@pass_session
def adopt(session: Session, /, words: tuple[str, ...], is_all: bool, pattern: str, **given: Any) -> None:
    """Declare domains that are there, as they are: only xVirt's mark is written, nothing restarts.

    What would not stay as it is, is refused. An adopted machine keeps its name and UUID, and deleting its object leaves the domain.
    """
    if bool(words) == is_all or (pattern and not is_all):
        raise WrongWords(_NAMED)
    if (given["name"] or given["document"]) and len(words) != 1:
        raise WrongWords("--as and -f are for one domain")
    failures = Failures()
    with session.connect_node("adopt") as place:
        chosen = _choose(place.client.list_foreign(), words, pattern, failures)
        if is_all and not chosen:
            note("No foreign domains found.")
        for domain in chosen:
            with failures.attempt():
                _adopt(session, place.client, domain, given)
    failures.end()


def _choose(
    found: Sequence[ForeignDomain], words: tuple[str, ...], pattern: str, failures: Failures
) -> list[ForeignDomain]:
    if not words:
        return [item for item in found if not pattern or fnmatch.fnmatchcase(item.name, pattern)]
    chosen = []
    for word in words:
        with failures.attempt():
            item = next((item for item in found if word in (item.name, item.uuid)), None)
            if item is None:
                raise NotFound(f"{clean(word)} is no domain that could be adopted; `xvirt get foreign` lists them")
            chosen.append(item)
    return chosen


def _adopt(session: Session, client: NodeClient, domain: ForeignDomain, given: dict[str, Any]) -> None:
    manifest = _read_document(given["document"], session.namespace) if given["document"] else None
    call = AdoptCall(
        domain_uuid=domain.uuid,
        document=manifest.document if manifest else None,
        secrets=manifest.secrets if manifest else (),
        namespace=session.namespace,
        name=check_name(given["name"], "--as") if given["name"] else "",
        dry_run=DryRun.PLAN if given["dry_run"] else DryRun.NONE,
        profile=given["profile"],
    )
    result = client.adopt(call)
    if given["dry_run"]:
        click.echo(f"---\n{to_yaml(_declared(result)).rstrip()}")
        note(
            f"{clean(domain.name)}: stays as it is: {', '.join(step.summary for step in result.plan) or 'nothing to do'}"
        )
        return
    click.echo(f"{short_name(result.object.ref)} adopted from domain {clean(domain.name)}")


def _declared(result: ApplyResult) -> dict[str, Any]:
    document = dict(result.object.document)
    document.pop("status", None)
    document["metadata"] = {
        key: value for key, value in document["metadata"].items() if key not in ("uid", "generation")
    }
    return concise_document(parse(document))


def _read_document(name: str, namespace: str) -> Manifest:
    """A machine's document, with the Secrets that it names beside it in the file."""
    manifests = read_manifests(Sources((name,)), namespace)
    if len(manifests) != 1:
        raise InvalidSpec([Problem(name, f"holds {len(manifests)} documents", "give the one of the domain")])
    return manifests[0]


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[vm] NAME...")
@click.option("--timeout", default="1m", show_default=True, help="How long to wait at most.")
@pass_session
def release(session: Session, /, words: tuple[str, ...], timeout: str) -> None:
    """Give machines back: their objects go, their domains stay as they are, without xVirt's mark."""
    timeout_s = parse_duration(timeout)
    failures = Failures()
    with session.connect_node("release") as place:
        for ref in choose_refs(session, place, words, Selection(), "vm"):
            if ref.kind != "VirtualMachine":
                raise WrongWords(f"{short_name(ref)}: release is for machines only")
            with failures.attempt():
                _release(session, place, ref, time.monotonic() + timeout_s)
    failures.end()


def _release(session: Session, place: NodePlace, ref: ObjectRef, deadline: float) -> None:
    client = place.client
    view = client.get(ref)
    document = {
        **view.document,
        "spec": {**view.document["spec"], "deletionPolicy": MachineDeletionPolicy.DETACH.value},
    }
    if document["spec"] != view.document["spec"]:
        _check_has_no_secrets(document)
        client.apply(ApplyCall(document=document, token=view.token), session.timeout_s)
    client.delete(ref)
    wait_for(place, ref, None, deadline)
    domain = (view.document.get("status") or {}).get("domainName") or ref.name
    click.echo(f"{short_name(ref)} released; domain {clean(domain)} stays as it is")


def _check_has_no_secrets(document: dict[str, Any]) -> None:
    """An Apply brings the Secrets too, and a node tells nobody what they hold."""
    names = secret_names(parse(document))
    if names:
        hint = f"apply it once with deletionPolicy: Detach and with Secret {', '.join(names)}, then release it"
        raise InvalidSpec([Problem("spec.deletionPolicy", "must be Detach", hint)])


def get_foreign(session: Session, output: str | None, has_headings: bool) -> None:
    """Print the domains that nobody declares."""
    with session.connect_node("get foreign") as place:
        found = place.client.list_foreign()
    listing = Listing(
        kind="ForeignDomainList",
        items=[_as_document(item) for item in found],
        names=[clean(item.name) for item in found],
        rows=lambda is_wide: _rows(found, is_wide=is_wide),
        nothing="No foreign domains found.",
    )
    print_listing(listing, output, has_headings)


def _rows(found: Sequence[ForeignDomain], *, is_wide: bool) -> list[list[str]]:
    rows = [["DOMAIN", "STATE", "UUID", "AS", *(["OBSTACLE"] if is_wide else [])]]
    for item in found:
        cells = [item.name, item.power_state, item.uuid, item.object_name if not item.obstacle or is_wide else "-"]
        rows.append([clean(cell) or "-" for cell in (*cells, *([item.obstacle] if is_wide else []))])
    return rows


def _as_document(item: ForeignDomain) -> dict[str, Any]:
    return {
        "name": item.name,
        "uuid": item.uuid,
        "powerState": item.power_state,
        "objectName": item.object_name,
        "obstacle": item.obstacle,
    }
