"""Text to documents: YAML or JSON, several in a stream, within the limits of `xvirt.model.limits`.

Scalars are typed as YAML 1.2's core schema does, and no further: `yes`, `0744`, `52:54:00:00:00:00` and dates stay the text that
was written, because YAML 1.1's reading of them (a boolean, octal, base 60, a date) changes values without a word.
In XML trees, whether they stand in a document's field or alone, nothing is typed at all: `4`, `1.10` and `true` are text, too.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml._yaml import CParser
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import BaseResolver

from xvirt.model import limits
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.fields import attributes, is_tree
from xvirt.model.jsontext import read_json
from xvirt.model.kinds import BY_NAME
from xvirt.model.treetext import read_text_tree

_CORE = "tag:yaml.org,2002:"
_INTEGER = r"[-+]?(0|[1-9][0-9]{0,30})"
_TYPED = frozenset(f"{_CORE}{name}" for name in ("int", "float", "bool"))
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
    with _refusing(text, source):
        found = _load(text, source)
    if len(found) > limits.STREAM_MAX_DOCUMENTS:
        raise InvalidSpec([Problem("", f"has more than {limits.STREAM_MAX_DOCUMENTS} documents", "split it")], source)
    return found


def load_tree(text: str) -> Any:
    """An XML tree that stands alone: maps and lists of text, exactly as it was written, and of JSON's other values.

    Raises InvalidSpec with the line for what is no YAML or JSON, and for anything but one document.
    """
    with _refusing(text, ""):
        if (value := _json_of(text)) is not None:
            return value
        return read_text_tree(text)


@contextlib.contextmanager
def _refusing(text: str, source: str) -> Iterator[None]:
    """Turns whatever reading may raise into InvalidSpec."""
    if len(text) > limits.STREAM_MAX_BYTES or len(text.encode(errors="surrogatepass")) > limits.STREAM_MAX_BYTES:
        raise InvalidSpec([Problem("", f"is larger than {limits.STREAM_MAX_BYTES} bytes", "split it")], source)
    try:
        yield
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise _wrong(source, error.problem or "is not YAML", line) from error
    except yaml.reader.ReaderError as error:
        raise _wrong(source, f"is not text: {error.reason}") from error
    except RecursionError as error:
        raise _wrong(source, f"nested deeper than {limits.DOCUMENT_MAX_DEPTH} levels") from error
    except UnicodeEncodeError as error:
        raise _wrong(source, "text holds half of a surrogate pair, which is no character") from error


def _wrong(source: str, message: str, line: int | None = None) -> InvalidSpec:
    """With the source in front, where there is one."""
    if not source:
        return InvalidSpec([Problem(f"line {line}" if line is not None else "", message)])
    return InvalidSpec([Problem("", message)], source if line is None else f"{source}:{line}")


def _json_of(text: str) -> Any:
    """The values of JSON text; None for what is none: a YAML flow map, or broken, and YAML's reader says in which line."""
    if not text.lstrip().startswith("{"):  # JSON's escapes of pairs of surrogates are no YAML
        return None
    try:
        return read_json(text)
    except ValueError:
        return None


def _load(text: str, source: str) -> list[LocatedDocument]:
    if (json_value := _json_of(text)) is not None:
        return [LocatedDocument(item, source, 1) for item in _unpack(json_value, f"{source}:1")]
    loader = _Loader(text)
    found: list[LocatedDocument] = []
    try:
        while loader.check_node():
            loader.aliases = 0
            node = loader.get_node()
            if node is None:
                continue
            value = loader.construct_document(_with_text_in_trees(node))
            line = node.start_mark.line + 1
            if value is None:
                continue
            found += [LocatedDocument(item, source, line) for item in _unpack(value, f"{source}:{line}")]
    finally:
        loader.dispose()
    return found


def _with_text_in_trees(node: Any) -> Any:
    """A manifest's node with nothing but text in the fields that are XML trees."""
    if not isinstance(node, yaml.MappingNode):
        return node
    entries = {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}
    kind, spec, items = (entries.get(name) for name in ("kind", "spec", "items"))
    if isinstance(items, yaml.SequenceNode):
        items.value = [_with_text_in_trees(item) for item in items.value]
    known = BY_NAME.get(kind.value) if isinstance(kind, yaml.ScalarNode) else None
    if known is not None and isinstance(spec, yaml.MappingNode):
        trees = {item.json_name for item in attributes(known.spec) if is_tree(item.annotation)}
        spec.value = [(key, _as_text(value, {}) if key.value in trees else value) for key, value in spec.value]
    return node


def _as_text(node: Any, made: dict[int, Any]) -> Any:
    """A copy, because an alias may stand for the same node elsewhere."""
    if id(node) in made:
        return made[id(node)]
    copied = made[id(node)] = copy.copy(node)
    if isinstance(node, yaml.MappingNode):
        copied.value = [(_as_text(key, made), _as_text(value, made)) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        copied.value = [_as_text(item, made) for item in node.value]
    elif not node.style and node.tag in _TYPED:
        copied.tag = f"{_CORE}str"
    return copied


def _unpack(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, dict):
        raise InvalidSpec([Problem("", "a document must be a map with apiVersion, kind, metadata and spec")], where)
    if value.get("kind") == "List" and isinstance(value.get("items"), list):
        return [item for entry in value["items"] for item in _unpack(entry, where)]
    return [value]
