"""Which host a machine is on, how the host is reached, and the token that calls to it carry: read anew for each request."""

from __future__ import annotations

import dataclasses

from xvirt.gateway.cluster import ask
from xvirt.gateway.paths import Target
from xvirt.model.errors import Conflict, NotFound, Unavailable
from xvirt.model.exchange import ObjectRef, Token
from xvirt.operator.kinds import VIRTUAL_HOSTS, VIRTUAL_MACHINES
from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.resources import LEASES, NAMESPACES, Key, Object, uid_of
from xvirt.wire.subresources import MACHINE

_CLUSTER = Key("", "kube-system")


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine that has a place. `address` is `host:port` of its host's node plugin."""

    ref: ObjectRef
    host: str
    address: str


class Machines:
    """Finds machines, and the token of the cluster's leader."""

    def __init__(self, client: ApiClient, lease: Key) -> None:
        self._client = client
        self._lease = lease
        self._authority = ""

    async def find(self, target: Target) -> Machine:
        """Raises NotFound where there is no such machine, Conflict where it has no place yet, Unavailable where its host has no address."""
        key = Key(target.namespace, target.name)
        try:
            found = await ask(self._client.get(VIRTUAL_MACHINES, key), "the machine cannot be read")
        except NotFound:
            raise NotFound(f"{MACHINE} {key} is not there") from None
        host = str((found.get("status") or {}).get("nodeName") or "")
        if not host:
            raise Conflict(f"{MACHINE} {key} is on no host yet{_why(found)}", reason="NotPlaced")
        ref = ObjectRef(kind=MACHINE, namespace=target.namespace, name=target.name, uid=uid_of(found))
        return Machine(ref, host, await self._find_address(host))

    async def _find_address(self, host: str) -> str:
        """What is declared, else what the operator found: of the Node, also after that is gone."""
        try:
            found = await ask(self._client.get(VIRTUAL_HOSTS, Key("", host)), f"host {host} cannot be read")
        except NotFound:
            found = {}
        address = (found.get("spec") or {}).get("address") or (found.get("status") or {}).get("address")
        if not address:
            remedy = f"see `kubectl get virtualhost {host}`, and give it spec.address"
            raise Unavailable(f"nobody says where host {host} is; {remedy}", reason="HostUnknown")
        return str(address)

    async def token(self) -> Token:
        """The cluster's authority and its leader's epoch. Raises Unavailable where no operator has ever led."""
        if not self._authority:
            self._authority = uid_of(await ask(self._client.get(NAMESPACES, _CLUSTER), "kube-system cannot be read"))
        try:
            lease = await ask(self._client.get(LEASES, self._lease), "the operator's Lease cannot be read")
        except NotFound:
            remedy = "is xvirt-operator running, and is it the gateway's `lease`?"
            raise Unavailable(f"Lease {self._lease} is not there; {remedy}", reason="NoOperator") from None
        epoch = int((lease.get("spec") or {}).get("leaseTransitions") or 0)
        return Token(authority=self._authority, epoch=epoch)


def _why(found: Object) -> str:
    """What the machine says of its waiting."""
    for item in (found.get("status") or {}).get("conditions") or ():
        if item.get("type") == "Ready" and item.get("message"):
            return f": {item['message']}"
    return "; wait until it is placed"
