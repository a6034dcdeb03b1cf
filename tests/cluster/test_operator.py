"""The operator as a process, with its own account and rights, over a real API server and scheduler, and hosts in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.operators import Machines, OperatorProcess, OperatorSpec, running
from tools.cluster.api import Api
from tools.cluster.controlplane import ControlPlane
from tools.cluster.fakehosts import FakeHosts
from tools.cluster.fakehosts.group import HostOptions
from tools.cluster.nodes import add_nodes


@pytest.fixture(scope="module")
def hosts(installed: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHosts]:
    """Three hosts, as Nodes of the cluster, too."""
    pki = tmp_path_factory.mktemp("pki")
    with FakeHosts(["host-a", "host-b", "host-c"], pki, HostOptions(authority=installed.uid)) as made:
        add_nodes(installed.api, made.node_specs)
        yield made


@pytest.fixture(scope="module")
def operator(
    installed: ControlPlane, hosts: FakeHosts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    spec = OperatorSpec(directory=tmp_path_factory.mktemp("operator"), kubeconfig=installed.kubeconfig, pki=hosts.pki)
    with running(spec) as process:
        yield process
    print(process.text()[-4000:])


@pytest.fixture
def machines(installed: ControlPlane, operator: OperatorProcess, namespace_of_installed: str) -> Machines:
    return Machines(installed.api, namespace_of_installed)


@pytest.fixture
def namespace_of_installed(installed: ControlPlane, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"n-{abs(hash(request.node.nodeid)) % 10**8}"
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    installed.api.create(document)
    yield name
    installed.api.delete(document)


def where(hosts: FakeHosts, uid: str) -> list[str]:
    """Hosts on which a machine runs."""
    return [name for name in hosts if uid in hosts[name].running]


def test_row_02_a_machine_runs_on_the_host_that_the_scheduler_chose_and_goes_without_a_trace(
    machines: Machines, hosts: FakeHosts, api: Api, tmp_path: Path
) -> None:
    made = machines.create("web")
    machines.wait_running("web")
    status = machines.status("web")
    (holder,) = machines.holders("web")
    assert where(hosts, made["metadata"]["uid"]) == [status["nodeName"]] == [holder["spec"]["nodeName"]]
    machines.delete("web")
    machines.wait_gone("web")
    assert where(hosts, made["metadata"]["uid"]) == []
