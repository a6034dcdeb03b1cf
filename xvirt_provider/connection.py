"""Which node a resource lives on, and the channels to it.

The default node is the stack's configuration (`xvirt:node`, `xvirt:nodeName`, `xvirt:tlsCa`, `xvirt:tlsCert`, `xvirt:tlsKey`) or the
environment of the same names as the command line's; it stands in no resource, so that moving an endpoint changes no resource.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from xvirt.client.blocking import NodeClient
from xvirt.client.target import Target, make_target

TLS_KEYS = ("tlsCa", "tlsCert", "tlsKey")
KEYS = ("node", "nodeName", *TLS_KEYS)
_VARIABLES = dict(
    zip(KEYS, ("XVIRT_NODE", "XVIRT_NODE_NAME", "XVIRT_TLS_CA", "XVIRT_TLS_CERT", "XVIRT_TLS_KEY"), strict=True)
)
NAMESPACE = "xvirt"


@dataclasses.dataclass(frozen=True, kw_only=True)
class XVirtNode:
    """One node, where a program has several. `address` is `unix:///path` or `tcp://host:port`; TCP needs the rest, too: the name in the
    node's certificate, and paths of PEM files on the machine that runs Pulumi."""

    address: str
    node_name: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""

    @classmethod
    def from_input(cls, value: Mapping[str, Any]) -> XVirtNode:
        """From configuration: `address` and the keys of the stack's own node. Raises ValueError for a key that is none."""
        known = {"address": "address", "nodeName": "node_name"} | dict(
            zip(TLS_KEYS, ("tls_ca", "tls_cert", "tls_key"), strict=True)
        )
        strange = sorted(set(value) - set(known))
        if strange or not value.get("address"):
            raise ValueError(f"a node has address and nodeName, and perhaps {', '.join(TLS_KEYS)}; not {strange}")
        return cls(**{known[key]: str(text) for key, text in value.items()})

    def to_input(self) -> dict[str, str]:
        """As it stands among a resource's inputs: paths, never contents."""
        values = (self.address, self.node_name, self.tls_ca, self.tls_cert, self.tls_key)
        return {key: value for key, value in zip(KEYS, values, strict=True) if value}


def is_other_node(olds: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    """Whether a resource would be on another node than it is. An endpoint may move: names are compared where both are known, else the
    addresses that a program gives."""
    old, new = olds.get("node") or {}, news.get("node") or {}
    before, after = old.get("nodeName") or (olds.get("host") if not old else ""), new.get("nodeName")
    if before and after:
        return bool(before != after)
    return bool(not before and not after and old and new and old.get("node") != new.get("node"))


class Nodes:
    """Clients by node, opened at their first use and kept for the process."""

    def __init__(self, configured: Callable[[str], str | None] = lambda key: None) -> None:
        self._configured = configured
        self._clients: dict[Target, NodeClient] = {}
        self._lock = threading.Lock()

    def client(self, node: Mapping[str, Any] | None) -> NodeClient:
        """The client of a resource's node; None is the default one. Raises InvalidSpec for an address that is none."""
        target = self.target(node)
        with self._lock:
            if target not in self._clients:
                self._clients[target] = NodeClient(target)
            return self._clients[target]

    def target(self, node: Mapping[str, Any] | None) -> Target:
        """Where a resource's node is. Raises InvalidSpec where TCP lacks a TLS file or the node's name."""
        values = {key: str(node.get(key) or "") if node else self._default(key) for key in KEYS}
        return make_target(values["node"], values["nodeName"], (values["tlsCa"], values["tlsCert"], values["tlsKey"]))

    def _default(self, key: str) -> str:
        return self._configured(f"{NAMESPACE}:{key}") or os.environ.get(_VARIABLES[key], "")
