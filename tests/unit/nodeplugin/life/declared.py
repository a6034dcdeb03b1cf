"""What callers have declared, as the model of a life knows it, and the documents for it."""

from __future__ import annotations

import dataclasses
from typing import Any

from xvirt.model.exchange import ApplyCall, ObjectRef, Token

API = "xvirt.io/v1alpha1"
NETWORKS = ("lan", "wan")


def document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A document."""
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def network(name: str, *, is_served: bool = False) -> dict[str, Any]:
    """A network; served: with an address of the host, and DHCP."""
    spec: dict[str, Any] = {"mode": "Isolated"}
    if is_served:
        octet = 1 + NETWORKS.index(name)
        ranges = [{"start": f"10.9.{octet}.10", "end": f"10.9.{octet}.99"}]
        spec["subnets"] = [{"address": f"10.9.{octet}.1/24", "dhcp": {"ranges": ranges}}]
    return document("VirtualNetwork", name, spec)


@dataclasses.dataclass(frozen=True)
class Wish:
    """One machine's spec, as far as lives vary it."""

    strategy: str = "Always"
    disks: tuple[tuple[str, str], ...] = ()
    cards: tuple[tuple[str, str], ...] = ()
    cores: int = 1
    has_seed: bool = False
    uses_data: bool = False
    drift: str = "Correct"

    def document(self, name: str) -> dict[str, Any]:
        """The machine's document."""
        disks: list[dict[str, Any]] = [
            {"name": disk, "source": {"size": "8Mi"}, "deletionPolicy": policy} for disk, policy in self.disks
        ]
        if self.uses_data:
            disks.append({"name": "data", "source": {"disk": f"data-{name}"}})
        spec: dict[str, Any] = {
            "cpu": {"cores": self.cores, "max": 3},
            "memory": {"size": "64Mi"},
            "runStrategy": self.strategy,
            "terminationGracePeriodSeconds": 1,
            "driftPolicy": self.drift,
            "disks": disks,
            "nics": [{"name": card, "network": name} for card, name in self.cards],
        }
        if self.has_seed:
            spec["cloudInit"] = {"userData": {"inline": "#cloud-config\n{}\n"}}
        return document("VirtualMachine", name, spec)

    @property
    def disk_names(self) -> set[str]:
        return {disk for disk, _ in self.disks} | ({"data"} if self.uses_data else set())


@dataclasses.dataclass
class Declared:
    """One object as its authority last declared it."""

    ref: ObjectRef
    authority: str
    call: ApplyCall
    generation: int
    wish: Wish | None = None
    is_held: bool = False
    is_paused: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.ref.kind, self.ref.name


def token_for(authority: str, epoch: int, generation: int, seen: int) -> Token:
    """As each sort of authority fences: a cluster by its own numbers, a stack by what it saw, `local` not at all."""
    if authority == "cluster":
        return Token(authority=authority, epoch=epoch, generation=generation)
    return Token(authority=authority, if_generation=seen if authority == "stack" else -1)
