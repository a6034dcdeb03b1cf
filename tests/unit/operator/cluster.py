"""A cluster in memory and virtual time: API server, scheduler and kubelets as far as holders see them, hosts, and operators that come and go."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

from tests.fakes.apiserver import FakeApiServer
from tests.fakes.virtualtime import VirtualTime
from tests.unit.operator.hosts_in_memory import MemoryHost
from xvirt.model.errors import Unavailable
from xvirt.operator.kinds import VIRTUAL_HOSTS, VIRTUAL_MACHINES
from xvirt.operator.names import HOST_LABEL, OPEN_RESOURCE, SLOTS_RESOURCE
from xvirt.operator.nodes.link import NodeClient
from xvirt.operator.operator import Operator, OperatorParts
from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.lease import LeaseOptions
from xvirt.operator.runtime.resources import EVENTS, NAMESPACES, NODES, PODS, SECRETS, Key, Object

PATIENCE_S = 900.0
"""Virtual: a wait that ends the test."""
VM = Key("default", "web")
TWO = ("node-a", "node-b")
"""Hosts."""


def machine(name: str = "web", namespace: str = "default", **more: Any) -> Object:
    """A small machine's manifest; `more` goes over its spec, `annotations` and `labels` into its metadata."""
    metadata: Object = {"name": name, "namespace": namespace}
    for part in ("annotations", "labels"):
        if part in more:
            metadata[part] = more.pop(part)
    return {"metadata": metadata, "spec": {"cpu": {"cores": 1}, "memory": {"size": "64Mi"}, **more}}


