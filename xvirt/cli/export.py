"""`export`: machines as they run, as a program of another tool, on standard output. Changes nothing."""

from __future__ import annotations

from typing import Any

import click

from xvirt.cli.failures import Failures
from xvirt.cli.session import Session, pass_session
from xvirt.cli.tables import clean
from xvirt.client.blocking import NodeClient
from xvirt.exports.pulumi import Exported, write_program
from xvirt.model.errors import NotFound
from xvirt.model.exchange import AdoptCall, DryRun, ForeignDomain, ObjectRef, ObjectView

MACHINE = "VirtualMachine"


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="NAME|DOMAIN|UUID...")
@click.option("--to", "form", required=True, type=click.Choice(["pulumi"]), help="What to write.")
@click.option("--profile", default="", help="Policy profile that foreign domains would be adopted under.")
@pass_session
def export(session: Session, /, words: tuple[str, ...], form: str, profile: str) -> None:
    """Write a Pulumi program in Python that takes over machines as they run.

    A word is a machine of the namespace, or a domain that nobody declares, by its name or UUID.
    """
    del form  # there is one so far
    failures = Failures()
    found: list[Exported] = []
    with session.connect_node("export") as place:
        client = place.client
        foreign = _Foreign(client)
        for word in dict.fromkeys(words):
            with failures.attempt():
                found.append(_find(session, client, foreign, word, profile))
    if found:
        click.echo(write_program(found), nl=False)
    failures.end()


class _Foreign:
    """Domains that nobody declares, asked for once and only where one is named."""

    def __init__(self, client: NodeClient) -> None:
        self._client = client
        self._found: list[ForeignDomain] | None = None

    def find(self, word: str) -> ForeignDomain | None:
        """By name or UUID."""
        if self._found is None:
            self._found = self._client.list_foreign()
        return next((item for item in self._found if word in (item.name, item.uuid)), None)


def _find(session: Session, client: NodeClient, foreign: _Foreign, word: str, profile: str) -> Exported:
    try:
        return _declared(client.get(ObjectRef(kind=MACHINE, namespace=session.namespace, name=word)))
    except NotFound:
        domain = foreign.find(word)
    if domain is None:
        raise NotFound(
            f"{clean(word)} is neither a machine of namespace {session.namespace} nor a domain that could be adopted;"
            " `xvirt get vm` and `xvirt get foreign` list them"
        )
    call = AdoptCall(domain_uuid=domain.uuid, namespace=session.namespace, dry_run=DryRun.PLAN, profile=profile)
    return Exported(document=_plain(client.adopt(call).object), adopt=domain.uuid)


def _declared(view: ObjectView) -> Exported:
    status = view.document.get("status") or {}
    is_off = (
        status.get("powerState") in ("Stopped", "Saved")
        and view.document["spec"].get("runStrategy", "Always") == "Always"
    )
    return Exported(
        document=_plain(view),
        adopt=str(status.get("uuid") or view.ref.uid),
        owner=view.ref.authority,
        is_stopped=is_off,
    )


def _plain(view: ObjectView) -> dict[str, Any]:
    document = {key: value for key, value in view.document.items() if key != "status"}
    metadata = {key: value for key, value in document["metadata"].items() if key not in ("uid", "generation")}
    return {**document, "metadata": metadata}
