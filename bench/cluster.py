"""Many machines through a real API server and scheduler, on fake hosts: what the operator adds, writes and takes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import statistics
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp

from bench.fleet import document
from bench.result import Result
from tools.cluster.api import Api, Json, read_access
from tools.cluster.cluster import bring_up, take_down
from tools.cluster.controlplane import ControlPlane
from tools.cluster.hosts import HostKind, HostsSpec
from tools.cluster.processes import OPERATOR
from tools.cluster.spec import Lifetime
from tools.cluster.watching import AsyncApi
from xvirt.client.blocking import NodeClient
from xvirt.client.target import Target, TlsFiles
from xvirt.model.exchange import ApplyCall, ObjectRef, Token

PER_HOST = 200
CREATORS = 8
DIRECT = 100
WAIT_S = 1800.0
QUIET_S = 20.0
"""Longer than the operator gathers figures that nobody waits for."""
ALONE = 20
IDLE_S = 60.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def cluster_100(rounds: int) -> Result:
    """Goals: 100 ms more at the median than the host alone; at most 6 writes for each machine; none once all is done."""
    return _measure("cluster-100", 100)


def cluster_1000(rounds: int) -> Result:
    """The same for a thousand machines at once; the operator takes at most 300 MB for eight times as many."""
    return _measure("cluster-1000", 1000)


def cluster_8000(rounds: int) -> Result:
    """The same for eight thousand."""
    return _measure("cluster-8000", 8000)


def _measure(name: str, count: int) -> Result:
    hosts = HostsSpec(HostKind.FAKE, max(2, -(-count // PER_HOST)))
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / "cluster"
        bring_up(directory, hosts, Lifetime.OWNER, lambda _text: None)
        try:
            samples = _run(directory, count)
        finally:
            take_down(directory)
    through, direct = statistics.median(samples["one by one"]), statistics.median(samples["host alone"])
    burst = statistics.median(samples["through the cluster"])
    tail = sorted(samples["through the cluster"])[int(count * 0.95) - 1]
    facts = {key: values[0] for key, values in samples.items() if len(values) == 1}
    return Result(
        name=name,
        ratio=through / direct,
        goal="median <= 100 ms more than the host alone; <= 6 writes a machine; <= 300 MB; idle 0",
        method=(
            f"A real API server, scheduler and operator; {hosts.count} fake hosts in one process, on which machines run at once; a fake"
            f" kubelet. {ALONE} machines are created one after the other, then {CREATORS} clients create {count} machines as fast as they can; each is timed from the start of its POST to the"
            f" watch's word that it is Running. Beside it {DIRECT} machines are given to one of the same hosts by its own RPC, one after the other,"
            " from the call to Running. Writes: the operator's own count. Memory: resident, once all run."
        ),
        samples=samples,
        summary=(
            f"one by one median {through * 1000:.0f} ms beside {direct * 1000:.0f} ms of the host alone; {count} at once median"
            f" {burst * 1000:.0f} ms (p95 {tail * 1000:.0f}),"
            f" {facts['machines per second']:.0f} machines/s; {facts['writes per machine']:.2f} writes a machine;"
            f" operator {facts['operator MB']:.0f} MB ({facts['operator kB per machine']:.1f} kB a machine),"
            f" {facts['operator CPU ms per machine']:.1f} ms CPU a machine; {facts['idle writes per minute']:.0f} writes in an idle minute"
        ),
    )


def _run(directory: Path, count: int) -> dict[str, list[float]]:
    plane = ControlPlane.attach(directory)
    direct = _apply_directly(directory, plane.uid)
    alone = _create_one_by_one(directory / "kubeconfig")
    before_writes, before = _settle(directory), _usage(plane)
    seen = _Seen(directory / "kubeconfig", "vm-", count)
    began = time.perf_counter()
    sent = _create(directory / "kubeconfig", count)
    seen.wait()
    took_s = time.perf_counter() - began
    after_writes, after = _settle(directory), _usage(plane)
    time.sleep(IDLE_S)
    return {
        "one by one": alone,
        "through the cluster": [seen.running[name] - sent[name] for name in sent],
        "host alone": direct,
        "machines per second": [count / took_s],
        "writes per machine": [(after_writes - before_writes) / count],
        "operator MB": [after[0] / 1e6],
        "operator kB per machine": [(after[0] - before[0]) / count / 1e3],
        "operator CPU ms per machine": [(after[1] - before[1]) / count * 1e3],
        "idle writes per minute": [(_writes(directory) - after_writes) * 60.0 / IDLE_S],
    }


def _create_one_by_one(kubeconfig: Path) -> list[float]:
    """From the POST to Running, with nothing else to do."""
    api, times = Api(kubeconfig), []
    seen = _Seen(kubeconfig, "alone-", ALONE)
    for number in range(ALONE):
        name = f"alone-{number}"
        made = document(name, "Always")
        made["metadata"]["namespace"] = "default"
        began = time.perf_counter()
        api.create(made)
        while name not in seen.running:
            time.sleep(0.002)
        times.append(seen.running[name] - began)
    return times


def _create(kubeconfig: Path, count: int) -> dict[str, float]:
    """When each creation began."""
    api, sent = Api(kubeconfig), dict[str, float]()

    def create(number: int) -> None:
        made = document(f"vm-{number}", "Always")
        made["metadata"]["namespace"] = "default"
        sent[f"vm-{number}"] = time.perf_counter()
        api.create(made)

    with ThreadPoolExecutor(CREATORS) as pool:
        list(pool.map(create, range(count)))
    return sent


class _Seen:
    """Watches machines until so many run; `running` is when each was seen to."""

    def __init__(self, kubeconfig: Path, prefix: str, count: int) -> None:
        self.running: dict[str, float] = {}
        self._prefix, self._count = prefix, count
        self._done = threading.Event()
        self._watching = threading.Event()
        self._kubeconfig = kubeconfig
        threading.Thread(target=lambda: asyncio.run(self._watch()), daemon=True).start()
        if not self._watching.wait(60.0):
            raise TimeoutError("no watch of machines within 60 s")

    def wait(self) -> None:
        """Raises TimeoutError where they never run."""
        if not self._done.wait(WAIT_S):
            raise TimeoutError(f"{len(self.running)} of {self._count} machines run after {WAIT_S:g} s")

    async def _watch(self) -> None:
        access = read_access(self._kubeconfig)
        context = access.context(self._kubeconfig.parent)
        base = f"https://{access.host}:{access.port}"
        async with aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(ssl=context)) as session:
            async for word, item in AsyncApi(session).follow("/apis/xvirt.io/v1alpha1/virtualmachines"):
                self._watching.set()
                if word != "SYNCED":
                    self._take(item)
                if len(self.running) == self._count:
                    self._done.set()
                    return

    def _take(self, item: Json) -> None:
        name = item["metadata"]["name"]
        if not name.startswith(self._prefix):
            return
        if name not in self.running and (item.get("status") or {}).get("printableStatus") == "Running":
            self.running[name] = time.perf_counter()


def _apply_directly(directory: Path, authority: str) -> list[float]:
    """One host alone: from the call to Running. The machines are removed again."""
    place = directory / "fake-hosts"
    name, port = next(iter(json.loads((place / "hosts.json").read_text()).items()))
    pki = place / "pki"
    files = TlsFiles(pki / "ca.crt", pki / f"{OPERATOR}.crt", pki / f"{OPERATOR}.key")
    times = []
    with NodeClient(Target(f"tcp://127.0.0.1:{port}", name, files)) as client:
        for number in range(DIRECT):
            made = document(f"direct-{number}", "Always")
            began = time.perf_counter()
            ref = client.apply(ApplyCall(document=made, token=Token(authority=authority))).object.ref
            while (client.get(ref).document.get("status") or {}).get("printableStatus") != "Running":
                time.sleep(0.001)
            times.append(time.perf_counter() - began)
            client.delete(ObjectRef(uid=ref.uid), Token(authority=authority))
    return times


def _settle(directory: Path) -> float:
    """The operator's writes, once it has made none for a while."""
    deadline = time.monotonic() + WAIT_S
    count, since = _writes(directory), time.monotonic()
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = _writes(directory)
        if now != count:
            count, since = now, time.monotonic()
        elif time.monotonic() - since >= QUIET_S:
            return count
    raise TimeoutError(f"the operator still writes after {WAIT_S:g} s")


def _writes(directory: Path) -> float:
    """All but the renewals of its lease."""
    config = (directory / f"{OPERATOR}.yaml").read_text()
    found = re.search(r"listen: (\S+)", config)
    assert found is not None, config
    text = urllib.request.urlopen(f"http://{found.group(1)}/metrics", timeout=10).read().decode()
    lines = re.findall(r"^\w*api_writes_total\{(.*)\} (\S+)$", text, flags=re.M)
    return sum(float(value) for labels, value in lines if 'resource="leases"' not in labels)


def _usage(plane: ControlPlane) -> tuple[int, float]:
    """The operator's resident bytes and CPU seconds."""
    pid = plane.services.process(OPERATOR).pid
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return resident, (int(fields[11]) + int(fields[12])) / _TICKS
