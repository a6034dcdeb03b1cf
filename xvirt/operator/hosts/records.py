"""What is known of one host, as plain values: its Node, its VirtualHost, its link, what is placed on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from xvirt.operator.names import EXTENDED_PREFIX, HOST_LABEL, NODE_PORT_ANNOTATION
from xvirt.operator.nodes.link import HostFacts
from xvirt.operator.nodes.state import Reach


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class NodeRecord:
    """A Node of the cluster. `extended`: what its capacity says of our resources."""

    name: str
    is_host: bool
    is_cordoned: bool = False
    address: str = ""
    port: str = ""
    taints: tuple[Mapping[str, str], ...] = ()
    extended: Mapping[str, str] = dataclasses.field(default_factory=dict)


def read_node(item: Mapping[str, Any]) -> NodeRecord:
    """From the API server's Node, whole or shaped."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    label = (metadata.get("labels") or {}).get(HOST_LABEL)
    addresses: Sequence[Mapping[str, str]] = status.get("addresses") or ()
    capacity = status.get("capacity") or {}
    return NodeRecord(
        name=metadata["name"],
        is_host=label is not None and label != "false",
        is_cordoned=bool(spec.get("unschedulable")),
        address=next((one["address"] for one in addresses if one.get("type") == "InternalIP"), ""),
        port=(metadata.get("annotations") or {}).get(NODE_PORT_ANNOTATION, ""),
        taints=tuple(spec.get("taints") or ()),
        extended={name: value for name, value in capacity.items() if name.startswith(EXTENDED_PREFIX)},
    )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """vCPUs, bytes of memory, and machines."""

    vcpus: int = 0
    memory_bytes: int = 0
    machines: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class HostSettings:
    """What an administrator decides of all hosts that do not say otherwise."""

    port: int = 9443
    cpu_allocation_ratio: int = 1
    memory_overcommit_percent: int = 100
    machines_max: int = 250


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class HostRecord:
    """A VirtualHost of the cluster. `is_made`: by the operator, from a Node."""

    name: str
    generation: int = 1
    is_made: bool = False
    is_deleting: bool = False
    spec: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    status: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class HostScene:
    """Everything that is known of one host.

    `reach`, `facts`, `failure`, `heard`: of its link; `heard` is when it was heard last, empty for never. `placed`: what the cluster's
    machines that it has take. `undeclared`: what it holds for this cluster, which has none of it. `obstacle`: why there is no link.
    """

    name: str
    node: NodeRecord | None = None
    host: HostRecord | None = None
    reach: Reach = Reach.UNKNOWN
    facts: HostFacts = dataclasses.field(default_factory=HostFacts)
    failure: str = ""
    obstacle: str = ""
    heard: str = ""
    holds_objects: bool = False
    placed: Room = Room()
    undeclared: tuple[str, ...] = ()
    settings: HostSettings = HostSettings()
    now_s: float = 0.0
    now: str = "1970-01-01T00:00:00Z"
