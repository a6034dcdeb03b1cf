"""`import`: other systems' declarations as xVirt's, on standard output. Asks no node."""

from __future__ import annotations

from typing import Any

import click
import yaml

from xvirt.cli.exit_codes import GENERAL
from xvirt.cli.failures import note
from xvirt.cli.manifests import Sources, load_source
from xvirt.cli.tables import clean
from xvirt.imports.documents import read_documents
from xvirt.imports.result import Imported, Report
from xvirt.imports.terraform import is_state
from xvirt.model import limits
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.jsontext import read_json

STATE_ENDING = ".tfstate"


@click.command("import")
@click.argument("names", nargs=-1, required=True, metavar="FILE|DIR|-...")
@click.option(
    "--onto", "bases", multiple=True, metavar="FILE|DIR", help="xVirt's manifests that uni-virt's acts are played upon."
)
@click.option("-R", "--recursive", is_flag=True, help="With a folder: those below it too.")
@click.option("--strict", is_flag=True, help=f"End with {GENERAL} where anything did not come over.")
def import_documents(names: tuple[str, ...], bases: tuple[str, ...], recursive: bool, strict: bool) -> None:
    """Read KubeVirt or uni-virt documents or a Terraform state; print the manifests that mean the same.

    What does not come over, and what comes over with another meaning, is told on standard error, by path.
    """
    sources = Sources(names, recursive)
    documents = [document for name in dict.fromkeys(names) for document in _load(name, sources)]
    onto = [item.document for name in bases for item in load_source(name, Sources(bases, recursive))]
    imported = read_documents(documents, onto)
    click.echo(_text(imported), nl=False)
    for report in imported.reports:
        _tell(report)
    if strict and not imported.is_complete:
        raise click.exceptions.Exit(GENERAL)


def _load(name: str, sources: Sources) -> list[dict[str, Any]]:
    if not name.endswith(STATE_ENDING):
        return [item.document for item in load_source(name, sources)]
    try:
        with open(name, "rb") as handle:
            data = handle.read(limits.STREAM_MAX_BYTES + 1)
    except OSError as error:
        raise InvalidSpec([Problem(name, f"cannot be read: {error.strerror or error}")]) from error
    if len(data) > limits.STREAM_MAX_BYTES:
        raise InvalidSpec(
            [Problem(name, f"is larger than {limits.STREAM_MAX_BYTES} bytes", "import one workspace at a time")]
        )
    try:
        state = read_json(data)
    except ValueError as error:
        raise InvalidSpec([Problem(name, f"is no JSON: {error}")]) from error
    if not isinstance(state, dict) or not is_state(state):
        raise InvalidSpec([Problem(name, "is no Terraform state", "give what `terraform state pull` prints")])
    return [state]


def _text(imported: Imported) -> str:
    if not imported.documents:
        return ""
    return str(
        yaml.safe_dump_all(
            imported.documents,
            sort_keys=False,
            default_flow_style=False,
            allow_unicode=True,
            width=10_000,
            explicit_start=True,
        )
    )


def _tell(report: Report) -> None:
    for title, problems in (("not taken over", report.unmapped), ("not quite the same", report.notes)):
        for problem in problems:
            note(f"{clean(report.subject)}: {title}: {clean(str(problem))}")
    for command in report.acts:
        note(f"{clean(report.subject)}: an act, not a state: run `{clean(command)}`")
