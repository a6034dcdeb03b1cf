"""An object in words: what `describe` and `events` print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xvirt.cli.tables import clean, table, to_yaml
from xvirt.cli.words import plain_name
from xvirt.model.exchange import Description, Event, Operation


def describe_lines(description: Description) -> list[str]:
    """All that is known of an object."""
    document = description.object.document
    status = dict(document.get("status") or {})
    conditions = status.pop("conditions", [])
    lines = [*_heading(document), "Spec:", *_indent(to_yaml(document["spec"])), "Status:", *_indent(to_yaml(status))]
    if conditions:
        rows = [["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]]
        rows += [
            [item["type"], item["status"], item["reason"], item["lastTransitionTime"], item.get("message", "")]
            for item in conditions
        ]
        lines += ["Conditions:", *_indent(table(rows))]
    for part in description.parts:
        text = clean(part.error) or (part.value if isinstance(part.value, str) else to_yaml(part.value))
        lines += [f"{_title(part.name)}:", *(clean(line) for line in _indent(text))]
    if description.operations:
        rows = [["VERB", "STATE", "STARTED", "FINISHED", "ID", "REASON", "CODE", "MESSAGE"]]
        rows += [_operation_row(item) for item in description.operations]
        lines += ["Operations:", *_indent(table(rows))]
    if description.events:
        return [*lines, "Events:", *_indent(table(event_rows(description.events)))]
    return [*lines, "Events: none"]


def _operation_row(item: Operation) -> list[str]:
    """With the caller's id, and libvirt's number of the error that it failed with."""
    code = str(item.libvirt_code) if item.libvirt_code else "-"
    cells = [item.verb.value, item.state.value, item.started, item.finished, clean(item.id), item.reason]
    return [*(cell or "-" for cell in cells), code, item.message]


def _heading(document: Any) -> list[str]:
    metadata = document["metadata"]
    named: list[tuple[str, list[str]]] = [
        ("Name", [metadata["name"]]),
        ("Kind", [document["kind"]]),
        ("Namespace", [metadata.get("namespace", "")]),
        ("UID", [metadata.get("uid", "")]),
        ("Generation", [str(metadata.get("generation", ""))]),
        ("Labels", [f"{key}={value}" for key, value in (metadata.get("labels") or {}).items()]),
        ("Annotations", [f"{key}={value}" for key, value in (metadata.get("annotations") or {}).items()]),
    ]
    lines = []
    for title, values in named:
        for number, value in enumerate(values):
            if value:
                lines.append(f"{title + ':' if not number else '':<14}{clean(value)}")
    return lines


def _title(name: str) -> str:
    """`domain-xml` as `Domain XML`."""
    words = name.split("-")
    return " ".join(["XML" if word == "xml" else word for word in [words[0].capitalize(), *words[1:]]])


def _indent(text: str) -> list[str]:
    return ["  " + line for line in text.rstrip().splitlines()]


def event_rows(events: Sequence[Event], *, with_object: bool = False, with_namespace: bool = False) -> list[list[str]]:
    """Heading and one row for each event."""
    namespace = ["NAMESPACE"] if with_namespace else []
    rows = [[*namespace, "LAST SEEN", "COUNT", "TYPE", "REASON", *(["OBJECT"] if with_object else []), "MESSAGE"]]
    for item in events:
        place = [item.ref.namespace or "-"] if with_namespace else []
        subject = [plain_name(item.ref)] if with_object else []
        rows.append([*place, item.last_seen, str(item.count), item.type.value, item.reason, *subject, item.message])
    return rows