class Cluster:
    """Everything but the operator, which `operator` starts and stops."""

    def __init__(self, time: VirtualTime, directory: Path, hosts: Iterable[str] = ("node-a",)) -> None:
        self.time = time
        self.server = FakeApiServer(time.clock)
        self.hosts = {name: MemoryHost(directory / name, name) for name in hosts}
        self.is_scheduling = True
        self.losses: list[str] = []
        self._numbers = itertools.count(1)
        for name in ("kube-system", "default"):
            self.server.write(NAMESPACES, {"metadata": {"name": name}})
        for name in self.hosts:
            self.add_node(name)

    def add_node(self, name: str, **labels: str) -> None:
        """A Node that is a host."""
        made: Object = {
            "metadata": {"name": name, "labels": {HOST_LABEL: "true", **labels}},
            "spec": {},
        }
        self.server.write(NODES, made)
        node = self.need(NODES, Key("", name))
        node["status"] = {
            "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
            "capacity": {"cpu": "8", "memory": "32Gi"},
        }
        self.server.write(NODES, node, "status")

    # objects

    def need(self, resource: Any, key: Key) -> Object:
        found = self.server.find(resource, key)
        assert found is not None, f"no {resource.kind} {key}"
        return found

    def vm(self, key: Key = VM) -> Object:
        return self.need(VIRTUAL_MACHINES, key)

    def status(self, key: Key = VM) -> Object:
        found = self.server.find(VIRTUAL_MACHINES, key) or {}
        return dict(found.get("status") or {})

    def condition(self, kind: str, key: Key = VM) -> Object:
        items = self.status(key).get("conditions") or ()
        return next((item for item in items if item["type"] == kind), {})

    def host(self, name: str = "node-a") -> Object:
        return dict((self.server.find(VIRTUAL_HOSTS, Key("", name)) or {}).get("status") or {})

    def holders(self) -> list[Object]:
        return self.server.objects(PODS)

    def create(self, item: Object) -> Object:
        return self.server.write(VIRTUAL_MACHINES, item)

    def change(self, key: Key = VM, **spec: Any) -> None:
        item = self.vm(key)
        item["spec"] |= spec
        self.server.write(VIRTUAL_MACHINES, item)

    def annotate(self, resource: Any, key: Key, **more: Any) -> None:
        """`annotations` or `labels`; None removes one."""
        item = self.need(resource, key)
        for part, values in more.items():
            known = item["metadata"].setdefault(part, {})
            for name, value in values.items():
                known.pop(name, None) if value is None else known.update({name: value})
        self.server.write(resource, item)

    def delete(self, key: Key = VM) -> None:
        self.server.remove(VIRTUAL_MACHINES, key)

    def put_secret(self, name: str, **data: str) -> None:
        self.server.write(SECRETS, {"metadata": {"name": name, "namespace": "default"}, "stringData": data})

    # waiting

    async def until(self, is_so: Callable[[], Any], what: str = "") -> None:
        """Wait until something is so. Raises AssertionError where it does not become so."""
        since_s = self.time.clock.monotonic_s()
        while not is_so():
            waited_s = self.time.clock.monotonic_s() - since_s
            assert waited_s < PATIENCE_S, what or f"never: {self.describe()}"
            await asyncio.sleep(0.01 if waited_s < 2 else 0.2)

    async def running(self, key: Key = VM) -> None:
        await self.until(lambda: self.condition("Ready", key).get("status") == "True")

    async def gone(self, key: Key = VM) -> None:
        await self.until(lambda: self.server.find(VIRTUAL_MACHINES, key) is None and not self._holders_of(key))

    async def calm(self, calm_s: float = 5.0) -> None:
        """Wait until nobody has written anything for a while."""
        count, since_s = -1, 0.0
        while True:
            writes = sum(sent.is_write and "leases" not in sent.path for sent in self.server.sent)
            now_s = self.time.clock.monotonic_s()
            if writes != count:
                count, since_s = writes, now_s
            elif now_s - since_s >= calm_s:
                return
            await asyncio.sleep(0.5)

    async def rest(self, rest_s: float) -> None:
        """Let time pass."""
        ends_s = self.time.clock.monotonic_s() + rest_s
        while self.time.clock.monotonic_s() < ends_s:
            await asyncio.sleep(1.0)

    def events(self, reason: str = "") -> list[Object]:
        """Events of the cluster: all, or of one reason."""
        return [event for event in self.server.objects(EVENTS) if reason in ("", event["reason"])]

    def bind(self, pod: Object, host: str) -> None:
        """Put a pod on a host, as a scheduler does."""
        self.server.write(PODS, {**pod, "spec": {**pod["spec"], "nodeName": host}})

    def _holders_of(self, key: Key) -> list[Object]:
        return [pod for pod in self.holders() if pod["metadata"]["labels"].get("xvirt.io/vm-name") == key.name]

    def describe(self) -> str:
        pods = [(pod["metadata"]["name"], pod["spec"].get("nodeName"), pod.get("status")) for pod in self.holders()]
        return f"{[(vm['metadata'], vm.get('status')) for vm in self.server.objects(VIRTUAL_MACHINES)]} {pods}"

    def writes(self) -> list[str]:
        """Writes of operators to anything but leases and events."""
        return [
            f"{sent.method} {sent.path}"
            for sent in self.server.sent
            if sent.is_write and "/leases" not in sent.path and "/events" not in sent.path
        ]

    def domains(self) -> dict[str, list[str]]:
        """Host to the UUIDs of its domains."""
        return {name: sorted(host.domains()) for name, host in self.hosts.items()}

    # who else works here

    async def schedule(self) -> None:
        """Scheduler and kubelets, for ever: bind what fits, let it run, delete what must go."""
        while True:
            if self.is_scheduling:
                for pod in self.holders():
                    self._tend(pod)
            self.server.collect_garbage()
            await self._news()

    async def _news(self) -> None:
        """Wait until somebody has written something, and a moment longer."""
        news = self.server._news
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await news.wait()
        await asyncio.sleep(0.005)

    def _tend(self, pod: Object) -> None:
        if pod["spec"].get("nodeName"):
            if (pod.get("status") or {}).get("phase") is None:
                pod["status"] = {**(pod.get("status") or {}), "phase": "Running"}
                self.server.write(PODS, pod, "status")
            return
        if pod["metadata"].get("deletionTimestamp"):
            return
        fit = [node for node in self.server.objects(NODES) if self._fits(pod, node)]
        if fit:
            bound = {**pod, "spec": {**pod["spec"], "nodeName": fit[0]["metadata"]["name"]}}
            self.server.write(PODS, bound)
            return
        told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
        told["message"] = f"0/{len(self.server.objects(NODES))} nodes are available."
        if (pod.get("status") or {}).get("conditions") != [told]:
            self.server.write(PODS, {**pod, "status": {"conditions": [told]}}, "status")

    def _fits(self, pod: Object, node: Object) -> bool:
        name = node["metadata"]["name"]
        affinity = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        term = affinity["nodeSelectorTerms"][0]
        if any(name not in field["values"] for field in term.get("matchFields", ())):
            return False
        label = node["metadata"]["labels"].get(HOST_LABEL)
        if term.get("matchExpressions") and label in (None, "false"):
            return False
        if node["spec"].get("unschedulable") and {"operator": "Exists"} not in pod["spec"]["tolerations"]:
            return False
        wanted = pod["spec"].get("nodeSelector") or {}
        if any(node["metadata"]["labels"].get(key) != value for key, value in wanted.items()):
            return False
        capacity = (node.get("status") or {}).get("capacity", {})
        slots = int(capacity.get(SLOTS_RESOURCE, "0"))
        if OPEN_RESOURCE in pod["spec"]["containers"][0]["resources"]["requests"]:
            slots = min(slots, int(capacity.get(OPEN_RESOURCE, "0")))
        taken = sum(
            other["spec"].get("nodeName") == name
            and (other.get("status") or {}).get("phase") not in ("Failed", "Succeeded")
            for other in self.holders()
        )
        return bool(taken < slots)

    # operators

    def open_client(self, host: str, address: str) -> NodeClient:
        found = self.hosts.get(host)
        if found is None:
            raise Unavailable(f"host {host} has no plugin")
        return found.client()

    def make_operator(self) -> Operator:
        """A new process."""
        identity = f"operator-{next(self._numbers)}"
        client = ApiClient(self.server, manager="xvirt-operator", clock=self.time.clock)
        return Operator(
            OperatorParts(
                client=client,
                open_client=self.open_client,
                lease=LeaseOptions("kube-system", "xvirt-operator", identity),
                on_lost=self.losses.append,
            )
        )

    @contextlib.asynccontextmanager
    async def operator(self, *, is_released: bool = True) -> AsyncIterator[Operator]:
        """An operator until the block is left; where it is not released, as if killed."""
        made = self.make_operator()
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            if task.done():
                task.result()  # it ended by a bug
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if is_released:
                await made.release()


@contextlib.asynccontextmanager
async def living(cluster: Cluster) -> AsyncIterator[Cluster]:
    """A cluster whose scheduler and kubelets work while the block runs."""
    task = asyncio.create_task(cluster.schedule())
    try:
        yield cluster
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def play(
    directory: Path,
    story: Callable[[Cluster], Any],
    hosts: Iterable[str] = ("node-a",),
    of_class: type[Cluster] = Cluster,
) -> None:
    """Run a story in a new cluster, in virtual time."""
    random.seed(1)
    with VirtualTime() as time:

        async def main() -> None:
            async with living(of_class(time, directory, hosts)) as cluster:
                await story(cluster)

        time.run(main())
