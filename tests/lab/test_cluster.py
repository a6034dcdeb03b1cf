"""A real guest, declared to a real API server, on one of two real hosts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.kubectl import Kubectl
from tools.cluster.cluster import Cluster, bring_up, take_down
from tools.cluster.controlplane import KUBELET, ControlPlane
from tools.cluster.hosts import IMAGE, lab_directory, parse_hosts
from tools.cluster.processes import OPERATOR, ProcessSpec, start_operator
from tools.cluster.services import wait_for
from tools.cluster.spec import Lifetime
from tools.controlplane import Part
from tools.lab import Lab, Node
from tools.lab.spec import BASE_DIRECTORY

PLACE = "guests"
DOMAIN = f"{PLACE}_web"
_WAIT_S = 90.0
_WAIT = f"--timeout={_WAIT_S:g}s"


@pytest.fixture(scope="module")
def cluster(lab_prefix: str) -> Iterator[Cluster]:
    """Two hosts, with a namespace that may use files of theirs."""
    directory = BASE_DIRECTORY / f"{lab_prefix}-c"
    made = bring_up(directory, parse_hosts("lab:2"), Lifetime.OWNER, lambda _text: None)
    labels = {"xvirt.io/policy-profile": "privileged"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE, "labels": labels}}
    ControlPlane.attach(directory).api.create(namespace)
    yield made
    take_down(directory)


@pytest.fixture
def plane(cluster: Cluster) -> ControlPlane:
    return ControlPlane.attach(cluster.directory)


@pytest.fixture
def nodes(cluster: Cluster) -> dict[str, Node]:
    return Lab.attach(lab_directory(cluster.directory)).nodes


@pytest.fixture
def kubectl(cluster: Cluster) -> Kubectl:
    return Kubectl(cluster.kubeconfig, PLACE)


def machine(**spec: Any) -> dict[str, Any]:
    root = {"name": "root", "source": {"path": f"/{IMAGE}"}}
    declared = {"memory": {"size": "160Mi"}, "disks": [root], "terminationGracePeriodSeconds": 30, **spec}
    metadata = {"name": "web", "namespace": PLACE}
    return {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualMachine", "metadata": metadata, "spec": declared}


@pytest.fixture
def host(kubectl: Kubectl, nodes: dict[str, Node]) -> Iterator[Node]:
    """Of a guest that has booted."""
    kubectl("apply", "-f", "-", stdin=[machine(cpu={"cores": 1, "max": 2})])
    kubectl("wait", "--for=condition=AgentConnected", "vm/web", _WAIT)
    yield nodes[kubectl.json("get", "vm", "web")["status"]["nodeName"]]
    kubectl("delete", "vm", "web", "--ignore-not-found", _WAIT)


def defined(node: Node) -> list[str]:
    return [name for name in node.virsh("list", "--all", "--name").split() if name == DOMAIN]


def booted(node: Node) -> str:
    """What tells one boot of the guest from another."""
    return node.guest_exec(DOMAIN, ["cat", "/proc/sys/kernel/random/boot_id"]).strip()


def test_row_02_24_and_82_a_guest_is_on_its_host_alone_and_gone_with_its_object(
    kubectl: Kubectl, nodes: dict[str, Node], host: Node
) -> None:
    others = [node for node in nodes.values() if node.name != host.name]
    assert defined(host) == [DOMAIN]
    assert [defined(node) for node in others] == [[]]
    pod = kubectl.json("get", "pods")["items"][0]
    assert pod["spec"]["nodeName"] == host.name
    assert host.virsh("domuuid", DOMAIN).strip() == kubectl.json("get", "vm", "web")["metadata"]["uid"]
    kubectl("delete", "vm", "web", _WAIT)
    assert [defined(node) for node in nodes.values()] == [[], []]
    assert kubectl.json("get", "pods")["items"] == []


def test_a_change_by_kubectl_reaches_the_running_guest(kubectl: Kubectl, host: Node) -> None:
    before = booted(host)
    kubectl("apply", "-f", "-", stdin=[machine(cpu={"cores": 2, "max": 2})])
    wait_for(lambda: host.guest_exec(DOMAIN, ["nproc"]).strip() == "2", _WAIT_S, "the second vCPU")
    assert booted(host) == before


def test_row_75_a_guest_runs_on_while_everything_above_it_is_killed(
    kubectl: Kubectl, plane: ControlPlane, host: Node, cluster: Cluster
) -> None:
    before = booted(host)
    pki = Lab.attach(lab_directory(cluster.directory)).pki
    plane.services.kill(OPERATOR)
    plane.services.kill(KUBELET)
    plane.restart(Part.ETCD)
    plane.restart(Part.API_SERVER)
    host.kill_plugin()
    host.start_plugin()
    plane.start_kubelet()
    start_operator(plane, ProcessSpec(OPERATOR, pki))
    kubectl("apply", "-f", "-", stdin=[machine(cpu={"cores": 1, "max": 2}, terminationGracePeriodSeconds=20)])

    def is_taken_up() -> bool:
        found = kubectl.json("get", "vm", "web")
        return bool(found["status"]["observedGeneration"] == found["metadata"]["generation"])

    wait_for(is_taken_up, _WAIT_S, "the change to reach the host through all that was started anew")
    kubectl("wait", "--for=condition=Ready", "vm/web", _WAIT)
    assert booted(host) == before
    assert len(kubectl.json("get", "pods")["items"]) == 1
