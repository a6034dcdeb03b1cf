"""What `get` prints of things that are no objects: orphans, foreign domains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import click

from xvirt import API_VERSION
from xvirt.cli.failures import note
from xvirt.cli.tables import table, to_json, to_yaml


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listing:
    """What was found, in each of its forms; `rows` begin with a heading, `nothing` is said where nothing was found."""

    kind: str
    items: list[dict[str, Any]]
    names: list[str]
    rows: Callable[[bool], list[list[str]]]
    """Narrow ones, or wide ones."""
    nothing: str


def print_listing(listing: Listing, output: str | None, has_headings: bool) -> None:
    """Print as `get -o` says (None: a table)."""
    if output in ("yaml", "json"):
        value = {"apiVersion": API_VERSION, "kind": listing.kind, "items": listing.items}
        click.echo((to_yaml(value) if output == "yaml" else to_json(value)).rstrip())
    elif output == "name":
        for name in listing.names:
            click.echo(name)
    elif listing.items:
        rows = listing.rows(output == "wide")
        click.echo(table(rows if has_headings else rows[1:]))
    else:
        note(listing.nothing)
