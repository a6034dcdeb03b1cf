"""Which system a document is of, and who reads it."""

from __future__ import annotations

import copy
import enum
from collections.abc import Iterable, Mapping
from typing import Any

from xvirt.imports.kubevirt.documents import is_kubevirt, read_kubevirt
from xvirt.imports.result import Document, Imported, Manifests
from xvirt.imports.terraform import is_state, read_state
from xvirt.imports.univirt.documents import is_univirt, read_univirt
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.kinds import SECRET_KIND


class System(enum.Enum):
    """Where documents come from."""

    KUBEVIRT = "kubevirt"
    UNIVIRT = "uni-virt"
    TERRAFORM = "terraform"


def find_system(document: Mapping[str, Any]) -> System | None:
    """The system that a document is of; None for a Secret, which stands beside others. Raises InvalidSpec for anything else."""
    if is_kubevirt(document):
        return System.KUBEVIRT
    if is_univirt(document):
        return System.UNIVIRT
    if is_state(document):
        return System.TERRAFORM
    if document.get("kind") == SECRET_KIND:
        return None
    version = document.get("apiVersion")
    raise InvalidSpec(
        [
            Problem(
                "apiVersion",
                f"{version!r} is of no system that is read",
                "give KubeVirt, CDI or uni-virt documents, or a Terraform state",
            )
        ],
        str(document.get("kind") or "the document"),
    )


def read_documents(documents: Iterable[Mapping[str, Any]], onto: Iterable[Document] = ()) -> Imported:
    """xVirt's documents for all of them, over `onto`: xVirt's documents that are there already. Raises InvalidSpec."""
    groups: dict[System | None, list[Mapping[str, Any]]] = {}
    for document in documents:
        system = find_system(document)
        _check_metadata(document)
        groups.setdefault(system, []).append(document)
    secrets = groups.pop(None, [])
    bases = list(onto)
    for document in bases:
        _check_metadata(document)
    before = copy.deepcopy(bases)  # acts change what they are played upon
    found = [read_univirt(groups.get(System.UNIVIRT, ()), bases)]
    found.append(read_kubevirt((*secrets, *groups.get(System.KUBEVIRT, ()))))
    found += [read_state(document) for document in groups.get(System.TERRAFORM, ())]
    return Imported(_join(found, before), tuple(report for part in found for report in part.reports))


def _check_metadata(document: Mapping[str, Any]) -> None:
    """Raises InvalidSpec where an object has no name to be read by. A state has none."""
    if is_state(document):
        return
    subject = str(document.get("kind") or "the document")
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping):
        raise InvalidSpec([Problem("metadata", "must be a map with a name")], subject)
    if not metadata.get("name") and not (is_kubevirt(document) and metadata.get("generateName")):
        raise InvalidSpec([Problem("metadata.name", "is missing")], subject)
    for key in ("name", "namespace"):
        if isinstance(metadata.get(key), Mapping | list):
            raise InvalidSpec([Problem(f"metadata.{key}", "must be text")], subject)


def _join(parts: Iterable[Imported], before: list[Document]) -> tuple[Document, ...]:
    """All documents; one that was there before and was not changed gives way. Raises InvalidSpec where two have one name."""
    read = [document for part in parts for document in part.documents]
    joined, fresh = Manifests(document for document in read if document in before), Manifests()
    for document in read:
        if document not in before:
            fresh.add(document)
    for document in fresh:
        joined.put(document)
    return tuple(joined)
