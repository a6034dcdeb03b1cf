"""What a value may be: the third column of the rules."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

HostPaths = frozenset[str]
"""What the node computed itself for the machine that is judged: paths of its volumes, seed and log, names of the libvirt networks
and bridges that its NICs were resolved to. Only these stand where a rule says `of_node`."""


@dataclasses.dataclass(frozen=True)
class Predicate:
    """What may stand at a place: `words` for people, and `test` of a value with what the node computed."""

    words: str
    test: Callable[[str, HostPaths], bool]

    def __call__(self, value: str, own: HostPaths) -> bool:
        return self.test(value, own)


def _matching(words: str, pattern: str) -> Predicate:
    compiled = re.compile(pattern, re.ASCII)
    return Predicate(words, lambda value, own: compiled.fullmatch(value) is not None)


def one_of(*values: str) -> Predicate:
    """One of these."""
    allowed = frozenset(values)
    words = ", ".join(f"`{value}`" for value in values if value)
    return Predicate(words, lambda value, own: value in allowed)


def up_to(most: int) -> Predicate:
    """Decimal, no more than this."""
    return Predicate(f"a number up to {most}", lambda value, own: value.strip().isdecimal() and int(value) <= most)


anything = Predicate("any text", lambda value, own: True)
"""Text that only the guest or a person reads."""
line = _matching("one line of text", r"[^\x00-\x1f\x7f]*")
plain = _matching("words and numbers", r"[A-Za-z0-9_.:,+=@#% ()\[\]-]*")
"""On one line and nothing with a slash, so neither path nor URL, and no second line of some daemon's config file."""
number = _matching("a number", r"\s*(0[xX])?[0-9a-fA-F]{1,32}\s*")
"""Decimal or hexadecimal."""
signed = _matching("a number", r"\s*-?[0-9]{1,20}\s*")
"""Decimal, which libvirt lets be negative (no limit)."""
switch = one_of("yes", "no", "on", "off")
"""libvirt's two spellings of a boolean."""
mac = _matching("a MAC address", r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}")
address = _matching("an IP address", r"[0-9a-fA-F.:]{1,45}")
disk_target = _matching("a name such as vda", r"[a-z]{2,8}[0-9]{0,4}")
_LOG = "\0log "
"""A sign that no XML holds: a log is the node's as a log alone. What a guest prints there must never be read as the header of a disk."""


def log_path(path: str) -> str:
    """A console's log among what the node computed."""
    return _LOG + path


log_of_node = Predicate("only the log that the node computed", lambda value, own: log_path(value) in own)
of_node = Predicate("only what the node computed", lambda value, own: value in own)
"""A path, network or bridge that the node computed itself."""
blank = Predicate("", lambda value, own: not value.strip())
"""No text but layout."""
