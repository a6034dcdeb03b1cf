"""What lab tests declare and wait for, over the real RPC."""

from __future__ import annotations

import copy
import json
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from tools.lab import Node
from xvirt.client.blocking import NodeClient
from xvirt.client.target import Target
from xvirt.model.errors import NotFound, Unavailable
from xvirt.model.exchange import ApplyCall, ApplyResult, ObjectRef, OperateCall, Operation, Verb

Document = dict[str, Any]
DEADLINE_S = 90.0


def network(name: str = "lan", third: int = 150) -> Document:
    """A NAT network with DHCP."""
    subnet = f"192.168.{third}"
    ranges = [{"start": f"{subnet}.10", "end": f"{subnet}.99"}]
    return {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualNetwork",
        "metadata": {"name": name},
        "spec": {"mode": "Nat", "subnets": [{"address": f"{subnet}.1/24", "dhcp": {"ranges": ranges}}]},
    }


def image(path: object, name: str = "guest") -> Document:
    """An image from a file of the node."""
    return {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualImage",
        "metadata": {"name": name},
        "spec": {"source": {"path": str(path)}},
    }


def machine(name: str, **spec: Any) -> Document:
    """A machine with one disk from the test guest and one NIC; `spec` replaces fields."""
    base: Document = {
        "cpu": {"cores": 1, "max": 2},
        "memory": {"size": "160Mi", "max": "512Mi"},
        "disks": [{"name": "root", "source": {"image": "guest", "size": "128Mi"}}],
        "nics": [{"name": "lan", "network": "lan"}],
        "terminationGracePeriodSeconds": 30,
    }
    return {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": base | spec,
    }


def empty_machine(name: str, **spec: Any) -> Document:
    """A machine without disk and NIC: its firmware runs for ever, which is all that many tests need."""
    bare: Document = {
        "cpu": {"cores": 1},
        "memory": {"size": "32Mi"},
        "disks": [],
        "nics": [],
        "terminationGracePeriodSeconds": 0,
    }
    return machine(name, **bare | spec)


class Declared:
    """A client that waits for what it declared."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.client = NodeClient(Target(f"unix://{node.socket_path}"))

    def apply(self, document: Document) -> ApplyResult:
        return self.client.apply(ApplyCall(document=copy.deepcopy(document)))

    def get(self, ref: ObjectRef) -> Document:
        return dict(self.client.get(ref).document)

    def wait(self, ref: ObjectRef, wanted: Callable[[Document], Any], what: str) -> Document:
        """Poll until it holds; fails with the whole status."""
        deadline = time.monotonic() + DEADLINE_S
        document: Document = {}
        while time.monotonic() < deadline:
            try:
                document = self.get(ref)
                if wanted(document):
                    return document
            except (KeyError, IndexError, NotFound, Unavailable):
                pass
            time.sleep(0.1)
        raise AssertionError(f"{ref}: not {what} in {DEADLINE_S:g} s: {json.dumps(document.get('status'))[:3000]}")

    def wait_ready(self, ref: ObjectRef) -> Document:
        return self.wait(ref, is_ready, "Ready")

    def wait_gone(self, ref: ObjectRef) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            try:
                self.client.get(ref)
            except NotFound:
                return
            time.sleep(0.1)
        raise AssertionError(f"{ref} is still there")

    def operate(self, ref: ObjectRef, verb: Verb, **options: Any) -> Operation:
        """Ask, and wait for the operation's end."""
        call = OperateCall(ref=ref, verb=verb, operation_id=str(uuid.uuid4()), **options)
        self.client.operate(call)
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            found = {item.id: item for item in self.client.describe(ref).operations}[call.operation_id]
            if found.state.is_final:
                return found
            time.sleep(0.05)
        raise AssertionError(f"{verb} of {ref} did not end")

    def output_after_seed(self, domain: str, argv: Sequence[str]) -> str:
        """What a guest's command prints once the guest has run its user data, which it does beside its agent."""
        wait = 'until [ -e /run/cidata-done ]; do sleep 0.1; done; exec "$@"'
        return self.node.guest_exec(domain, ["sh", "-c", wait, "sh", *argv]).strip()

    def delete(self, ref: ObjectRef) -> None:
        self.client.delete(ref)
        self.wait_gone(ref)


def vm(name: str) -> ObjectRef:
    return ObjectRef(kind="VirtualMachine", namespace="default", name=name)


def is_ready(document: Document) -> bool:
    return condition(document, "Ready") == "True"


def condition(document: Document, kind: str) -> str | None:
    """Status of a condition, where it is said of the newest generation."""
    generation = document["metadata"]["generation"]
    for item in document.get("status", {}).get("conditions", ()):
        if item["type"] == kind and item["observedGeneration"] == generation:
            return str(item["status"])
    return None


def reason(document: Document, kind: str = "Ready") -> str:
    """Reason of a condition."""
    return next((str(item["reason"]) for item in document["status"]["conditions"] if item["type"] == kind), "")


def has_agent(document: Document) -> bool:
    return is_ready(document) and condition(document, "AgentConnected") == "True"
