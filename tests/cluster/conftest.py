"""A real control plane for these tests, started once, with xVirt's kinds; each test has a namespace of its own."""

import itertools
from collections.abc import Iterator

import pytest

from tests.cluster import deployment
from tests.cluster.kubectl import Kubectl
from tests.cluster.operators import Machines, OperatorProcess, OperatorSpec, kubeconfig_of_operator, running
from tools.cluster.api import Api
from tools.cluster.controlplane import ControlPlane
from tools.cluster.fakehosts import FakeHosts
from tools.cluster.fakehosts.group import HostOptions
from tools.cluster.install import install_crds
from tools.cluster.nodes import add_nodes
from tools.cluster.spec import ControlPlaneSpec, NodeWatch

_NODE_WATCH = NodeWatch(lease_interval_s=1.0, grace_s=6.0, look_interval_s=1.0, namespace_sync_s=1.0)
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Shared by all tests that leave it as it is. It ends with the test run, also when that is killed."""
    spec = ControlPlaneSpec(tmp_path_factory.mktemp("cluster"), node_watch=_NODE_WATCH)
    with ControlPlane.up(spec) as plane:
        install_crds(plane.api)
        yield plane


@pytest.fixture(scope="session")
def api(control_plane: ControlPlane) -> Api:
    """Calls as the administrator."""
    return control_plane.api


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    """A namespace of the test's own; removed afterwards in the background."""
    name = f"test-{next(_numbers)}"
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    api.create(document)
    yield name
    api.delete(document)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A second control plane with all of deploy/kustomize/default, whose policies would be in the way of other tests."""
    spec = ControlPlaneSpec(tmp_path_factory.mktemp("installed"), node_watch=NodeWatch(namespace_sync_s=1.0))
    with ControlPlane.up(spec) as plane:
        deployment.install(plane)
        yield plane


@pytest.fixture(scope="session")
def hosts(installed: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHosts]:
    """Three hosts in memory that are Nodes of the second control plane. Who needs an operator starts one."""
    options = HostOptions(authority=installed.uid)
    with FakeHosts(["host-a", "host-b", "host-c"], tmp_path_factory.mktemp("pki"), options) as made:
        add_nodes(installed.api, made.node_specs)
        yield made


@pytest.fixture(scope="module")
def operator(
    installed: ControlPlane, hosts: FakeHosts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """The operator as a process, for a module that names it; what it said last is shown with a failure."""
    directory = tmp_path_factory.mktemp("operator")
    spec = OperatorSpec(directory=directory, kubeconfig=kubeconfig_of_operator(installed), pki=hosts.pki)
    with running(spec) as process:
        yield process
        print(process.text()[-6000:])


@pytest.fixture
def machines(installed: ControlPlane) -> Iterator[Machines]:
    """Machines of a namespace of the test's own in the second control plane. An operator must still run when they go."""
    name = f"machines-{next(_numbers)}"
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    installed.api.create(document)
    made = Machines(installed, name)
    yield made
    made.empty()
    installed.api.delete(document)


@pytest.fixture
def kubectl(control_plane: ControlPlane, namespace: str) -> Kubectl:
    """kubectl as the administrator, in the test's namespace."""
    return Kubectl(control_plane.kubeconfig, namespace)
