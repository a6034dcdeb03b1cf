"""Many machines in one lab node, and the ways that benchmarks look at them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import libvirt

from tools.lab import Lab, LabSpec, Node
from xvirt.client.blocking import NodeClient
from xvirt.client.target import Target
from xvirt.model.errors import Unavailable
from xvirt.model.exchange import ApplyCall, ObjectRef, ObjectView

WAIT_S = 300.0
PAUSE_S = 0.05
_SCRAPER = """
import json, sys, time, urllib.request
times, size = [], 0
for _ in range(int(sys.argv[1])):
    began = time.perf_counter()
    body = urllib.request.urlopen("http://127.0.0.1:9177/metrics", timeout=60).read()
    times.append(time.perf_counter() - began)
    size = len(body)
print(json.dumps({"times": times, "bytes": size, "text": body.decode()}))
"""


def document(name: str, strategy: str = "Halted", **spec: Any) -> dict[str, Any]:
    """A machine of 32 MiB without disk and NIC: its firmware runs for ever and, once it has found nothing to boot, idles."""
    base = {"memory": {"size": "32Mi"}, "runStrategy": strategy, "terminationGracePeriodSeconds": 0}
    return {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": name},
        "spec": base | spec,
    }


def machine(name: str) -> ObjectRef:
    """Its reference."""
    return ObjectRef(kind="VirtualMachine", namespace="default", name=name)


@dataclasses.dataclass
class Fleet:
    """A node with its client and a libvirt connection of our own."""

    node: Node
    client: NodeClient
    libvirt: libvirt.virConnect

    def declare(self, count: int, strategy: str = "Halted", prefix: str = "vm") -> None:
        """Declare machines and wait until each is as declared."""
        for number in range(count):
            self.client.apply(ApplyCall(document=document(f"{prefix}-{number}", strategy)))
            progress(number + 1, count)
        self.wait(lambda views: all(is_ready(view) for view in views), "all machines to be as declared")

    def views(self) -> list[ObjectView]:
        """All machines."""
        return self.client.list_objects("VirtualMachine")

    def wait(self, is_so: Callable[[list[ObjectView]], bool], what: str) -> None:
        """Poll the list until it is so."""
        deadline = time.monotonic() + WAIT_S
        while not is_so(self.views()):
            if time.monotonic() > deadline:
                raise SystemExit(f"waited {WAIT_S:g} s for {what}")
            time.sleep(PAUSE_S)

    def remove(self, name: str) -> None:
        """Delete a machine and wait until it is gone."""
        self.client.delete(machine(name), force=True)
        self.wait(lambda views: all(view.ref.name != name for view in views), f"{name} to be gone")

    def scrape(self, rounds: int) -> tuple[list[float], int, str]:
        """Scrape /metrics from inside the node: seconds of each scrape, bytes and text of the last."""
        answer = json.loads(self.node.run([sys.executable, "-c", _SCRAPER, str(rounds)], timeout_s=WAIT_S).stdout)
        return answer["times"], answer["bytes"], answer["text"]


@contextlib.contextmanager
def fleet(name: str) -> Iterator[Fleet]:
    """A lab node of one's own."""
    with Lab.up(LabSpec(name=f"bench-{os.getpid()}-{name}")) as lab:
        node = lab.nodes["node-a"]
        connection = libvirt.open(node.libvirt_uri)
        with NodeClient(Target(f"unix://{node.socket_path}")) as client:
            yield Fleet(node, client, connection)
        connection.close()


def is_ready(view: ObjectView) -> bool:
    """Whether the newest generation is as declared."""
    status = view.document.get("status") or {}
    if status.get("observedGeneration") != view.token.generation:
        return False
    return any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions", ()))


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def answers(client: NodeClient) -> list[ObjectView] | None:
    """The list, or None while nobody answers."""
    try:
        return client.list_objects("VirtualMachine")
    except Unavailable:
        return None


def median_ms(values: Sequence[float]) -> float:
    """Median of seconds, in milliseconds."""
    return statistics.median(values) * 1000


def percentile_ms(values: Sequence[float], percent: int) -> float:
    """A percentile of seconds, in milliseconds; the nearest value that was measured."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))] * 1000


def progress(done: int, total: int) -> None:
    """Say how far it is."""
    if done == total or sys.stderr.isatty():
        print(f"\r{done}/{total} ", end="\n" if done == total else "", file=sys.stderr, flush=True)
