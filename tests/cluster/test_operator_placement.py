"""Where machines come to: the stock scheduler's choice, over small hosts, a real API server and the operator's own process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.operators import Machines, OperatorProcess, OperatorSpec, kubeconfig_of_operator, running
from tools.cluster.api import Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.fakehosts import FakeHosts
from tools.cluster.fakehosts.answers import Size
from tools.cluster.fakehosts.group import HostOptions
from tools.cluster.nodes import add_nodes, reference

SMALL = {"nodeSelector": {"size": "small"}}
NAMES = ("small-a", "small-b", "small-c")


@pytest.fixture(scope="module", autouse=True)
def small(installed: ControlPlane, hosts: FakeHosts) -> Iterator[FakeHosts]:
    """Three hosts of 6 CPUs, with a label of their own."""
    options = HostOptions(authority=installed.uid, size=Size(cpus=6, memory_bytes=16 << 30))
    with FakeHosts(list(NAMES), hosts.pki, options) as made:
        specs = made.node_specs
        add_nodes(installed.api, specs)
        for spec in specs:
            installed.api.merge(reference(spec.name), {"metadata": {"labels": {"size": "small"}}})
        yield made
        for spec in specs:
            installed.api.delete(reference(spec.name))


@pytest.fixture(scope="module", autouse=True)
def operator(
    installed: ControlPlane, hosts: FakeHosts, small: FakeHosts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    directory = tmp_path_factory.mktemp("operator")
    spec = OperatorSpec(directory=directory, kubeconfig=kubeconfig_of_operator(installed), pki=hosts.pki)
    with running(spec) as process:
        machines = Machines(installed, "default")
        for name in NAMES:
            machines.until(lambda name=name: slots(machines, name) > 0, f"{name} to offer room")  # type: ignore[misc]
        yield process
        print(process.text()[-4000:])


def slots(machines: Machines, name: str) -> int:
    """Machines that a host is open to."""
    node = machines.api.find(reference(name)) or {}
    return int(node.get("status", {}).get("allocatable", {}).get("xvirt.io/open", "0"))


def big(machines: Machines, name: str, **placement: object) -> str:
    """A machine of 4 CPUs: one fits on a small host."""
    return machines.create(name, cpu={"cores": 4}, labels={"app": "big"}, placement={**SMALL, **placement})


def test_row_05_machines_go_where_there_is_room_and_wait_with_a_reason_where_there_is_none(machines: Machines) -> None:
    for name in ("one", "two", "three"):
        big(machines, name)
        machines.wait_running(name)
    assert {machines.host_of(name) for name in ("one", "two", "three")} == set(NAMES)
    big(machines, "four")
    machines.until(lambda: machines.condition("four", "Ready").get("reason") == "Unschedulable", "the reason")
    told = machines.condition("four", "Ready")
    assert "nodes are available" in told["message"]
    assert machines.condition("four", "Stalled")["status"] == "False"
    assert machines.status("four")["printableStatus"] == "Pending"
    machines.delete("two")
    machines.wait_running("four")


def test_row_05_a_pending_machine_follows_what_its_spec_says_now(machines: Machines) -> None:
    machines.create("web", placement={"nodeSelector": {"size": "none"}})
    machines.until(lambda: machines.condition("web", "Ready").get("reason") == "Unschedulable", "the reason")
    machines.change("web", placement=SMALL)
    machines.change("web", placement={"nodeSelector": {"size": "small"}})
    machines.wait_running("web")
    assert machines.host_of("web") in NAMES


def test_row_05_affinity_and_anti_affinity_are_the_schedulers(machines: Machines) -> None:
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    term = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}
    machines.create("first", labels={"app": "db"}, placement=SMALL)
    machines.wait_running("first")
    near = {"affinity": {"podAffinity": {required: [term]}}}
    far = {"affinity": {"podAntiAffinity": {required: [term]}}}
    machines.create("near", placement={**SMALL, **near})
    machines.create("far", placement={**SMALL, **far})
    machines.wait_running("near", "far")
    assert machines.host_of("near") == machines.host_of("first") != machines.host_of("far")
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["small-b"]}
    nodes = {"nodeAffinity": {required: {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}}
    machines.create("there", placement={"affinity": nodes})
    machines.wait_running("there")
    assert machines.host_of("there") == "small-b"


def test_row_05_taints_keep_machines_away_that_do_not_tolerate_them(machines: Machines) -> None:
    taint = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
    for name in ("small-a", "small-b"):
        machines.api.merge(reference(name), {"spec": {"taints": [taint]}})
    try:
        machines.create("plain", placement=SMALL)
        machines.wait_running("plain")
        assert machines.host_of("plain") == "small-c"
        tolerations = [{"key": "dedicated", "operator": "Exists"}]
        expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["small-a"]}
        required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
        affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
        machines.create("tolerant", placement={"affinity": affinity, "tolerations": tolerations})
        machines.wait_running("tolerant")
        assert machines.host_of("tolerant") == "small-a"
    finally:
        for name in ("small-a", "small-b"):
            machines.api.merge(reference(name), {"spec": {"taints": None}})


def test_row_06_a_pod_is_not_put_where_a_machine_takes_the_cpus_for_as_long_as_it_lives(machines: Machines) -> None:
    machines.create("web", cpu={"cores": 4}, placement={"host": "small-a"})
    machines.wait_running("web")
    pod = pinned_pod(machines.namespace, "small-a", "4")
    machines.api.create(pod)
    machines.until(lambda: scheduled(machines, pod).get("status") == "False", "the scheduler to say no")
    assert "Insufficient cpu" in scheduled(machines, pod)["message"]
    machines.delete("web")
    machines.wait_gone("web")
    machines.until(lambda: machines.api.read(pod)["spec"].get("nodeName") == "small-a", "the pod to get the room")


def pinned_pod(namespace: str, node: str, cpu: str) -> Json:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}
    selector = {"kubernetes.io/hostname": node}
    metadata = {"name": "hungry", "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeSelector": selector, "containers": [container]},
    }


def scheduled(machines: Machines, pod: Json) -> Json:
    conditions = machines.api.read(pod).get("status", {}).get("conditions", ())
    return next((item for item in conditions if item["type"] == "PodScheduled"), {})


def test_row_62_a_hosts_own_ratio_is_how_much_it_takes(machines: Machines) -> None:
    document = machines.host_document("small-b")
    machines.api.merge(document, {"spec": {"maxMachines": 1}})
    try:
        machines.until(lambda: slots(machines, "small-b") == 1, "the host to offer one place")
        for name in ("one", "two"):
            machines.create(name, placement={"host": "small-b"})
        machines.until(
            lambda: (
                sorted(str(machines.condition(name, "Ready").get("reason")) for name in ("one", "two"))
                == ["Running", "Unschedulable"]
            ),
            "one to run and one to wait",
        )
    finally:
        machines.api.merge(document, {"spec": {"maxMachines": None}})
    machines.wait_running("one", "two")


def test_row_16_a_cordoned_host_takes_no_new_machine_and_keeps_its_own(machines: Machines) -> None:
    machines.create("old", placement={"host": "small-c"})
    machines.wait_running("old")
    document = machines.host_document("small-c")
    machines.api.merge(document, {"spec": {"unschedulable": True}})
    try:
        machines.until(lambda: machines.host("small-c").get("unschedulable") is True, "the host to be cordoned")
        machines.until(lambda: slots(machines, "small-c") == 0, "the host to offer nothing new")
        for number in range(4):
            machines.create(f"new-{number}", placement=SMALL)
        machines.wait_running(*(f"new-{number}" for number in range(4)))
        assert all(machines.host_of(f"new-{number}") != "small-c" for number in range(4))
        assert machines.is_ready("old")
    finally:
        machines.api.merge(document, {"spec": {"unschedulable": None}})


def test_row_16_a_drained_node_keeps_its_machines_and_the_drain_waits_for_them(machines: Machines) -> None:
    uid = machines.create("web", placement={"host": "small-a"})
    machines.wait_running("web")
    (before,) = machines.holders("web")
    machines.kubectl("cordon", "small-a")
    try:
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": before["metadata"]["name"], "namespace": machines.namespace},
        }
        path = f"/api/v1/namespaces/{machines.namespace}/pods/{before['metadata']['name']}/eviction"
        machines.api.call("POST", path, eviction)
        machines.until(
            lambda: [pod["metadata"]["uid"] != before["metadata"]["uid"] for pod in machines.holders("web")] == [True],
            "the holder to be replaced",
        )
        machines.until(lambda: machines.holders("web")[0]["spec"].get("nodeName") == "small-a", "it to be on its host")
        assert machines.is_ready("web")
        assert machines.host_of("web") == "small-a"
        assert machines.status("web")["uuid"] == uid
    finally:
        machines.kubectl("uncordon", "small-a")


def test_fault_20_a_preempted_holder_keeps_its_room_until_its_machine_is_gone(machines: Machines) -> None:
    priority = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "above-machines"},
        "value": 900_000_000,
    }
    machines.api.create(priority)
    machines.create("web", cpu={"cores": 4}, placement={"host": "small-a"})
    machines.wait_running("web")
    pod = pinned_pod(machines.namespace, "small-a", "4")
    pod["spec"]["priorityClassName"] = "above-machines"
    try:
        machines.api.create(pod)
        machines.until(
            lambda: any(item["metadata"].get("deletionTimestamp") for item in machines.holders("web")), "the preemption"
        )
        machines.until(lambda: len(machines.holders("web")) == 2, "a successor to wait for room")
        assert machines.is_ready("web")
        assert not machines.api.read(pod)["spec"].get("nodeName")
        machines.delete("web")
        machines.wait_gone("web")
        machines.until(lambda: machines.api.read(pod)["spec"].get("nodeName") == "small-a", "the pod to get the room")
    finally:
        machines.api.delete(priority)
