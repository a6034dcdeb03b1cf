"""Documents kept small: thousands of them are in memory, and few are looked at. Pure."""

from __future__ import annotations

import json
import zlib
from typing import Any

import orjson

_LEVEL = 1
"""zlib's quickest: a status of 1.6 KB becomes 0.6 KB in some 30 microseconds; higher levels take longer and save little."""


def pack(value: Any) -> bytes:
    """A JSON value; equal values have equal bytes."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    return zlib.compress(text.encode(), _LEVEL)


def unpack(packed: bytes) -> Any:
    """The value, made anew."""
    return orjson.loads(zlib.decompress(packed))
