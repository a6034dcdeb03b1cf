"""A path to what is asked for. Each path is read here, once, as it came: nothing is decoded, joined or made shorter."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from xvirt.model.names import LABEL
from xvirt.wire.subresources import GROUP, PLURAL, VERSION

PATH_MAX_LENGTH = 512
TOLERATED = frozenset({"timeout", "fieldManager", "fieldValidation", "pretty"})
"""What clients of Kubernetes add to the query of every write, and what changes nothing here."""

_NAME = LABEL.removeprefix("^").removesuffix("$")
_PATH = re.compile(
    rf"/apis/{re.escape(GROUP)}/{VERSION}/namespaces/(?P<namespace>{_NAME})/{PLURAL}/(?P<name>{_NAME})/(?P<subresource>[a-z]+)"
)


@dataclasses.dataclass(frozen=True)
class Target:
    """A subresource of one machine."""

    namespace: str
    name: str
    subresource: str


def parse_target(path: str) -> Target | None:
    """The target of a path without its query; None for any other, percent-encoded ones among them."""
    match = _PATH.fullmatch(path) if len(path) <= PATH_MAX_LENGTH else None
    return Target(match["namespace"], match["name"], match["subresource"]) if match else None


def strange_parameters(names: Iterable[str]) -> list[str]:
    """Parameters of a query that would be passed over: `dryRun` asks for what cannot be, and silence would do the act."""
    return sorted(set(names) - TOLERATED)
