"""Text to documents: YAML or JSON, several in a stream, within the limits of `xvirt.model.limits`.

Scalars are typed as YAML 1.2's core schema does, and no further: `yes`, `0744`, `52:54:00:00:00:00` and dates stay the text that
was written, because YAML 1.1's reading of them (a boolean, octal, base 60, a date) changes values without a word.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import yaml

from xvirt.model import limits
from xvirt.model.errors import InvalidSpec, Problem


@dataclasses.dataclass(frozen=True)
class LocatedDocument:
    """A document and where it began (`line` counts from 1)."""

    document: dict[str, Any]
    source: str
    line: int


class _Loader(yaml.SafeLoader):
    """Counts aliases and refuses duplicate keys, before anything is expanded."""

    yaml_implicit_resolvers = {}  # noqa: RUF012

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > limits.YAML_MAX_ALIASES:
                mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
                raise _refuse(mark, f"has more than {limits.YAML_MAX_ALIASES} aliases")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refuse(key.start_mark, "a key must be a string")
            if key.value in seen:
                raise _refuse(key.start_mark, f"key {key.value[:80]!r} is given twice")
            seen.add(key.value)
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}


def _refuse(mark: Any, message: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=message, problem_mark=mark)


def _construct_map(loader: _Loader, node: Any) -> dict[Any, Any]:
    return loader.construct_mapping(node)


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(0|[1-9][0-9]{0,30})", "-+0123456789"),
    ("float", r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def load_documents(text: str, source: str) -> list[LocatedDocument]:
    """All documents of a stream; `kind: List` is taken apart. Raises InvalidSpec with source and line."""
    if len(text.encode(errors="surrogatepass")) > limits.STREAM_MAX_BYTES:
        raise InvalidSpec([Problem("", f"is larger than {limits.STREAM_MAX_BYTES} bytes", "split it")], source)
    try:
        found = _load(text, source)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise InvalidSpec([Problem("", error.problem or "is not YAML")], f"{source}:{line}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidSpec([Problem("", f"is not YAML: {error}")], source) from error
    if len(found) > limits.STREAM_MAX_DOCUMENTS:
        raise InvalidSpec([Problem("", f"has more than {limits.STREAM_MAX_DOCUMENTS} documents", "split it")], source)
    return found


def _load(text: str, source: str) -> list[LocatedDocument]:
    loader = _Loader(text)
    found: list[LocatedDocument] = []
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                continue
            value = loader.construct_document(node)
            line = node.start_mark.line + 1
            if value is None:
                continue
            found += [LocatedDocument(item, source, line) for item in _unpack(value, f"{source}:{line}")]
    finally:
        loader.dispose()
    return found


def _unpack(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, dict):
        raise InvalidSpec([Problem("", "a document must be a map with apiVersion, kind, metadata and spec")], where)
    if value.get("kind") == "List" and isinstance(value.get("items"), list):
        return [item for entry in value["items"] for item in _unpack(entry, where)]
    return [value]
