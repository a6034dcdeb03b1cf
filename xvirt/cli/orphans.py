"""`get orphans`: what lies on the host that is ours, and that nobody declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xvirt.cli.listing import Listing, print_listing
from xvirt.cli.session import Session
from xvirt.model.exchange import Orphan
from xvirt.model.quantity import ByteSize

ORPHAN_WORDS = frozenset({"orphan", "orphans"})


def get_orphans(session: Session, namespace: str, output: str | None, has_headings: bool) -> None:
    """Print those of a namespace (empty: of all) and those of none."""
    with session.connect_node("get orphans") as place:
        found = place.client.list_orphans(namespace)
    listing = Listing(
        kind="OrphanList",
        items=[as_document(item) for item in found],
        names=[f"{item.kind.value.lower()}/{item.name}" for item in found],
        rows=lambda is_wide: orphan_rows(found, is_wide=is_wide, with_namespace=not namespace),
        nothing=f"No orphans found in namespace {namespace}." if namespace else "No orphans found.",
    )
    print_listing(listing, output, has_headings)


def orphan_rows(found: Sequence[Orphan], *, is_wide: bool, with_namespace: bool) -> list[list[str]]:
    """Heading and one row for each."""
    heading = ["KIND", "NAME", "POOL", "SIZE", "REASON", "USED-BY"]
    wide = ["LOCATION", "WHY", "TAKE-BACK", "REMOVAL"] if is_wide else []
    rows = [[*(["NAMESPACE"] if with_namespace else []), *heading, *wide]]
    for item in found:
        cells = [item.kind.value, item.name, item.pool, str(ByteSize(item.size_bytes)), item.reason]
        cells.append(",".join(item.used_by))
        wide = [item.location, item.message, item.take_back, item.removal] if is_wide else []
        rows.append([cell or "-" for cell in (*([item.namespace] if with_namespace else []), *cells, *wide)])
    return rows


def as_document(item: Orphan) -> dict[str, Any]:
    """An orphan as JSON has it, in the words of documents."""
    return {
        "kind": item.kind.value,
        "namespace": item.namespace,
        "name": item.name,
        "location": item.location,
        "pool": item.pool,
        "size": str(ByteSize(item.size_bytes)),
        "reason": item.reason,
        "message": item.message,
        "takeBack": item.take_back,
        "removal": item.removal,
        "usedBy": list(item.used_by),
    }
