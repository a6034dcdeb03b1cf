"""Sizes in Kubernetes' notation (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/)."""

from __future__ import annotations

import json
import re
from typing import Self

PATTERN = r"^([0-9]+)(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E|m)?$"
_BINARY = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60}
_DECIMAL = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18}
_FACTORS = {"": 1, **_BINARY, **_DECIMAL}
_MAXIMUM = (1 << 63) - 1


class ByteSize(int):
    """A number of bytes (0 .. 2^63-1) that reads `2Gi`, `500M` or `1048576` and writes itself the shortest exact way.

    Raises ValueError for text that is no quantity, for a fraction of a byte and beyond the range.
    """

    def __new__(cls, value: int | str) -> Self:
        size = _parse(value) if isinstance(value, str) else int(value)
        if not 0 <= size <= _MAXIMUM:
            raise ValueError(f"{_shorten(value)} is outside 0 .. 2^63-1 bytes")
        return super().__new__(cls, size)

    def __str__(self) -> str:
        for suffix, factor in reversed(_BINARY.items()):
            if self and self % factor == 0:
                return f"{int(self) // factor}{suffix}"
        return str(int(self))

    def __repr__(self) -> str:
        return f"ByteSize({str(self)!r})"


def _shorten(value: int | str) -> str:
    if isinstance(value, int):  # a number of thousands of digits has no text in Python
        return str(int(value)) if -(10**30) < value < 10**30 else f"a number of {value.bit_length()} bits"
    return json.dumps(value[:40])


def _parse(text: str) -> int:
    match = re.fullmatch(PATTERN, text, re.ASCII)
    if match is None or len(text) > 32:
        raise ValueError(f"{_shorten(text)} is not a quantity such as 2Gi, 500M or 1048576")
    whole, fraction, suffix = match.group(1), match.group(2) or "", match.group(3) or ""
    if suffix == "m":
        numerator, denominator = int(whole), 1000
    else:
        digits = fraction[1:]
        numerator, denominator = int(whole + digits) * _FACTORS[suffix], 10 ** len(digits)
    size, remainder = divmod(numerator, denominator)
    if remainder:
        raise ValueError(f"{_shorten(text)} is not a whole number of bytes")
    return size


def cel_at_least(large: str, small: str) -> str:
    """CEL for `large >= small`; true where either is no quantity, which its own pattern refuses."""
    sizes = [f"string({large})", f"string({small})"]
    guards = " || ".join(f"!isQuantity({size})" for size in sizes)
    return f"{guards} || quantity({sizes[0]}).compareTo(quantity({sizes[1]})) >= 0"
