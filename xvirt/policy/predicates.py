"""What a value may be: the third column of the rules."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable

HostPaths = frozenset[str]
"""What the node computed itself for the machine that is judged: paths of its volumes, seed and log, names of the libvirt networks
and bridges that its NICs were resolved to. Only these stand where a rule says `of_node`."""


@dataclasses.dataclass(frozen=True)
class Predicate:
    """What may stand at a place: `words` for people, and `test` of a value with what the node computed.

    `cel` is the same test for an API server, of the string expression that stands for `{0}` in it. An API server knows nothing that the node
    computed: what the node alone knows is false there.
    """

    words: str
    test: Callable[[str, HostPaths], bool]
    cel: str

    def __call__(self, value: str, own: HostPaths) -> bool:
        return self.test(value, own)


def cel_list(values: Iterable[str]) -> str:
    """CEL's list of some strings without quotes and backslashes."""
    return "[" + ", ".join(f"'{value}'" for value in values) + "]"


def _matching(words: str, pattern: str) -> Predicate:
    compiled = re.compile(pattern, re.ASCII)
    return Predicate(
        words, lambda value, own: compiled.fullmatch(value) is not None, f"{{0}}.matches(r'^(?:{_braced(pattern)})$')"
    )


def _braced(pattern: str) -> str:
    """Within what `str.format` reads."""
    return pattern.replace("{", "{{").replace("}", "}}")


def one_of(*values: str) -> Predicate:
    """One of these."""
    allowed = frozenset(values)
    words = ", ".join(f"`{value}`" for value in values if value)
    return Predicate(words, lambda value, own: value in allowed, f"{{0}} in {cel_list(values)}")


def up_to(most: int) -> Predicate:
    """Decimal, no more than this."""
    return Predicate(
        f"a number up to {most}",
        lambda value, own: value.strip().isdecimal() and int(value) <= most,
        f"({{0}}.matches('^ *[0-9]{{{{1,9}}}} *$') && int({{0}}.trim()) <= {most})",
    )


anything = Predicate("any text", lambda value, own: True, "true")
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


log_of_node = Predicate("only the log that the node computed", lambda value, own: log_path(value) in own, "false")
of_node = Predicate("only what the node computed", lambda value, own: value in own, "false")
"""A path, network or bridge that the node computed itself."""
network_of_node = Predicate(of_node.words, of_node.test, "{0}.startsWith(object.metadata.namespace + '_')")
"""The same of a network, which an API server tells by its name (`xvirt.model.identity.host_name`)."""
blank = Predicate("", lambda value, own: not value.strip(), "{0}.trim() == ''")
"""No text but layout."""
