"""Authorities: who declares an object (DESIGN section 5). `local` is a host's command line, a cluster is its UID, a Pulumi stack is
`organization/project/stack`.

Where an administrator grants authorities, a part may be `*`: `*/*/*` is every stack, `acme/*/*` every stack of one organization.
"""

from __future__ import annotations

from collections.abc import Iterable

LOCAL = "local"
STACKS = "*/*/*"


def is_served(patterns: Iterable[str], authority: str) -> bool:
    """Whether one of the patterns covers an authority, or a pattern that is no wider than it."""
    return any(_covers(pattern, authority) for pattern in patterns)


def _covers(pattern: str, authority: str) -> bool:
    wanted, parts = pattern.split("/"), authority.split("/")
    return len(wanted) == len(parts) and all(
        part and (want in ("*", part)) for want, part in zip(wanted, parts, strict=True)
    )


def only_one(patterns: Iterable[str]) -> str:
    """The authority of a caller who names none: the only one that is no pattern. Empty where there are none or several."""
    plain = [pattern for pattern in patterns if "*" not in pattern]
    return plain[0] if len(plain) == 1 else ""
