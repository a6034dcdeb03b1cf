"""Whether a typed value is one that a document could hold."""

from __future__ import annotations

from typing import Any

from xvirt.model.checks import find_problems
from xvirt.model.codec import encode
from xvirt.model.validation import check_rules


def is_sound(value: Any) -> bool:
    """True where the value keeps its class's bounds, formats and rules."""
    return not find_problems(type(value), encode(value), "") and not check_rules(value, "")
