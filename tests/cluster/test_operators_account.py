"""The operator's account is held to what the operator does, also in the hands of a thief."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.cluster.deployment import machine, namespace
from tools.cluster.api import JSON_PATCH, Api, ApiRefused, Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.nodes import NodeSpec, add_nodes, reference
from tools.cluster.pki import Identity
from tools.cluster.services import wait_for
from xvirt.operator.machines.holder import HolderSettings, holder_document
from xvirt.operator.machines.records import read_machine

OPERATOR = Identity(
    "system:serviceaccount:xvirt-system:xvirt-operator",
    ("system:serviceaccounts", "system:serviceaccounts:xvirt-system"),
)
SETTINGS = HolderSettings(image="registry.example.org/xvirt/holder:v0.1.0")
_PLACE = "held"
_TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def admin(installed: ControlPlane) -> Api:
    """With a namespace that allows pods no rights, as a tenant's may."""
    api = installed.api
    api.create(namespace(_PLACE, {"pod-security.kubernetes.io/enforce": "restricted"}))
    wait_for(lambda: api.find(account("default", _PLACE)) is not None, _TIMEOUT_S, "the namespace to have its account")
    for place in (_PLACE, "default"):
        api.create(account("powerful", place))
    return api


@pytest.fixture(scope="module")
def operator(installed: ControlPlane, admin: Api) -> Api:
    return Api(installed.kubeconfig_for("operator", OPERATOR))


@pytest.fixture(scope="module")
def vm(admin: Api) -> Json:
    return admin.create(machine(_PLACE))


def account(name: str, place: str) -> Json:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": place}}


def holder(vm: Json) -> Json:
    return holder_document(read_machine(vm), SETTINGS)


def refused(attempt: Callable[[], Any]) -> str:
    with pytest.raises(ApiRefused) as caught:
        attempt()
    assert caught.value.reason == "Forbidden", caught.value
    return str(caught.value)


def test_a_holder_is_created_released_and_deleted_where_pods_may_have_no_rights(operator: Api, vm: Json) -> None:
    pod = holder(vm)
    operator.create(pod)
    operator.delete(pod, gracePeriodSeconds=0)
    change = [{"op": "test", "path": "/metadata/finalizers/0", "value": "xvirt.io/operator"}]
    change.append({"op": "remove", "path": "/metadata/finalizers/0"})
    operator.call("PATCH", operator.path_of(pod), change, content_type=JSON_PATCH)
    wait_for(lambda: operator.find(pod) is None, _TIMEOUT_S, "the holder to go")


def _with(pod: Json, change: Callable[[Json], Any]) -> Json:
    changed = copy.deepcopy(pod)
    change(changed)
    return changed


THEFTS: dict[str, Callable[[Json], Any]] = {
    "another kind of pod": lambda pod: pod["metadata"]["labels"].clear(),
    "of no machine": lambda pod: pod["metadata"].pop("ownerReferences"),
    "of another machine": lambda pod: pod["metadata"]["labels"].update({"xvirt.io/vm-uid": "other"}),
    "with a volume": lambda pod: pod["spec"].update(volumes=[{"name": "x", "secret": {"secretName": "x"}}]),
    "with a directory of the host": lambda pod: pod["spec"].update(volumes=[{"name": "x", "hostPath": {"path": "/"}}]),
    "with an account": lambda pod: pod["spec"].update(serviceAccountName="powerful"),
    "with a token": lambda pod: pod["spec"].update(automountServiceAccountToken=True),
    "with a second container": lambda pod: pod["spec"]["containers"].append(
        {**pod["spec"]["containers"][0], "name": "second"}
    ),
    "with a first container": lambda pod: pod["spec"].update(
        initContainers=[{**pod["spec"]["containers"][0], "name": "first"}]
    ),
    "in the host's network": lambda pod: pod["spec"].update(hostNetwork=True),
    "among the host's processes": lambda pod: pod["spec"].update(hostPID=True),
    "privileged": lambda pod: pod["spec"]["containers"][0].update(securityContext={"privileged": True}),
    "with capabilities": lambda pod: pod["spec"]["containers"][0]["securityContext"]["capabilities"].update(
        add=["SYS_ADMIN"]
    ),
    "with a Secret in its environment": lambda pod: pod["spec"]["containers"][0].update(
        envFrom=[{"secretRef": {"name": "x"}}]
    ),
}


