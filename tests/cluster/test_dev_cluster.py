"""`./dev cluster` with hosts in memory: up, used, found again, damaged, down."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.documents import declare
from tests.cluster.kubectl import Kubectl
from tools.cluster.cluster import Cluster, bring_up, take_down
from tools.cluster.controlplane import ControlPlane
from tools.cluster.errors import ClusterError
from tools.cluster.hosts import parse_hosts
from tools.cluster.services import Services
from tools.cluster.spec import Lifetime

TWO = parse_hosts("fake:2")


def quiet(_text: str) -> None:
    """Progress that nobody reads."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Bound to this process, as one that a test run starts; `./dev cluster up` starts it for longer."""
    directory = tmp_path_factory.mktemp("dev") / "cluster"
    yield bring_up(directory, TWO, Lifetime.OWNER, quiet)
    take_down(directory)


@pytest.fixture
def kubectl(cluster: Cluster) -> Kubectl:
    return Kubectl(cluster.kubeconfig, "default")


def test_row_82_one_command_brings_up_hosts_that_run_machines(cluster: Cluster, kubectl: Kubectl) -> None:
    hosts = kubectl.json("get", "vhost")["items"]
    assert [host["metadata"]["name"] for host in hosts] == ["fake-001", "fake-002"]
    kubectl("apply", "-f", "-", stdin=[declare("VirtualMachine", "web", "default", {"memory": {"size": "64Mi"}})])
    kubectl("wait", "--for=condition=Ready", "vm/web", "--timeout=60s")
    machine = kubectl.json("get", "vm", "web")
    assert machine["status"]["printableStatus"] == "Running"
    assert machine["status"]["nodeName"] in ("fake-001", "fake-002")
    kubectl("delete", "vm", "web", "--timeout=60s")
    assert kubectl("get", "pods").stdout == ""


def test_acts_go_through_the_api_server_to_the_host(cluster: Cluster, kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=[declare("VirtualMachine", "db", "default", {"memory": {"size": "64Mi"}})])
    kubectl("wait", "--for=condition=Ready", "vm/db", "--timeout=60s")
    path = "/apis/subresources.xvirt.io/v1alpha1/namespaces/default/virtualmachines/db/stop"
    kubectl("replace", "--raw", path, "-f", "-", stdin="{}")
    kubectl("wait", "--for=jsonpath={.status.printableStatus}=Stopped", "vm/db", "--timeout=60s")
    kubectl("delete", "vm", "db", "--timeout=60s")


def test_policies_of_namespaces_are_in_force(kubectl: Kubectl) -> None:
    document = declare("VirtualMachine", "bad", "default", {"memory": {"size": "64Mi"}})
    document["spec"]["domain"] = {"devices": {"emulator": "/bin/true"}}
    refused = kubectl("apply", "-f", "-", stdin=[document], check=False)
    assert "policy profile restricted denies" in refused.stderr


def test_a_second_up_finds_it_and_changes_nothing(cluster: Cluster) -> None:
    services = Services(cluster.directory, Lifetime.OWNER)
    before = {record.name: services.process(record.name) for record in (cluster.directory / "pids").iterdir()}
    said: list[str] = []
    assert bring_up(cluster.directory, TWO, tell=said.append) == cluster
    assert said == ["the cluster was up already"]
    assert {name: services.process(name) for name in before} == before


def test_a_second_up_with_other_hosts_is_refused(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match=r"a cluster with fake:2 runs in .*; end it first with `./dev cluster down`"):
        bring_up(cluster.directory, parse_hosts("fake:3"), tell=quiet)


def test_two_at_once_are_told_of_each_other(cluster: Cluster) -> None:
    with (cluster.directory / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ClusterError, match="another process is bringing the cluster"):
            bring_up(cluster.directory, TWO, tell=quiet)


def test_a_directory_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    for act in (lambda: bring_up(tmp_path, TWO, tell=quiet), lambda: take_down(tmp_path)):
        with pytest.raises(ClusterError, match="holds something that is not a cluster of yours"):
            act()
    assert (tmp_path / "thesis.txt").read_text() == "all of it"


def test_a_cluster_ends_with_its_owner_also_when_that_is_killed(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from tools.cluster.controlplane import ControlPlane
from tools.cluster.spec import ControlPlaneSpec
plane = ControlPlane.up(ControlPlaneSpec(Path(sys.argv[1])))
print("up", flush=True)
sys.stdin.read()
"""
    argv = [sys.executable, "-c", code, str(tmp_path / "owned")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        plane = ControlPlane.attach(tmp_path / "owned")
        names = [record.name for record in (tmp_path / "owned" / "pids").iterdir()]
        assert all(plane.services.is_running(name) for name in names)
        assert len(names) == 5
        owner.kill()
    for name in names:
        process = plane.services.process(name)
        process.wait_gone(20)


# The last one: what it leaves is no cluster any more.


def test_a_cluster_that_lost_a_part_says_which_and_is_ended_by_down(cluster: Cluster) -> None:
    services = Services(cluster.directory, Lifetime.OWNER)
    services.kill("kube-scheduler")
    with pytest.raises(ClusterError, match=r"kube-scheduler of the cluster in .* ended .*`./dev cluster down` ends"):
        bring_up(cluster.directory, TWO, tell=quiet)
    running = [services.process(record.name) for record in (cluster.directory / "pids").iterdir()]
    command = [sys.executable, "-m", "tools.cluster", "down", "--dir", str(cluster.directory)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, env={**os.environ})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not cluster.directory.exists()
    assert not any(process.is_alive() for process in running)
