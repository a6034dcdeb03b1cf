"""The row of a rule table: what one element may hold, and how rows are written."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from xvirt.policy.predicates import Predicate, blank


@dataclasses.dataclass(frozen=True)
class Allowed:
    """One element: its attributes and its text, each with the predicate that it must meet."""

    attributes: Mapping[str, Predicate]
    text: Predicate = blank


Table = Mapping[str, Allowed]
"""Element path below the root of a document -> what it may hold; the root itself is the empty path."""


def element(text: Predicate = blank, **attributes: Predicate) -> Allowed:
    """An element with its text and attributes."""
    return Allowed(attributes, text)


def settings(names: str, predicate: Predicate) -> Allowed:
    """An element without text whose attributes all hold the same; `names` is parted by blanks."""
    return Allowed(dict.fromkeys(names.split(), predicate))


def below(parent: str, rows: Table) -> dict[str, Allowed]:
    """The rows with their paths put below a parent; a row of the empty path is the parent itself."""
    return {f"{parent}/{path}" if path else parent: allowed for path, allowed in rows.items()}


def leaves(names: str, allowed: Allowed) -> dict[str, Allowed]:
    """Several elements that hold the same; `names` is parted by blanks."""
    return dict.fromkeys(names.split(), allowed)
