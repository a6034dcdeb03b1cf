"""JSON values as Python source that people would have written so: short ones on one line, long ones with an entry a line."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from typing import Any

WIDTH = 100
_INDENT = "    "


class Code(str):
    """Source that stands as it is, instead of a text."""

    __slots__ = ()


def identifier(text: str) -> str:
    """A text as a Python name: `web-1` is `web_1`."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    return f"_{name}" if not name or name[0].isdigit() or keyword.iskeyword(name) else name


def call(function: str, arguments: Mapping[str, Any]) -> str:
    """A call with an argument a line; a key that is empty stands for the one without a name."""
    lines = [f"{function}("]
    for name, value in arguments.items():
        head = f"{name}=" if name else ""
        lines.append(f"{_INDENT}{head}{literal(value, 1, len(head) + 1)},")
    return "\n".join([*lines, ")"])


def literal(value: Any, depth: int = 0, used: int = 0) -> str:
    """A value; `depth`: how far its lines are indented, `used`: columns that the line has before it, or needs after it."""
    flat = _flat(value)
    if "\n" not in flat and len(flat) + used + depth * len(_INDENT) <= WIDTH and not _is_paragraph(value):
        return flat
    if _is_paragraph(value):
        return "\n".join(
            ["(", *(f"{_INDENT * (depth + 1)}{line!r}" for line in value.splitlines(True)), f"{_INDENT * depth})"]
        )
    if isinstance(value, Mapping) and value:
        return _block("{", "}", (_entry(key, entry, depth + 1) for key, entry in value.items()), depth)
    if isinstance(value, list | tuple) and value:
        return _block("[", "]", (literal(entry, depth + 1, 1) for entry in value), depth)
    return flat


def _entry(key: str, value: Any, depth: int) -> str:
    head = f"{_quote(key)}: "
    return head + literal(value, depth, len(head) + 1)


def _block(opening: str, closing: str, entries: Iterator[str], depth: int) -> str:
    inner = [f"{_INDENT * (depth + 1)}{entry}," for entry in entries]
    return "\n".join([opening, *inner, f"{_INDENT * depth}{closing}"])


def _is_paragraph(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, Code) and "\n" in value.rstrip("\n")


def _flat(value: Any) -> str:
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quote(key)}: {_flat(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flat, value)) + "]"
    return repr(value)


def _quote(text: str) -> str:
    """As `repr`, in double quotes where that needs no more escapes."""
    plain = repr(text)
    return f'"{plain[1:-1]}"' if plain[0] == "'" and '"' not in text and "\\'" not in plain else plain