@pytest.mark.parametrize("change", THEFTS.values(), ids=THEFTS)
def test_no_pod_but_a_holder_is_created(admin: Api, operator: Api, vm: Json, change: Callable[[Json], Any]) -> None:
    pod = _with(holder(vm), change)
    refused(partial(operator.create, pod, dryRun="All"))


def test_the_policy_and_not_pod_security_alone_keeps_the_operator_from_other_pods(
    admin: Api, operator: Api, vm: Json
) -> None:
    """In a namespace that allows everything."""
    for name, change in THEFTS.items():
        pod = _with(holder(vm), change)
        pod["metadata"]["namespace"] = "default"
        assert "operator-pods.xvirt.io" in refused(partial(operator.create, pod, dryRun="All")), name


def test_no_pod_but_a_holder_is_deleted(admin: Api, operator: Api) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "database", "namespace": "default"},
        "spec": {"containers": [{"name": "x", "image": "x"}]},
    }
    admin.create(pod)
    assert "operator-pods.xvirt.io" in refused(partial(operator.delete, pod))
    admin.delete(pod, gracePeriodSeconds=0)


def test_nobody_else_is_held_to_that(admin: Api) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "plain", "namespace": "default"},
        "spec": {"containers": [{"name": "x", "image": "x"}], "volumes": [{"name": "x", "emptyDir": {}}]},
    }
    admin.create(pod, dryRun="All")


def patch(path: str, value: Any) -> list[Json]:
    return [{"op": "add", "path": path, "value": value}]


def test_the_operator_adds_and_releases_its_finalizer(operator: Api, vm: Json) -> None:
    path = operator.path_of(vm)
    operator.call("PATCH", path, patch("/metadata/finalizers", ["xvirt.io/operator"]), content_type=JSON_PATCH)
    operator.call("PATCH", path, [{"op": "remove", "path": "/metadata/finalizers/0"}], content_type=JSON_PATCH)
    status = {"apiVersion": vm["apiVersion"], "kind": vm["kind"], "metadata": {"name": "web", "namespace": _PLACE}}
    operator.apply_status({**status, "status": {"observedGeneration": 1}}, manager="xvirt-operator")


@pytest.mark.parametrize(
    "change",
    [
        patch("/spec/runStrategy", "Halted"),
        patch("/spec/memory/size", "128Mi"),
        patch("/metadata/labels", {"a": "b"}),
        patch("/metadata/annotations", {"xvirt.io/deletion-protection": "false"}),
        patch("/metadata/finalizers", ["example.org/held"]),
    ],
    ids=["run strategy", "memory", "label", "annotation", "another's finalizer"],
)
def test_row_101_what_git_declares_is_not_written_by_the_operator(operator: Api, vm: Json, change: list[Json]) -> None:
    attempt = partial(operator.call, "PATCH", operator.path_of(vm), change, content_type=JSON_PATCH)
    assert "operator-writes.xvirt.io" in refused(attempt)


def test_of_a_node_the_operator_writes_its_own_extended_resources_alone(admin: Api, operator: Api) -> None:
    add_nodes(admin, [NodeSpec("host-a", {"cpu": "4"})])
    path = f"{admin.path_of(reference('host-a'))}/status"
    send = partial(operator.call, "PATCH", path, content_type=JSON_PATCH)
    send(patch("/status/capacity/xvirt.io~1vm-slots", "250"))
    assert admin.read(reference("host-a"))["status"]["capacity"]["xvirt.io/vm-slots"] == "250"
    for change in (
        patch("/status/capacity/cpu", "400"),
        patch("/status/capacity/example.org~1gpu", "1"),
        [{"op": "remove", "path": "/status/capacity/memory"}],
        patch("/status/addresses", []),
        patch("/status/conditions", []),
    ):
        assert "operator-nodes.xvirt.io" in refused(partial(send, change))
    admin.delete(reference("host-a"))
