"""The operator under its own account: its rights are enough for the life of a machine with all that it uses, and it has none that it does
not use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import audit, deployment
from tests.cluster.dependents import Dependents
from tests.cluster.operators import ACCOUNT, Machines, OperatorSpec, kubeconfig_of_operator, running
from tools.cluster.api import Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.fakehosts import FakeHosts
from tools.cluster.fakehosts.group import HostOptions
from tools.cluster.nodes import add_nodes, reference
from tools.cluster.services import wait_for
from tools.cluster.spec import ControlPlaneSpec

Rights = set[tuple[str, str, str]]
_TIMEOUT_S = 60.0
DEPENDENTS = ("virtualdisks", "virtualimages", "virtualnetworks", "storagepools")
USED = (("StoragePool", "fast"), ("VirtualNetwork", "lan"), ("VirtualImage", "debian"), ("VirtualDisk", "data"))
WATCHED = {("xvirt.io", kind) for kind in ("virtualmachines", "virtualhosts", *DEPENDENTS)}
WATCHED |= {("", kind) for kind in ("pods", "nodes", "namespaces")}
SELDOM = {
    "an API server without streaming lists, or one that is busy": {(*kind, "list") for kind in WATCHED},
    "what the cache has may be too old to decide by": {(*kind, "get") for kind in WATCHED},
    "asked for by an admission plugin alone": {("xvirt.io", "virtualmachines/finalizers", "update")},
    "an event that is said again is counted": {("events.k8s.io", "events", "patch")},
}
"""Rights that this life need not show, each with its reason."""


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ControlPlane, Path]]:
    """A control plane that writes down what it is asked for, with everything installed."""
    place = tmp_path_factory.mktemp("audit")
    spec = ControlPlaneSpec(
        tmp_path_factory.mktemp("audited"),
        # That one asks for the right to set finalizers of an owner, where blockOwnerDeletion is set.
        api_server_flags=(*audit.flags(place), "--enable-admission-plugins=OwnerReferencesPermissionEnforcement"),
    )
    with ControlPlane.up(spec) as plane:
        deployment.install(plane)
        yield plane, place


@pytest.fixture(scope="module")
def requests(audited: tuple[ControlPlane, Path], tmp_path_factory: pytest.TempPathFactory) -> list[audit.Request]:
    """Everything that an operator asked for while machines, what they use, and hosts came and went."""
    plane, place = audited
    pki = tmp_path_factory.mktemp("pki")
    with FakeHosts(["host-a", "host-b"], pki, HostOptions(authority=plane.uid)) as hosts:
        add_nodes(plane.api, hosts.node_specs)
        directory = tmp_path_factory.mktemp("operator")
        spec = OperatorSpec(directory=directory, kubeconfig=kubeconfig_of_operator(plane), pki=hosts.pki)
        with running(spec) as process:
            _live(plane, hosts)
            assert process.stop() == 0, process.text()[-4000:]
    return [item for item in audit.read(place) if item.user == ACCOUNT.user]


def _live(plane: ControlPlane, hosts: FakeHosts) -> None:
    api = plane.api
    api.create(deployment.namespace("lived"))
    api.create(_secret())
    machines = Machines(plane, "lived")
    things = Dependents(machines)
    for kind, name in USED:
        things.create(kind, name)
    disks = [{"name": "root", "source": {"image": "debian"}}, {"name": "data", "source": {"disk": "data"}}]
    nics = [{"name": "lan", "network": "lan"}]
    machines.create("web", cloudInit={"userData": {"secret": "first-boot"}}, disks=disks, nics=nics)
    machines.create("refused", nics=[{"name": "lan", "network": "missing"}])
    machines.wait_running("web")
    machines.until(lambda: machines.condition("refused", "Ready"), "the second machine to have a status")
    for kind, name in USED:
        things.wait_ready(kind, name)
    things.change("VirtualDisk", "data", size="2Gi")
    things.wait_ready("VirtualDisk", "data")
    api.merge(machines.document("web"), {"spec": {"runStrategy": "Halted"}})
    machines.until(lambda: machines.status("web").get("observedGeneration") == 2, "the change to be seen")
    (holder,) = machines.holders("web")
    api.delete({"apiVersion": "v1", "kind": "Pod", **holder})
    things.delete("VirtualDisk", "data")
    things.wait_says("VirtualDisk", "data", "InUse")
    machines.delete("web")
    machines.wait_gone("web")
    things.wait_gone("VirtualDisk", "data")
    for kind, name in USED:
        if kind != "VirtualDisk":
            things.delete(kind, name)
            things.wait_gone(kind, name)
    lost = str(machines.status("refused")["nodeName"])
    hosts[lost].down()
    machines.delete("refused")
    _leave_behind(machines, "refused")
    (other,) = set(hosts) - {lost}
    host = {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualHost", "metadata": {"name": other}}
    api.delete(reference(other))
    wait_for(lambda: api.find(host) is None, _TIMEOUT_S, "the host to go with its Node")


def _leave_behind(machines: Machines, name: str) -> None:
    """By force, of which an Event tells."""
    machines.api.merge(machines.document(name), {"metadata": {"annotations": {"xvirt.io/force-delete": "true"}}})
    machines.wait_gone(name)


def _secret() -> Json:
    metadata = {"name": "first-boot", "namespace": "lived"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"userData": "#cloud-config\n"}}


def granted() -> Rights:
    """Everything that deploy/kustomize grants the operator's account."""
    names = {
        (item["roleRef"]["kind"], item["roleRef"]["name"])
        for item in deployment.documents("default")
        if item["kind"].endswith("RoleBinding") and item["subjects"][0]["name"] == "xvirt-operator"
    }
    roles = [item for item in deployment.documents("default") if (item["kind"], item["metadata"]["name"]) in names]
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_row_87_the_operators_rights_are_enough(requests: list[audit.Request]) -> None:
    assert len(requests) > 20
    assert [item for item in requests if item.code == 403] == []


def test_row_87_the_operator_has_no_right_that_it_does_not_use(requests: list[audit.Request]) -> None:
    used = {item.right for item in requests}
    assert granted() - used - set().union(*SELDOM.values()) == set()
