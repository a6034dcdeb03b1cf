"""Text to documents: YAML or JSON, several in a stream, within the limits of `xvirt.model.limits`.

Scalars are typed as YAML 1.2's core schema does, and no further: `yes`, `0744`, `52:54:00:00:00:00` and dates stay the text that
was written, because YAML 1.1's reading of them (a boolean, octal, base 60, a date) changes values without a word.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import yaml
from yaml._yaml import CParser
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import BaseResolver

from xvirt.model import limits
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.jsontext import read_json

_CORE = "tag:yaml.org,2002:"
_INTEGER = r"[-+]?(0|[1-9][0-9]{0,30})"
_FLOAT = r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?"
"""No wider than YAML 1.1's: else the name `1e3`, which its writers leave without quotes, would be read back as a number."""


@dataclasses.dataclass(frozen=True)
class LocatedDocument:
    """A document and where it began (`line` counts from 1)."""

    document: dict[str, Any]
    source: str
    line: int


class _Constructor(SafeConstructor):
    """Builds JSON values and nothing else: every tag that is not declared below is refused."""

    yaml_constructors = {}  # noqa: RUF012


class _Resolver(BaseResolver):
    """Knows the core schema's scalars only."""

    yaml_implicit_resolvers = {}  # noqa: RUF012


class _Loader(Composer, CParser, _Constructor, _Resolver):
    """libyaml's scanner (PyYAML's own takes a minute for a stream at its limit) under PyYAML's composer, which stands first
    because aliases are counted there, before anything is expanded."""

    def __init__(self, stream: str) -> None:
        CParser.__init__(self, stream)
        Composer.__init__(self)
        _Constructor.__init__(self)
        _Resolver.__init__(self)
        self.aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > limits.YAML_MAX_ALIASES:
                event: Any = self.get_event()
                raise _refuse(event.start_mark, f"has more than {limits.YAML_MAX_ALIASES} aliases")
        return super().compose_node(parent, index)


def _refuse(mark: Any, message: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=message, problem_mark=mark)


def _construct_map(loader: Any, node: Any) -> dict[str, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise _refuse(node.start_mark, "a map is wanted")
    built: dict[str, Any] = {}
    for key_node, value in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise _refuse(key_node.start_mark, "a key must be a string")
        key = _construct_text(loader, key_node)
        if key in built:
            raise _refuse(key_node.start_mark, f"key {key[:80]!r} is given twice")
        if key == "<<":
            raise _refuse(key_node.start_mark, "merge keys (<<) are not read; write the fields out")
        built[key] = loader.construct_object(value, deep=True)
    return built


def _construct_list(loader: Any, node: Any) -> list[Any]:
    if not isinstance(node, yaml.SequenceNode):
        raise _refuse(node.start_mark, "a list is wanted")
    return [loader.construct_object(item, deep=True) for item in node.value]


def _construct_text(loader: Any, node: Any) -> str:
    text: str = loader.construct_scalar(node)
    if any(0xD800 <= ord(char) <= 0xDFFF for char in text):
        raise _refuse(node.start_mark, "text holds half of a surrogate pair, which is no character")
    return text


def _construct_int(loader: Any, node: Any) -> int:
    text = loader.construct_scalar(node)
    if not re.fullmatch(_INTEGER, text):
        raise _refuse(node.start_mark, f"{text[:40]!r} is not an integer")
    return int(text)


def _construct_float(loader: Any, node: Any) -> float:
    text = loader.construct_scalar(node)
    if not re.fullmatch(rf"{_FLOAT}|{_INTEGER}", text) or not math.isfinite(float(text)):
        raise _refuse(node.start_mark, f"{text[:40]!r} is not a finite number")
    return float(text)


def _construct_bool(loader: Any, node: Any) -> bool:
    text = loader.construct_scalar(node).lower()
    if text not in ("true", "false"):
        raise _refuse(node.start_mark, f"{text[:40]!r} is not true or false")
    return bool(text == "true")


def _construct_null(loader: Any, node: Any) -> None:
    loader.construct_scalar(node)


def _construct_unknown(_loader: Any, node: Any) -> None:
    raise _refuse(node.start_mark, f"tag {node.tag[:80]!r} is not read; remove it")


for _tag, _construct in (
    ("map", _construct_map),
    ("seq", _construct_list),
    ("str", _construct_text),
    ("int", _construct_int),
    ("float", _construct_float),
    ("bool", _construct_bool),
    ("null", _construct_null),
):
    _Constructor.add_constructor(_CORE + _tag, _construct)
_Constructor.add_constructor(None, _construct_unknown)
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", _INTEGER, "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
):
    _Resolver.add_implicit_resolver(_CORE + _tag, re.compile(rf"^(?:{_pattern})$"), list(_first))


def load_documents(text: str, source: str) -> list[LocatedDocument]:
    """All documents of a stream; `kind: List` is taken apart. Raises InvalidSpec with source and line."""
    if len(text) > limits.STREAM_MAX_BYTES or len(text.encode(errors="surrogatepass")) > limits.STREAM_MAX_BYTES:
        raise InvalidSpec([Problem("", f"is larger than {limits.STREAM_MAX_BYTES} bytes", "split it")], source)
    try:
        found = _load(text, source)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise InvalidSpec([Problem("", error.problem or "is not YAML")], f"{source}:{line}") from error
    except yaml.reader.ReaderError as error:
        raise InvalidSpec([Problem("", f"is not text: {error.reason}")], source) from error
    except RecursionError as error:
        message = f"nested deeper than {limits.DOCUMENT_MAX_DEPTH} levels"
        raise InvalidSpec([Problem("", message)], source) from error
    except UnicodeEncodeError as error:
        message = "text holds half of a surrogate pair, which is no character"
        raise InvalidSpec([Problem("", message)], source) from error
    if len(found) > limits.STREAM_MAX_DOCUMENTS:
        raise InvalidSpec([Problem("", f"has more than {limits.STREAM_MAX_DOCUMENTS} documents", "split it")], source)
    return found


def _load(text: str, source: str) -> list[LocatedDocument]:
    if text.lstrip().startswith("{"):  # JSON's escapes of pairs of surrogates are no YAML
        try:
            return [LocatedDocument(item, source, 1) for item in _unpack(read_json(text), f"{source}:1")]
        except ValueError:
            pass  # a YAML flow map, or broken: YAML's reader says in which line
    loader = _Loader(text)
    found: list[LocatedDocument] = []
    try:
        while loader.check_node():
            loader.aliases = 0
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
