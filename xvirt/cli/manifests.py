"""Documents from files, folders and standard input, with the Secrets that they name."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from xvirt.model import limits
from xvirt.model.codec import parse, to_document
from xvirt.model.documents import LocatedDocument, load_documents
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.exchange import SecretContent
from xvirt.model.kinds import BY_NAME, SECRET_KIND
from xvirt.model.meta import Scope
from xvirt.model.secrets import parse_secret, secret_names, secret_namespace

_ENDINGS = (".yaml", ".yml", ".json")


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A valid document in its canonical form, and the Secrets to be sent beside it."""

    document: dict[str, Any]
    secrets: tuple[SecretContent, ...]

    @property
    def kind(self) -> str:
        kind: str = self.document["kind"]
        return kind


def read_manifests(sources: Iterable[str], namespace: str) -> list[Manifest]:
    """All documents, in the order in which they are to be applied. Raises InvalidSpec with everything that is wrong with any."""
    located = [item for source in sources for item in _load(source)]
    if not located:
        raise InvalidSpec([Problem("", "no document was found", "give -f FILE, a folder, or - for standard input")])
    secrets: dict[tuple[str, str], SecretContent] = {}
    found: list[tuple[dict[str, Any], tuple[str, ...], str]] = []
    problems: list[Problem] = []
    for item in located:
        try:
            document = _with_namespace(item.document, namespace)
            if document.get("kind") == SECRET_KIND:
                content = parse_secret(document)
                secrets[(secret_namespace(document), content.name)] = content
                continue
            resource = parse(document)
            found.append((to_document(resource), secret_names(resource), f"{item.source}:{item.line}"))
        except InvalidSpec as error:
            problems += [
                Problem(f"{item.source}:{item.line}: {problem.path}".rstrip(": "), problem.message, problem.remedy)
                for problem in error.problems
            ]
    if problems:
        raise InvalidSpec(problems)
    manifests = [_attach(document, names, secrets) for document, names, _ in found]
    return sorted(manifests, key=lambda manifest: BY_NAME[manifest.kind].apply_order)


def _attach(
    document: dict[str, Any], names: tuple[str, ...], secrets: dict[tuple[str, str], SecretContent]
) -> Manifest:
    namespace = document["metadata"].get("namespace", "")
    return Manifest(document, tuple(secrets[namespace, name] for name in names if (namespace, name) in secrets))


def _with_namespace(document: dict[str, Any], namespace: str) -> dict[str, Any]:
    kind = BY_NAME.get(str(document.get("kind")))
    metadata = document.get("metadata")
    is_cluster = kind is not None and kind.scope is Scope.CLUSTER
    if is_cluster or not isinstance(metadata, dict) or "namespace" in metadata:
        return document
    return {**document, "metadata": {**metadata, "namespace": namespace}}


def _load(source: str) -> list[LocatedDocument]:
    if source == "-":
        return load_documents(_bounded(sys.stdin.buffer.read(limits.STREAM_MAX_BYTES + 1), "stdin"), "stdin")
    path = Path(source)
    if path.is_dir():
        files = sorted(item for item in path.rglob("*") if item.suffix in _ENDINGS and item.is_file())
        return [item for file in files for item in _load(str(file))]
    try:
        with path.open("rb") as handle:
            data = handle.read(limits.STREAM_MAX_BYTES + 1)
    except OSError as error:
        raise InvalidSpec([Problem(source, f"cannot be read: {error.strerror}")]) from error
    return load_documents(_bounded(data, source), source)


def _bounded(data: bytes, source: str) -> str:
    if len(data) > limits.STREAM_MAX_BYTES:
        raise InvalidSpec([Problem(source, f"is larger than {limits.STREAM_MAX_BYTES} bytes", "split it")])
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidSpec([Problem(source, f"is not UTF-8: {error.reason} at byte {error.start}")]) from error
