"""Documents from files, folders and standard input, with the Secrets that they name."""

from __future__ import annotations

import dataclasses
import enum
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xvirt.cli.failures import note
from xvirt.cli.words import WrongWords
from xvirt.model import limits
from xvirt.model.codec import parse, to_document
from xvirt.model.documents import LocatedDocument, load_documents
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.exchange import ObjectRef, SecretContent
from xvirt.model.kinds import BY_NAME, SECRET_KIND
from xvirt.model.meta import Scope
from xvirt.model.secrets import parse_secret, secret_names, secret_namespace

ENDINGS = (".json", ".yaml", ".yml")
_STDIN = "stdin"


@dataclasses.dataclass(frozen=True)
class Sources:
    """What `-f` names. Folders are read flat, as kubectl reads them, unless they are to be walked."""

    names: tuple[str, ...]
    is_recursive: bool = False


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A valid document in its canonical form, and the Secrets to be sent beside it."""

    document: dict[str, Any]
    secrets: tuple[SecretContent, ...]
    place: str
    """File and line where it began."""
    written: dict[str, Any]
    """As it was written, with its namespace."""

    @property
    def kind(self) -> str:
        kind: str = self.document["kind"]
        return kind

    @property
    def ref(self) -> ObjectRef:
        metadata = self.document["metadata"]
        return ObjectRef(kind=self.kind, namespace=metadata.get("namespace", ""), name=metadata["name"])


class SecretsAre(enum.Enum):
    """What becomes of Secret documents: a node is sent their content beside the machines that name them, a cluster keeps them as objects."""

    BESIDE = "beside"
    OBJECTS = "objects"


class _Collection:
    """Documents of all sources, judged one by one."""

    def __init__(self, namespace: str, secrets_are: SecretsAre) -> None:
        self._namespace = namespace
        self._secrets_are = secrets_are
        self._secrets: dict[tuple[str, str], tuple[SecretContent, str]] = {}
        self._found: dict[ObjectRef, tuple[Manifest, tuple[str, ...]]] = {}
        self.problems: list[Problem] = []

    def add(self, item: LocatedDocument) -> None:
        """Take one document in; what is wrong with it stands in `problems` with file and line."""
        place = f"{item.source}:{item.line}"
        try:
            self._add(_with_namespace(item.document, self._namespace), place)
        except InvalidSpec as error:
            self.problems += [
                Problem(f"{place}: {problem.path}".rstrip(": "), problem.message, problem.remedy)
                for problem in error.problems
            ]

    def _add(self, document: dict[str, Any], place: str) -> None:
        if document.get("kind") == SECRET_KIND:
            self._add_secret(document, place)
            return
        resource = parse(document)
        manifest = Manifest(to_document(resource), (), place, document)
        self._keep(manifest, secret_names(resource))

    def _add_secret(self, document: dict[str, Any], place: str) -> None:
        content = parse_secret(document)
        if self._secrets_are is SecretsAre.OBJECTS:
            self._keep(Manifest(document, (), place, document), ())
            return
        key = secret_namespace(document), content.name
        earlier = self._secrets.setdefault(key, (content, place))[1]
        _check_once(f"Secret {'/'.join(key)}", place, earlier)

    def _keep(self, manifest: Manifest, names: tuple[str, ...]) -> None:
        earlier = self._found.setdefault(manifest.ref, (manifest, names))[0].place
        _check_once(str(manifest.ref), manifest.place, earlier)

    def manifests(self) -> list[Manifest]:
        """In the order in which they are to be applied."""
        used: set[tuple[str, str]] = set()
        made = []
        for manifest, names in self._found.values():
            keys = [(manifest.ref.namespace, name) for name in names]
            present = [key for key in keys if key in self._secrets]
            used.update(present)
            made.append(dataclasses.replace(manifest, secrets=tuple(self._secrets[key][0] for key in present)))
        self._check_secrets(used, has_objects=bool(made))
        return sorted(made, key=_apply_order)

    def _check_secrets(self, used: set[tuple[str, str]], *, has_objects: bool) -> None:
        for key, (_, place) in self._secrets.items():
            if key in used:
                continue
            text = (
                f"Secret {'/'.join(key)} is named by no document beside it; a node stores a Secret with what names it"
            )
            if not has_objects:
                raise InvalidSpec([Problem(place, text, "apply both together")])
            note(f"warning: {place}: {text}")


def _apply_order(manifest: Manifest) -> int:
    return -1 if manifest.kind == SECRET_KIND else BY_NAME[manifest.kind].apply_order


def _check_once(name: str, place: str, earlier: str) -> None:
    if place != earlier:
        raise InvalidSpec([Problem("metadata.name", f"{name} is given twice", f"the other one begins at {earlier}")])


def read_manifests(sources: Sources, namespace: str, secrets_are: SecretsAre = SecretsAre.BESIDE) -> list[Manifest]:
    """All documents, in the order in which they are to be applied. Raises WrongWords where no source is named, and InvalidSpec
    with everything that is wrong with any document."""
    if not sources.names:
        raise WrongWords("no document is named; give -f FILE, a folder, or - for standard input")
    collection = _Collection(namespace, secrets_are)
    located = [item for name in dict.fromkeys(sources.names) for item in load_source(name, sources)]
    if not located:
        names = [_STDIN if name == "-" else name for name in sources.names]
        raise InvalidSpec([Problem(", ".join(names), "holds no document", "write one, or name another file")])
    for item in located:
        collection.add(item)
    if collection.problems:
        raise InvalidSpec(collection.problems)
    return collection.manifests()


def _with_namespace(document: dict[str, Any], namespace: str) -> dict[str, Any]:
    kind = BY_NAME.get(str(document.get("kind")))
    metadata = document.get("metadata")
    is_cluster = kind is not None and kind.scope is Scope.CLUSTER
    if is_cluster or not isinstance(metadata, dict) or "namespace" in metadata:
        return document
    return {**document, "metadata": {**metadata, "namespace": namespace}}


def load_source(name: str, sources: Sources) -> list[LocatedDocument]:
    """Documents of whatever kind in a file, a folder, or standard input (`-`). Raises InvalidSpec with the file's name."""
    if name == "-":
        if sys.stdin is None:
            raise InvalidSpec([Problem(_STDIN, "is closed", "give -f FILE")])
        return _parse(sys.stdin.buffer.read(limits.STREAM_MAX_BYTES + 1), _STDIN)
    try:
        if not os.path.isdir(name):
            return _read(name)
        files = sorted(_walk(name, is_recursive=sources.is_recursive))
        if not files:
            hint = "name a file, or -R for the folders below" if not sources.is_recursive else "name a file"
            raise InvalidSpec([Problem(name, f"holds no file that ends with {', '.join(ENDINGS)}", hint)])
        return [item for file in files for item in _read(file)]
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise InvalidSpec([Problem(error.filename or name, message, _hint(name))]) from error


def _hint(name: str) -> str:
    return f"write `curl -fsS URL | xvirt apply -f -` for {name}" if "://" in name else ""


def _walk(folder: str, *, is_recursive: bool) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, is_recursive=True) if is_recursive else ()
            elif entry.name.endswith(ENDINGS) and entry.is_file():
                yield entry.path


def _read(name: str) -> list[LocatedDocument]:
    with Path(name).open("rb") as handle:
        return _parse(handle.read(limits.STREAM_MAX_BYTES + 1), name)


def _parse(data: bytes, source: str) -> list[LocatedDocument]:
    if len(data) > limits.STREAM_MAX_BYTES:
        raise InvalidSpec([Problem(source, f"is larger than {limits.STREAM_MAX_BYTES} bytes", "split it")])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text: {error.reason} at byte {error.start}"
        raise InvalidSpec([Problem(source, message, "name a file of YAML or JSON")]) from error
    return load_documents(text, source)
