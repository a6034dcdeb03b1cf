"""Several nodes as one place: which of them an object is put on is decided once, and kept.

A program says `node=fleet`, or `node=fleet.group("web-1")` for a machine and the disks that must be where it is. The provider's check
decides (`choose`), in this order:

1. where the stack's state has it already: a machine never moves because a node was added;
2. where a node says that it has it, or another object of its group: after a state was lost, or after the fleet has grown;
3. by rendezvous hashing of the group's name over the nodes that take new objects: the same for everybody who computes it, and a node that
   is added takes a share of new objects from all others alike.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import pulumi

from xvirt.model.errors import InvalidSpec, Problem, RetryLater, Unavailable
from xvirt_provider.connection import NAMESPACE, TLS_KEYS, XVirtNode

GROUP = "xvirt.io/pulumi-group"
"""Annotation: objects that stay together on one node of a fleet."""
FLEET = "fleet"


@dataclasses.dataclass(frozen=True)
class XVirtFleet:
    """Nodes of one kind. `cordoned`: names of nodes that keep what they have and take nothing new; one that is down belongs here, too,
    or nothing new is placed: it might have the object already.

    Raises ValueError where a node has no name, or two have the same.
    """

    nodes: Sequence[XVirtNode]
    cordoned: Sequence[str] = ()

    def __post_init__(self) -> None:
        names = [node.node_name for node in self.nodes]
        if not names or not all(names) or len(set(names)) != len(names):
            raise ValueError(f"a fleet needs nodes, each with a node_name of its own; these are called {names}")
        strange = sorted(set(self.cordoned) - set(names))
        if strange:
            raise ValueError(f"cordoned: {', '.join(strange)} is no node of this fleet; it has {', '.join(names)}")

    @classmethod
    def from_config(cls) -> Self:
        """The fleet of the stack's configuration: `xvirt:nodes`, a list of `{address, nodeName}`, and `xvirt:cordoned`, names; TLS files
        that a node does not name are the stack's. Raises pulumi.RunError where it is none."""
        config = pulumi.Config(NAMESPACE)
        default = {key: config.get(key) or "" for key in TLS_KEYS}
        try:
            nodes = [XVirtNode.from_input({**default, **entry}) for entry in config.require_object("nodes")]
            return cls(nodes, tuple(config.get_object("cordoned") or ()))
        except (TypeError, ValueError) as error:
            raise pulumi.RunError(f"configuration {NAMESPACE}:nodes: {error}") from None

    def group(self, name: str) -> FleetGroup:
        """One node for all that is declared with it."""
        return FleetGroup(self, name)

    def to_input(self, group: str = "") -> dict[str, Any]:
        """As it stands among a resource's inputs until the check has chosen."""
        found: dict[str, Any] = {FLEET: [node.to_input() for node in self.nodes]}
        if self.cordoned:
            found["cordoned"] = list(self.cordoned)
        if group:
            found["group"] = group
        return found


@dataclasses.dataclass(frozen=True)
class FleetGroup:
    """What stays together on one node of a fleet."""

    fleet: XVirtFleet
    name: str

    def to_input(self) -> dict[str, Any]:
        """As the fleet's, with the group's name."""
        return self.fleet.to_input(self.name)


class Claim(enum.IntEnum):
    """What a node has: nothing of it, something of its group, or the object itself."""

    NONE = 0
    GROUP = 1
    OBJECT = 2


Ask = Callable[[Mapping[str, Any]], Claim]


def choose(wanted: Mapping[str, Any], before: Mapping[str, Any] | None, name: str, claim_of: Ask) -> dict[str, Any]:
    """The node of an object. `wanted`: a fleet's inputs; `before`: the node in the state; `name`: the object's, for where it has no group;
    `claim_of`: asks a node. Raises InvalidSpec where its node has left the fleet, Unavailable where a node cannot be asked."""
    nodes: list[dict[str, Any]] = [dict(node) for node in wanted[FLEET]]
    if before is not None and not before.get(FLEET):
        return _keep(nodes, before)
    cordoned = set(wanted.get("cordoned") or ())
    claims = [_ask(claim_of, node, is_down_allowed=node["nodeName"] in cordoned) for node in nodes]
    if max(claims) is not Claim.NONE:
        return nodes[claims.index(max(claims))]
    group = wanted.get("group") or name
    return max(_open(nodes, cordoned), key=lambda node: rank(node["nodeName"], group))


def rank(node: str, group: str) -> bytes:
    """How much a node wants a group; the one that wants it most has it."""
    return hashlib.sha256(f"{node}\0{group}".encode()).digest()


def _keep(nodes: Iterable[dict[str, Any]], before: Mapping[str, Any]) -> dict[str, Any]:
    name = before.get("nodeName")
    kept = next((node for node in nodes if node["nodeName"] == name), None)
    if kept is None:
        raise InvalidSpec(
            [
                Problem(
                    "node",
                    f"it is on {name or before.get('address')}, which is not in the fleet",
                    "keep that node and cordon it; to have the object made anew on another one, give node=XVirtNode(...)",
                )
            ]
        )
    return kept


def _open(nodes: Sequence[dict[str, Any]], cordoned: set[str]) -> list[dict[str, Any]]:
    found = [node for node in nodes if node["nodeName"] not in cordoned]
    if not found:
        raise InvalidSpec([Problem("node", "every node of the fleet is cordoned", "add a node, or uncordon one")])
    return found


def _ask(claim_of: Ask, node: Mapping[str, Any], *, is_down_allowed: bool) -> Claim:
    try:
        return claim_of(node)
    except RetryLater as error:
        if is_down_allowed:
            return Claim.NONE
        raise Unavailable(
            f"node {node['nodeName']} cannot be asked whether it has the object already ({error.message}); bring it back,"
            " or cordon it",
        ) from error
