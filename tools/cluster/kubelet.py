"""Stands in for the kubelets of nodes that are labelled `lab.xvirt.io/kubelet=fake`: `python -m tools.cluster.kubelet KUBECONFIG`.

A node is an object like any other; whoever makes it says by annotations what it has, and by changing them what becomes of it:

    lab.xvirt.io/allocatable   JSON such as {"cpu": "8", "memory": "32Gi"}; default 8 CPUs, 32Gi, 110 pods
    lab.xvirt.io/address       InternalIP; default 127.0.0.1
    lab.xvirt.io/state         "silent": no lease, no status, pods are left alone, as when the node lost its power or its network

Pods that are bound to such a node become Running. A deleted pod ends at once, as a container that obeys SIGTERM; one whose first
container runs `xvirt-holder` ends when its grace period does. Only then is it deleted from the API, as the real one does.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import hashlib
import json
import logging
import tempfile
from pathlib import Path

import aiohttp

from tools.cluster.api import APPLY, read_access
from tools.cluster.keys import Keys
from tools.cluster.watching import AsyncApi, Json

LABEL = "lab.xvirt.io/kubelet"
ALLOCATABLE, ADDRESS, STATE = "lab.xvirt.io/allocatable", "lab.xvirt.io/address", "lab.xvirt.io/state"
SILENT = "silent"
DEFAULT_ALLOCATABLE = {"cpu": "8", "memory": "32Gi", "pods": "110"}
_STRATEGIC = "application/strategic-merge-patch+json"
_AS = "fieldManager=fake-kubelet&force=true"
_CALLS_AT_ONCE = 32
_HOLDER = "xvirt-holder"
_ANOTHER_BY_NOW = (404, 409, 422)
"""Answers that say that the object is not what was seen; its next event tells."""


class Kubelets:
    """All fake nodes of a cluster."""

    def __init__(self, api: AsyncApi, lease_interval_s: float) -> None:
        self._api = api
        self._lease_interval_s = lease_interval_s
        self._nodes: dict[str, Json] = {}
        self._pods: dict[str, Json] = {}
        self._keys = Keys(self._work, _CALLS_AT_ONCE)

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_nodes())
            tasks.create_task(self._follow_pods())
            tasks.create_task(self._renew_leases())

    async def _work(self, key: str) -> None:
        kind, _, name = key.partition("/")
        try:
            await {"node": self._report, "lease": self._renew, "pod": self._tend}[kind](name)
        except aiohttp.ClientResponseError as error:
            if error.status not in _ANOTHER_BY_NOW:
                raise

    # nodes

    async def _follow_nodes(self) -> None:
        async for kind, node in self._api.follow("/api/v1/nodes", labelSelector=f"{LABEL}=fake"):
            if kind == "DELETED":
                self._nodes.pop(node["metadata"]["name"], None)
            elif kind != "SYNCED":
                self._see_node(node)

    def _see_node(self, node: Json) -> None:
        name = node["metadata"]["name"]
        was_live = name in self._nodes and not _is_silent(self._nodes[name])
        self._nodes[name] = node
        if _is_silent(node):
            return
        if not was_live:
            for uid, pod in self._pods.items():
                if pod["spec"]["nodeName"] == name:
                    self._keys.add(f"pod/{uid}")
        if not was_live or not _is_ready(node):
            self._keys.add(f"node/{name}")

    async def _report(self, name: str) -> None:
        node = self._nodes.get(name)
        if node is not None and not _is_silent(node):
            await self._renew(name)
            await self._api.call("PATCH", f"/api/v1/nodes/{name}/status?{_AS}", node_status(node), APPLY)

    async def _renew_leases(self) -> None:
        while True:
            for name, node in self._nodes.items():
                if not _is_silent(node):
                    self._keys.add(f"lease/{name}")
            await asyncio.sleep(self._lease_interval_s)

    async def _renew(self, name: str) -> None:
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": _now(micro=True)},
        }
        path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}?{_AS}"
        await self._api.call("PATCH", path, lease, APPLY)

    # pods

    async def _follow_pods(self) -> None:
        async for kind, pod in self._api.follow("/api/v1/pods", fieldSelector="spec.nodeName!="):
            if kind == "DELETED":
                self._pods.pop(pod["metadata"]["uid"], None)
            elif kind != "SYNCED":
                self._pods[pod["metadata"]["uid"]] = pod
                self._keys.add(f"pod/{pod['metadata']['uid']}")

    async def _tend(self, uid: str) -> None:
        """Bring one pod a step on; its own writes bring it here again."""
        pod = self._pods.get(uid)
        node = self._nodes.get(pod["spec"]["nodeName"]) if pod is not None else None
        if pod is None or node is None or _is_silent(node):
            return
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        phase = pod.get("status", {}).get("phase", "Pending")
        if pod["metadata"].get("deletionTimestamp") is None:
            if phase == "Pending":
                await self._api.call("PATCH", f"{path}/status", running_status(pod, node), _STRATEGIC)
        elif phase not in ("Succeeded", "Failed"):
            left_s = grace_left_s(pod, datetime.datetime.now(datetime.UTC))
            if left_s > 0:
                self._keys.add(f"pod/{uid}", left_s)
            else:
                await self._api.call("PATCH", f"{path}/status", ended_status(pod), _STRATEGIC)
        elif pod["metadata"].get("deletionGracePeriodSeconds") != 0:
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
            await self._api.call("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **options})


def grace_left_s(pod: Json, now: datetime.datetime) -> float:
    """How long the containers of a deleted pod go on from `now`."""
    command = pod["spec"]["containers"][0].get("command") or [""]
    if Path(command[0]).name != _HOLDER:
        return 0.0
    end = datetime.datetime.fromisoformat(pod["metadata"]["deletionTimestamp"])
    return max((end - now).total_seconds(), 0.0)


def node_status(node: Json) -> Json:
    """A document to apply to a node's status."""
    notes = node["metadata"].get("annotations") or {}
    has: dict[str, str] = {**DEFAULT_ALLOCATABLE, **json.loads(notes.get(ALLOCATABLE, "{}"))}
    now = _now()
    conditions = [
        {"type": kind, "status": "True" if kind == "Ready" else "False", "reason": reason, "message": "fake kubelet"}
        | {"lastHeartbeatTime": now, "lastTransitionTime": now}
        for kind, reason in (
            ("Ready", "KubeletReady"),
            ("MemoryPressure", "KubeletHasSufficientMemory"),
            ("DiskPressure", "KubeletHasNoDiskPressure"),
            ("PIDPressure", "KubeletHasSufficientPID"),
        )
    ]
    addresses = [
        {"type": "InternalIP", "address": notes.get(ADDRESS, "127.0.0.1")},
        {"type": "Hostname", "address": node["metadata"]["name"]},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node["metadata"]["name"]},
        "status": {"capacity": has, "allocatable": has, "conditions": conditions, "addresses": addresses},
    }


