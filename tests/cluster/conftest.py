"""A real control plane for these tests, started once, with xVirt's kinds; each test has a namespace of its own."""

import itertools
from collections.abc import Iterator

import pytest

from tests.cluster import deployment
from tests.cluster.kubectl import Kubectl
from tools.cluster.api import Api
from tools.cluster.controlplane import ControlPlane
from tools.cluster.install import install_crds
from tools.cluster.spec import ControlPlaneSpec, NodeWatch

_NODE_WATCH = NodeWatch(lease_interval_s=1.0, grace_s=6.0, look_interval_s=1.0)
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
    with ControlPlane.up(ControlPlaneSpec(tmp_path_factory.mktemp("installed"))) as plane:
        deployment.install(plane)
        yield plane


@pytest.fixture
def kubectl(control_plane: ControlPlane, namespace: str) -> Kubectl:
    """kubectl as the administrator, in the test's namespace."""
    return Kubectl(control_plane.kubeconfig, namespace)
