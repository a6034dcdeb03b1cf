"""Many machines through a real API server and scheduler, on fake hosts: what the operator adds, writes and takes."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

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

PER_HOST = 50
"""A fake host has 64 CPUs; what comes while as much still goes needs room, too."""
CLIENTS = 8
DIRECT = 100
WAIT_S = 1800.0
QUIET_S = 20.0
"""Longer than the operator gathers figures that nobody waits for."""
ALONE = 20
IDLE_S = 60.0
CHANGE = {"terminationGracePeriodSeconds": 1}
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
    facts = {key: values[0] for key, values in samples.items() if len(values) == 1}
    through, direct = (statistics.median(samples[key]) for key in ("one by one", "host alone"))
    churn = "; ".join(
        f"{key.removeprefix('churn: ')} {_spread(values)}"
        for key, values in samples.items()
        if key.startswith("churn: ")
    )
    return Result(
        name=name,
        ratio=through / direct,
        goal="median <= 100 ms more than the host alone; <= 6 writes a machine; <= 300 MB; idle 0",
        method=(
            f"A real API server, scheduler and operator; {hosts.count} fake hosts in one process, on which machines run at once; a fake"
            f" kubelet. {ALONE} machines are created one after the other, then {CLIENTS} clients create {count} machines as fast as they can; each is timed from the start of its POST to the"
            f" watch's word that it is Running. Beside it {DIRECT} machines are given to one of the same hosts by its own RPC, one after the other,"
            " from the call to Running. Writes: the operator's own count. Memory: resident, once all run, and at most in all of the run."
            " Churn, when all run: a tenth is deleted while as many are created and another tenth is changed."
        ),
        samples=samples,
        summary=(
            f"one by one median {through * 1000:.0f} ms beside {direct * 1000:.0f} ms of the host alone; {count} at once"
            f" {_spread(samples['through the cluster'])},"
            f" {facts['machines per second']:.0f} machines/s; {facts['writes per machine']:.2f} writes a machine;"
            f" operator {facts['operator MB']:.0f} MB (at most {facts['operator MB at most']:.0f}; {facts['operator kB per machine']:.1f} kB a machine),"
            f" {facts['operator CPU ms per machine']:.1f} ms CPU a machine; {facts['idle writes per minute']:.0f} writes in an idle minute;"
            f" a tenth in churn: {churn}; {facts['operator MB after churn']:.0f} MB afterwards"
        ),
    )


def _spread(times: list[float]) -> str:
    """Median and 95th percentile."""
    tail = sorted(times)[max(0, math.ceil(len(times) * 0.95) - 1)]
    return f"median {statistics.median(times) * 1000:.0f} ms (p95 {tail * 1000:.0f})"


def _run(directory: Path, count: int) -> dict[str, list[float]]:
    plane = ControlPlane.attach(directory)
    direct = _apply_directly(directory, plane.uid)
    crowd = _Crowd(directory / "kubeconfig")
    alone = [_waited(crowd.running, crowd.create([f"alone-{number}"])) for number in range(ALONE)]
    before_writes, before = _settle(directory), _usage(plane)
    names = [f"vm-{number}" for number in range(count)]
    began = time.perf_counter()
    burst = _waited(crowd.running, crowd.create(names))
    took_s = time.perf_counter() - began
    after_writes, after = _settle(directory), _usage(plane)
    time.sleep(IDLE_S)
    idle = _writes(directory) - after_writes
    churned = _churn(crowd, names)
    _settle(directory)
    last = _usage(plane)
    return {
        "one by one": [time_s for times in alone for time_s in times],
        "through the cluster": burst,
        "host alone": direct,
        **churned,
        "machines per second": [count / took_s],
        "writes per machine": [(after_writes - before_writes) / count],
        "operator MB": [after.resident / 1e6],
        "operator MB at most": [last.peak / 1e6],
        "operator MB after churn": [last.resident / 1e6],
        "operator kB per machine": [(after.resident - before.resident) / count / 1e3],
        "operator CPU ms per machine": [(after.cpu_s - before.cpu_s) / count * 1e3],
        "idle writes per minute": [idle * 60.0 / IDLE_S],
    }


def _churn(crowd: _Crowd, names: list[str]) -> dict[str, list[float]]:
    """At once: a tenth goes, as many come, and another tenth gets another spec."""
    tenth = max(1, len(names) // 10)
    newcomers = [f"new-{number}" for number in range(tenth)]
    with ThreadPoolExecutor(3) as pool:
        gone = pool.submit(crowd.delete, names[:tenth])
        changed = pool.submit(crowd.change, names[tenth : 2 * tenth])
        came = pool.submit(crowd.create, newcomers)
        return {
            "churn: created to Running": _waited(crowd.running, came.result()),
            "churn: deleted to gone": _waited(crowd.gone, gone.result()),
            "churn: changed to Ready": _waited(crowd.settled, changed.result()),
        }


class _Marks:
    """When each name was first seen to be so."""

    def __init__(self) -> None:
        self._times: dict[str, float] = {}
        self._more = threading.Condition()

    def note(self, name: str) -> None:
        with self._more:
            if name not in self._times:
                self._times[name] = time.perf_counter()
                self._more.notify_all()

    def wait(self, names: Iterable[str]) -> dict[str, float]:
        """Raises TimeoutError where some never are."""
        wanted = set(names)
        with self._more:
            if not self._more.wait_for(lambda: wanted <= self._times.keys(), WAIT_S):
                raise TimeoutError(
                    f"{len(wanted - self._times.keys())} of {len(wanted)} are missing after {WAIT_S:g} s"
                )
            return {name: self._times[name] for name in wanted}


def _waited(marks: _Marks, sent: dict[str, float]) -> list[float]:
    """Seconds from each request to what was waited for."""
    return [seen - sent[name] for name, seen in marks.wait(sent).items()]


class _Crowd:
    """Machines of one namespace: asks for them by several connections and watches what becomes of them."""

    def __init__(self, kubeconfig: Path) -> None:
        self.running, self.gone, self.settled = _Marks(), _Marks(), _Marks()
        self._kubeconfig = kubeconfig
        self._api = Api(kubeconfig)
        self._watching = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._watch()), daemon=True).start()
        if not self._watching.wait(60.0):
            raise TimeoutError("no watch of machines within 60 s")

    def create(self, names: list[str]) -> dict[str, float]:
        """When each request began; so do the others."""
        return self._each(names, lambda name: self._api.create(_machine(name)))

    def delete(self, names: list[str]) -> dict[str, float]:
        return self._each(names, lambda name: self._api.delete(_machine(name)))

    def change(self, names: list[str]) -> dict[str, float]:
        return self._each(names, lambda name: self._api.merge(_machine(name), {"spec": CHANGE}))

    def _each(self, names: list[str], ask: Callable[[str], object]) -> dict[str, float]:
        sent = dict[str, float]()

        def one(name: str) -> None:
            sent[name] = time.perf_counter()
            ask(name)

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(one, names))
        return sent

    async def _watch(self) -> None:
        access = read_access(self._kubeconfig)
        context = access.context(self._kubeconfig.parent)
        base = f"https://{access.host}:{access.port}"
        async with aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(ssl=context)) as session:
            async for word, item in AsyncApi(session).follow("/apis/xvirt.io/v1alpha1/virtualmachines"):
                self._watching.set()
                if word != "SYNCED":
                    self._take(word, item)

    def _take(self, word: str, item: Json) -> None:
        name = item["metadata"]["name"]
        status = item.get("status") or {}
        if word == "DELETED":
            self.gone.note(name)
        elif status.get("printableStatus") == "Running":
            self.running.note(name)
            if status.get("observedGeneration") == item["metadata"]["generation"] > 1:
                self.settled.note(name)


def _machine(name: str) -> Json:
    made = document(name, "Always")
    made["metadata"]["namespace"] = "default"
    return made


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


class _Usage(NamedTuple):
    """Of the operator: bytes resident now and at most, CPU seconds."""

    resident: int
    peak: int
    cpu_s: float


def _usage(plane: ControlPlane) -> _Usage:
    pid = plane.services.process(OPERATOR).pid
    sizes = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), flags=re.M))
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS
    return _Usage(int(sizes["VmRSS"]) * 1024, int(sizes["VmHWM"]) * 1024, cpu_s)