def running_status(pod: Json, node: Json) -> Json:
    """A patch of the status of a pod that was just bound."""
    now = _now()
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now}
        for kind in ("Initialized", "PodReadyToStartContainers", "ContainersReady", "Ready")
    ]
    containers = [
        {
            "name": item["name"],
            "image": item["image"],
            "imageID": f"fake://{item['image']}",
            "containerID": f"fake://{pod['metadata']['uid']}/{item['name']}",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": now}},
        }
        for item in pod["spec"]["containers"]
    ]
    notes = node["metadata"].get("annotations") or {}
    digest = hashlib.sha256(pod["metadata"]["uid"].encode()).digest()
    address = f"10.{digest[0]}.{digest[1]}.{digest[2]}"
    places = {"hostIP": notes.get(ADDRESS, "127.0.0.1"), "podIP": address, "podIPs": [{"ip": address}]}
    return {
        "metadata": {"uid": pod["metadata"]["uid"]},
        "status": {
            **places,
            "phase": "Running",
            "startTime": now,
            "conditions": conditions,
            "containerStatuses": containers,
        },
    }


def ended_status(pod: Json) -> Json:
    """A patch of the status of a pod whose containers have ended: killed where they ignored SIGTERM."""
    was_killed = (pod["spec"]["containers"][0].get("command") or [""])[0].endswith(_HOLDER)
    end = {"exitCode": 137 if was_killed else 0, "reason": "Error" if was_killed else "Completed", "finishedAt": _now()}
    containers = [
        {
            "name": item["name"],
            "image": item["image"],
            "imageID": "",
            "restartCount": 0,
            "ready": False,
            "started": False,
        }
        | {"state": {"terminated": end}}
        for item in pod["spec"]["containers"]
    ]
    not_ready = [
        {"type": kind, "status": "False", "reason": "PodCompleted", "lastTransitionTime": _now()}
        for kind in ("Ready", "ContainersReady")
    ]
    phase = "Failed" if was_killed else "Succeeded"
    return {
        "metadata": {"uid": pod["metadata"]["uid"]},
        "status": {"phase": phase, "conditions": not_ready, "containerStatuses": containers},
    }


def _is_silent(node: Json) -> bool:
    return (node["metadata"].get("annotations") or {}).get(STATE) == SILENT


def _is_ready(node: Json) -> bool:
    conditions = node.get("status", {}).get("conditions", ())
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _now(*, micro: bool = False) -> str:
    return datetime.datetime.now(datetime.UTC).strftime(f"%Y-%m-%dT%H:%M:%S{'.%f' if micro else ''}Z")


async def _serve(kubeconfig: Path, lease_interval_s: float) -> None:
    access = read_access(kubeconfig)
    with tempfile.TemporaryDirectory() as scratch:
        context = access.context(Path(scratch))
    connector = aiohttp.TCPConnector(ssl=context, limit=_CALLS_AT_ONCE + 8)
    base = f"https://{access.host}:{access.port}"
    async with aiohttp.ClientSession(base, connector=connector) as session:
        await Kubelets(AsyncApi(session), lease_interval_s).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="stand in for kubelets")
    parser.add_argument("kubeconfig", type=Path)
    parser.add_argument("--lease-interval", type=float, default=10.0, help="seconds")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    asyncio.run(_serve(options.kubeconfig, options.lease_interval))
