"""Trees as YAML for people: elements without children on one line, and quotes around whatever any reader could take for no text.

Plain are only words that neither YAML 1.1 (kubectl's reader, PyYAML) nor YAML 1.2 types: they begin with a letter, `_` or `/`, and are
not `yes`, `no`, `on`, `off`, `true`, `false`, `null`, `y`, `n`. So a MAC, a number, a date and `~` are always quoted.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_LINE_MAX = 120
_KEY_MAX = 1000
"""YAML reads a key before its colon up to 1024 characters; longer ones are marked as keys."""
_PLAIN = re.compile(r"[A-Za-z_/$][A-Za-z0-9_./+@=-]*(?: [A-Za-z0-9_./+@=()-]+)*")
_PLAIN_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_.-]*(?::[A-Za-z_][A-Za-z0-9_.-]*)?")
_TYPED = frozenset(["y", "n", "yes", "no", "on", "off", "true", "false", "null"])
_ESCAPED = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_BREAKS = re.compile("[\x00-\x1f\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


def write_yaml(tree: Mapping[str, Any]) -> str:
    """A document of block maps and lists; maps without maps in them stand on one line where it is not too long."""
    return "\n".join(_map_lines(tree, "")) + "\n" if tree else "{}\n"


def _map_lines(node: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in node.items():
        head = f"{indent}{_key(key)}:"
        if len(head) > _KEY_MAX:
            yield f"{indent}? {_key(key)}"
            head = f"{indent}:"
        line = _one_line(value, len(head))
        if line is not None:
            yield f"{head} {line}"
        elif isinstance(value, str):
            yield from _text_lines(head, value, indent)
        elif isinstance(value, Mapping):
            yield head
            yield from _map_lines(value, indent + "  ")
        else:
            yield head
            yield from _list_lines(value, indent)


def _list_lines(items: list[Any], indent: str) -> Iterator[str]:
    for item in items:
        line = _one_line(item, len(indent) + 2)
        if line is not None:
            yield f"{indent}- {line}"
        elif isinstance(item, str):
            yield from _text_lines(f"{indent}-", item, indent)
        else:
            first, *rest = _map_lines(item, indent + "  ")
            yield f"{indent}- {first.lstrip(' ')}"
            yield from rest


def _one_line(value: Any, width: int) -> str | None:
    if isinstance(value, str):
        return None if _is_block(value) else _scalar(value)
    if not isinstance(value, Mapping):
        return None if value else "[]"
    if not all(isinstance(item, str) for item in value.values()):
        return None
    if not value:
        return "{}"
    line = "{" + ", ".join(f"{_key(key)}: {_scalar(item)}" for key, item in value.items()) + "}"
    return line if len(line) + width < _LINE_MAX else None


def _is_block(text: str) -> bool:
    """Whether a text of several lines can stand as it is: nothing in it is invisible or would be taken for indentation."""
    if "\n" not in text.rstrip("\n") or text.endswith("\n\n") or text[0] in " \t\n":
        return False
    return not _BREAKS.search(text.replace("\n", "")) and not any(line.endswith(" ") for line in text.split("\n"))


def _text_lines(head: str, text: str, indent: str) -> Iterator[str]:
    yield f"{head} |" if text.endswith("\n") else f"{head} |-"
    for line in text.removesuffix("\n").split("\n"):
        yield f"{indent}  {line}" if line else ""


@functools.lru_cache(maxsize=4096)
def _key(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) and key.lower() not in _TYPED else _quoted(key)


@functools.lru_cache(maxsize=4096)
def _scalar(text: str) -> str:
    if len(text) < _LINE_MAX and _PLAIN.fullmatch(text) and text.lower() not in _TYPED:
        return text
    return _quoted(text)


def _quoted(text: str) -> str:
    if _BREAKS.search(text):
        return _ESCAPED.sub(lambda found: f"\\u{ord(found.group()):04x}", json.dumps(text, ensure_ascii=False))
    return "'" + text.replace("'", "''") + "'"
