"""How a problem's path and text are written: short, on one line, the same every time, whatever stood in the document."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_@#$:/-]{1,80}")
_SHOWN_LENGTH = 60


def join(path: str, part: Any) -> str:
    """The path of an entry: `spec.disks` and 1 give `spec.disks[1]`; a key that is no plain word is quoted: `labels["a.b"]`."""
    if isinstance(part, int) and not isinstance(part, bool):
        return f"{path}[{part}]"
    key = str(part)
    if not _PLAIN_KEY.fullmatch(key):
        return f"{path}[{show(key)}]"
    return f"{path}.{key}" if path else key


def show(value: Any) -> str:
    """A value as a message quotes it, in ASCII and at most some 60 characters long."""
    if isinstance(value, str):
        return json.dumps(value) if len(value) <= _SHOWN_LENGTH else f'{json.dumps(value[:_SHOWN_LENGTH])[:-1]}..."'
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value) if -(10**30) < value < 10**30 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return "a map"
    return "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}"


_BEGINNING_MIN_LENGTH = 3
"""A known name of at least so many letters that the word begins with is meant: KubeVirt's `macAddress` is our `mac`."""


def nearest(word: Any, known: Iterable[str]) -> str:
    """` (did you mean cores?)`, or nothing where no known word is near."""
    lowered = {name.lower(): name for name in known}
    written = str(word)[:80].lower()
    begun = [name for name in lowered if len(name) >= _BEGINNING_MIN_LENGTH and written.startswith(name)]
    close = sorted(begun, key=len)[-1:] or difflib.get_close_matches(written, list(lowered), n=1, cutoff=0.6)
    return f" (did you mean {lowered[close[0]]}?)" if close else ""
