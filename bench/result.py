"""What a benchmark found."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """`ratio` is ours over the peer's; `samples` holds every raw value, in seconds unless the name says otherwise."""

    name: str
    ratio: float
    goal: str
    method: str
    samples: dict[str, list[float]]
    summary: str
