"""What an import yields: xVirt's documents, and for each document read what did not come over."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from xvirt import API_VERSION
from xvirt.imports.source import Ledger
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.kinds import BY_NAME
from xvirt.model.meta import DEFAULT_NAMESPACE, Scope
from xvirt.model.names import to_label
from xvirt.model.validation import validate

__all__ = ["Document", "Imported", "Manifests", "Report", "make", "to_label"]

Document = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Report:
    """Of one document read: what did not come over, what came over with another meaning, and acts that no declaration holds."""

    subject: str
    unmapped: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    acts: tuple[str, ...] = ()
    """Command lines such as `xvirt restart vm web`."""

    @classmethod
    def of(cls, ledger: Ledger, acts: Iterable[str] = ()) -> Report:
        """Close a ledger."""
        ledger.close()
        return cls(ledger.subject, tuple(ledger.unmapped), tuple(sorted(set(ledger.notes))), tuple(acts))


@dataclasses.dataclass(frozen=True)
class Imported:
    """Documents in the order in which they are applied, and a report for each document that was read."""

    documents: tuple[Document, ...]
    reports: tuple[Report, ...]

    @property
    def is_complete(self) -> bool:
        """Whether all of it came over."""
        return not any(report.unmapped for report in self.reports)


class Manifests:
    """xVirt's documents while they are put together, one per kind, namespace and name."""

    def __init__(self, documents: Iterable[Document] = ()) -> None:
        self._documents: dict[tuple[str, str, str], Document] = {}
        self._origins: dict[tuple[str, str, str], str] = {}
        for document in documents:
            self._documents[_key_of(document)] = document

    def find(self, kind: str, namespace: str, name: str) -> Document | None:
        """The document of an object."""
        return self._documents.get(_key(kind, namespace, name))

    def put(self, document: Document) -> None:
        """Add a document, or take the place of the one of the same object."""
        self._documents[_key_of(document)] = document

    def add(self, document: Document, origin: str = "") -> None:
        """Add a document; the same one again, of the same origin, changes nothing.

        Raises InvalidSpec where another object has its name: one that says something else, or that was read from elsewhere.
        """
        key = _key_of(document)
        there = self._documents.get(key)
        if there is None:
            self._documents[key], self._origins[key] = document, origin
        elif _content_of(there) != _content_of(document) or self._origins.get(key, "") != origin:
            kind, name = document["kind"], document["metadata"]["name"]
            raise InvalidSpec(
                [
                    Problem(
                        "metadata.name", f"two different objects are called {name}", "rename one, or import them apart"
                    )
                ],
                f"{kind} {name}, as it would be declared",
            )

    def drop(self, kind: str, namespace: str, name: str) -> bool:
        """Take a document out; False where there was none."""
        return self._documents.pop(_key(kind, namespace, name), None) is not None

    def of_kind(self, kind: str) -> list[Document]:
        """All documents of a kind."""
        return [item for item in self._documents.values() if item["kind"] == kind]

    def __iter__(self) -> Iterator[Document]:
        return iter(sorted(self._documents.values(), key=_apply_order))

    def checked(self) -> tuple[Document, ...]:
        """All of them, valid. Raises InvalidSpec with the problems of the first that is not: what was read holds values that xVirt
        does not take."""
        documents = tuple(self)
        for document in documents:
            if document["kind"] not in BY_NAME:
                continue
            problems = validate(document)
            if problems:
                metadata = document["metadata"]
                raise InvalidSpec(problems, f"{document['kind']} {metadata['name']}, as it would be declared")
        return documents


def make(kind: str, name: str, spec: Document, namespace: str = DEFAULT_NAMESPACE) -> Document:
    """A document of xVirt's. A namespace that is the default one is not written."""
    metadata: Document = {"name": name}
    if namespace != DEFAULT_NAMESPACE and BY_NAME[kind].scope is Scope.NAMESPACED:
        metadata["namespace"] = namespace
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _key(kind: str, namespace: str, name: str) -> tuple[str, str, str]:
    is_cluster = kind in BY_NAME and BY_NAME[kind].scope is Scope.CLUSTER
    return kind, "" if is_cluster else namespace, name


def _key_of(document: Document) -> tuple[str, str, str]:
    metadata = document["metadata"]
    return _key(document["kind"], metadata.get("namespace", DEFAULT_NAMESPACE), metadata["name"])


def _content_of(document: Document) -> Document:
    return {key: value for key, value in document.items() if key != "metadata"}


def _apply_order(document: Document) -> tuple[int, str, str, str]:
    order = BY_NAME[document["kind"]].apply_order if document["kind"] in BY_NAME else 0
    return order, *_key_of(document)
