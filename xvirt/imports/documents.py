"""Which system a document is of, and who reads it."""

from __future__ import annotations

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
        groups.setdefault(find_system(document), []).append(document)
    secrets = groups.pop(None, [])
    manifests = Manifests(onto)
    found = [read_univirt(groups.get(System.UNIVIRT, ()), manifests)]
    found.append(read_kubevirt((*secrets, *groups.get(System.KUBEVIRT, ()))))
    found += [read_state(document) for document in groups.get(System.TERRAFORM, ())]
    joined = Manifests(document for part in found for document in part.documents)
    return Imported(tuple(joined), tuple(report for part in found for report in part.reports))
