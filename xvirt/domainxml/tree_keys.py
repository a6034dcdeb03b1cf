"""The words of a tree that are no XML names, and the usual order of siblings."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from xvirt.domainxml.shapes import NO_SHAPE, SHAPES

ORDER: Final = "$order"
TEXT: Final = "#text"
COMMENT: Final = "#comment"
INSTRUCTION: Final = "#pi"
CONTENT: Final = (TEXT, COMMENT, INSTRUCTION)
"""What may stand among the children of an element and is none, in its usual order."""

REST: Final = "*"
"""After a name in `$order`: all that are left of it."""

_CONTENT_PLACES: Final = {name: place - len(CONTENT) for place, name in enumerate(CONTENT)}
UNKNOWN_PLACE: Final = 1 << 20

Node = str | Mapping[str, Any]


def usual_order(parent: str, names: Iterable[str]) -> list[str]:
    """Names as they stand below an element of the name `parent` where nothing else is said."""
    places = SHAPES.get(parent, NO_SHAPE)[0]
    return sorted(names, key=lambda name: (_CONTENT_PLACES.get(name, places.get(name, UNKNOWN_PLACE)), name))


def order_text(parent: str, names: list[str]) -> str:
    """The shortest `$order` for what stands like this; empty where that is the usual order."""
    places = {name: place for place, name in enumerate(usual_order(parent, set(names)))}
    start = len(names) - 1
    while start > 0 and places[names[start - 1]] <= places[names[start]]:
        start -= 1
    left = Counter(names)
    words: list[str] = []
    for name, group in itertools.groupby(names[: max(start, 0)]):
        count = len(list(group))
        is_all = 1 < count == left[name]
        words += [name + REST] if is_all else [name] * count
        left[name] -= count
    return " ".join(words)


def is_child_key(key: str) -> bool:
    """True for a key that names child elements."""
    return not key.startswith(("@", "#", "$"))


def is_declaration(key: str) -> bool:
    """True for a key that declares a namespace."""
    return key == "@xmlns" or key.startswith("@xmlns:")
