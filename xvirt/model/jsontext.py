"""JSON text to values, strictly: what two readers could understand differently is refused."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn


def read_json(text: str | bytes) -> Any:
    """Values of one JSON text (RFC 8259), bytes as UTF-8.

    Raises ValueError for broken text, a key given twice, numbers that no double holds, NaN, half a surrogate pair, and nesting
    beyond Python's own limit.
    """
    is_clean = isinstance(text, bytes)
    if isinstance(text, bytes):
        text = text.decode()
    try:
        value = json.loads(text, object_pairs_hook=_build_map, parse_float=_read_float, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    # UTF-8 holds no half characters: only an escape brings one in.
    if not (is_clean and "\\ud" not in text and "\\uD" not in text) and not _is_encodable(value):
        raise ValueError("text holds half of a surrogate pair, which is no character")
    return value


def _build_map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built = dict(pairs)
    if len(built) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"key {twice[:80]!r} is given twice")
    return built


def _read_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]!r} is not a finite number")
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text!r} is not JSON")


def _is_encodable(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
