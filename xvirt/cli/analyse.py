"""`analyse`: what a document uses, and what a libvirt accepts. Asks no node."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from lxml import etree

from xvirt.cli.convert import form_of, read_input
from xvirt.cli.tables import clean, table
from xvirt.cli.words import WrongWords
from xvirt.domainxml.analysis import Unknown, Use, find_unknown, overlay_uses, typed_uses
from xvirt.domainxml.schema import FILES, Element, read_schema
from xvirt.domainxml.schema_listing import to_markdown, to_values
from xvirt.domainxml.split import split_domain
from xvirt.domainxml.tree_documents import read_document
from xvirt.domainxml.xmltext import parse_xml
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.policy import PROFILES, HostPaths, Violation, check

SCHEMAS = "/usr/share/libvirt/schemas"
"""Where libvirt looks for them itself (`<datadir>/libvirt/schemas`)."""
_ROOTS = {
    "pool": "storagepool",
    "volume": "storagevol",
    "filter": "nwfilter",
    "device": "nodedev",
    "domainCapabilities": "domaincaps",
}
"""Root elements that are not called as their kind in `xvirt.domainxml.schema.FILES`."""


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What was found out about one document."""

    typed: tuple[Use, ...]
    overlay: tuple[Use, ...]
    refused: tuple[Violation, ...]
    unknown: tuple[Unknown, ...]
    notes: tuple[str, ...]


@click.command()
@click.argument("name", required=False, metavar="[FILE|-]")
@click.option(
    "--policy",
    "profile",
    type=click.Choice(PROFILES),
    default=PROFILES[0],
    show_default=True,
    help="Whose refusals to show.",
)
@click.option(
    "--schema", "kind", type=click.Choice(list(FILES)), help="Print what the installed libvirt accepts instead."
)
@click.option(
    "--schemas", "folder", default=SCHEMAS, show_default=True, metavar="DIR", help="Another libvirt's RELAX NG files."
)
@click.option(
    "-o", "--output", type=click.Choice(["text", "md", "json"]), help="text or json; with --schema md or json."
)
def analyse(name: str | None, profile: str, kind: str | None, folder: str, output: str | None) -> None:
    """Tell what one of libvirt's documents uses, in the words of a VirtualMachine.

    Which typed fields, what goes into the overlay `spec.domain` and what a change of each costs; what a policy profile refuses; what the
    libvirt that is installed here does not know. With --schema: every element and attribute that it does know.
    """
    if (name is None) is (kind is None):
        raise WrongWords("give FILE, or --schema KIND")
    if kind is not None:
        _show_schema(_schema(folder, kind), output or "md")
        return
    if output == "md":
        raise WrongWords("-o md is for --schema; use text or json")
    found = _analyse(_read(name or ""), profile, folder)
    click.echo(
        json.dumps(_values(found), indent=2, ensure_ascii=False) if output == "json" else _text(found, profile),
        nl=output == "json",
    )


def _read(source: str) -> etree._Element:
    try:
        data = read_input(source)
        return read_document(data, form_of(source, data))
    except OSError as error:
        raise InvalidSpec([Problem(source, f"cannot be read: {error.strerror or error}")]) from error
    except InvalidSpec as error:
        raise InvalidSpec(error.problems, source) from error


def _schema(folder: str, kind: str) -> Element:
    try:
        parsed = {
            path.name: parse_xml(path.read_bytes()) for path in sorted(Path(folder).iterdir()) if path.suffix == ".rng"
        }
        return read_schema(parsed, kind)
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise InvalidSpec([Problem(folder, message, "install libvirt, or give --schemas DIR")]) from error
    except ValueError as error:
        raise InvalidSpec([Problem(folder, str(error), "give --schemas DIR")]) from error


def _show_schema(schema: Element, output: str) -> None:
    if output == "text":
        raise WrongWords("-o text is for FILE; use md or json")
    click.echo(to_markdown(schema) if output == "md" else json.dumps(to_values(schema), indent=1), nl=output == "json")


def _analyse(root: etree._Element, profile: str, folder: str) -> Analysis:
    typed: tuple[Use, ...] = ()
    overlay: tuple[Use, ...] = ()
    notes: tuple[str, ...] = ()
    if root.tag == "domain":
        try:
            split = split_domain(root)
            typed, overlay, notes = typed_uses(split), overlay_uses(split), split.notes
        except InvalidSpec as error:
            notes = tuple(f"cannot be declared as a VirtualMachine: {problem}" for problem in error.problems)
    name = etree.QName(root).localname
    kind = _ROOTS.get(name, name)
    unknown: tuple[Unknown, ...] = ()
    if kind not in FILES:
        notes = (*notes, f"libvirt has no schema for <{name}>: this is a fragment, or none of its documents")
    elif not Path(folder).is_dir():
        notes = (*notes, f"{folder} is not there, so what libvirt does not know is not shown; give --schemas DIR")
    else:
        unknown = find_unknown(root, _schema(folder, kind))
    return Analysis(typed, overlay, check(root, profile, HostPaths()), unknown, notes)


def _text(found: Analysis, profile: str) -> str:
    refused = [(item.path, item.rule, _remedy(item)) for item in found.refused]
    unknown = [(item.path, f"line {item.line}" if item.line else "", item.message) for item in found.unknown]
    parts = [
        _section("Typed fields, and what a change of each takes", _rows(found.typed)) if found.typed else "",
        _section("Overlay", _rows(found.overlay)) if found.overlay else "",
        _section(f"Refused by the profile {profile}", refused),
        _section("Not known to this libvirt", unknown),
        _section("Notes", [(note,) for note in found.notes]) if found.notes else "",
    ]
    return "\n".join(part for part in parts if part)


def _rows(uses: Sequence[Use]) -> list[tuple[str, ...]]:
    return [(use.path, use.value, use.change.value) for use in uses]


def _remedy(item: Violation) -> str:
    return f"allowed by {item.allowed_by}" if item.allowed_by else item.remedy


def _section(title: str, rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return f"{title}:\n  nothing\n"
    return f"{title}:\n" + "".join(
        f"  {line}\n" for line in table([[clean(cell) for cell in row] for row in rows]).splitlines()
    )


def _values(found: Analysis) -> dict[str, Any]:
    def use(item: Use) -> dict[str, str]:
        return {"path": item.path, "value": item.value, "change": item.change.value}

    return {
        "typed": [use(item) for item in found.typed],
        "overlay": [use(item) for item in found.overlay],
        "refused": [dataclasses.asdict(item) for item in found.refused],
        "unknown": [dataclasses.asdict(item) for item in found.unknown],
        "notes": list(found.notes),
    }
