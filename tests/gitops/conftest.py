"""A control plane with all of xVirt's cluster side and Flux's kustomize-controller; each test has a namespace and a repository."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.cluster import deployment
from tests.gitops.flux import Flux
from tools.cluster.api import Api
from tools.cluster.controlplane import ControlPlane
from tools.cluster.spec import ControlPlaneSpec

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane.up(ControlPlaneSpec(tmp_path_factory.mktemp("gitops"))) as plane:
        deployment.install(plane)
        yield plane


@pytest.fixture(scope="session")
def flux(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flux]:
    log = tmp_path_factory.mktemp("flux") / "log"
    made = Flux(control_plane.api, control_plane.kubeconfig, log)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def api(control_plane: ControlPlane) -> Api:
    return control_plane.api


@pytest.fixture
def namespace(api: Api) -> str:
    name = f"team-{next(_numbers)}"
    api.create(deployment.namespace(name))
    return name
