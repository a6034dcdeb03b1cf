"""What a value may be: the third column of the rules."""

from __future__ import annotations

import re
from collections.abc import Callable

HostPaths = frozenset[str]
"""What the node computed itself for the machine that is judged: paths of its volumes, seed and log, names of the libvirt networks
and bridges that its NICs were resolved to. Only these stand where a rule says `of_node`."""

Predicate = Callable[[str, HostPaths], bool]
"""(value, what the node computed) -> allowed?"""

_PLAIN = re.compile(r"[A-Za-z0-9_.:,+=@#% \t\n()\[\]-]*", re.ASCII)
_NUMBER = re.compile(r"(0[xX])?[0-9a-fA-F]{1,32}", re.ASCII)
_TARGET = re.compile(r"[a-z]{2,8}[0-9]{0,4}", re.ASCII)
_MAC = re.compile(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}", re.ASCII)


def anything(value: str, own: HostPaths) -> bool:
    """Text that only the guest or a person reads."""
    return True


def plain(value: str, own: HostPaths) -> bool:
    """Words and numbers: nothing with a slash, so neither path nor URL."""
    return _PLAIN.fullmatch(value) is not None


def number(value: str, own: HostPaths) -> bool:
    """Decimal or hexadecimal."""
    return _NUMBER.fullmatch(value.strip()) is not None


def switch(value: str, own: HostPaths) -> bool:
    """libvirt's two spellings of a boolean."""
    return value in ("yes", "no", "on", "off")


def mac(value: str, own: HostPaths) -> bool:
    """A MAC address."""
    return _MAC.fullmatch(value) is not None


def disk_target(value: str, own: HostPaths) -> bool:
    """`vda`, `sdb`."""
    return _TARGET.fullmatch(value) is not None


def of_node(value: str, own: HostPaths) -> bool:
    """A path, network or bridge that the node computed itself."""
    return value in own


def blank(value: str, own: HostPaths) -> bool:
    """No text but layout."""
    return not value.strip()


def one_of(*values: str) -> Predicate:
    """One of these."""
    allowed = frozenset(values)
    return lambda value, own: value in allowed
