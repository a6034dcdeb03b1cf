"""Label selectors, as kubectl reads them: `a=b`, `a!=b`, `a`, `!a`, `a in (b,c)`, `a notin (b,c)`, joined by commas."""

from __future__ import annotations

import re
from collections.abc import Mapping

from xvirt.cli.words import WrongWords

_KEY = r"([A-Za-z0-9][-A-Za-z0-9_./]*)"
_SET = re.compile(rf"{_KEY}\s+(in|notin)\s+\(([^)]*)\)")
_EQUAL = re.compile(rf"{_KEY}\s*(==|=|!=)\s*([-A-Za-z0-9_.]*)")
_EXISTS = re.compile(rf"(!?)\s*{_KEY}")


def matches(selector: str, labels: Mapping[str, str]) -> bool:
    """Whether labels fit a selector; the empty one fits all. Raises WrongWords."""
    parts = [part.strip() for part in re.split(r",(?![^(]*\))", selector) if part.strip()]
    return all(_matches(part, labels) for part in parts)


def _matches(part: str, labels: Mapping[str, str]) -> bool:
    if match := _SET.fullmatch(part):
        values = {value.strip() for value in match.group(3).split(",")}
        is_in = labels.get(match.group(1)) in values
        return is_in if match.group(2) == "in" else not is_in
    if match := _EQUAL.fullmatch(part):
        is_equal = labels.get(match.group(1)) == match.group(3)
        return is_equal if match.group(2) != "!=" else not is_equal
    if match := _EXISTS.fullmatch(part):
        return (match.group(2) in labels) != bool(match.group(1))
    raise WrongWords(f"--selector: {part!r} is not understood; write a=b, a!=b, a, !a or a in (b,c)")
