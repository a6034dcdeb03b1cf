"""The control plane that the other tests stand on does what a real one does."""

import ssl
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tools.cluster.api import Api, ApiRefused, Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.errors import ClusterError
from tools.cluster.nodes import NodeSpec, add_nodes, ready_status, reference, revive, silence
from tools.cluster.pki import Identity
from tools.cluster.services import wait_for
from tools.controlplane import Part

NODE = "plain"
_WAIT_S = 40.0


def pod(namespace: str, name: str, *, command: str = "/pause", cpu: str = "100m", **spec: object) -> Json:
    requests = {"requests": {"cpu": cpu}}
    container = {"name": "only", "image": "none", "command": [command], "resources": requests}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [container], **spec},
    }


def phase_of(api: Api, document: Json) -> str:
    found = api.find(document)
    return "gone" if found is None else str(found.get("status", {}).get("phase", ""))


def has_phase(api: Api, document: Json, phase: str) -> bool:
    return phase_of(api, document) == phase


@pytest.fixture(scope="module")
def node(api: Api) -> Iterator[str]:
    add_nodes(api, [NodeSpec(NODE, {"cpu": "4", "memory": "8Gi"}, labels={"zone": "a"})])
    yield NODE
    api.delete(reference(NODE))


def test_a_pod_is_scheduled_onto_a_node_that_has_room_and_runs(api: Api, node: str, namespace: str) -> None:
    small, large = pod(namespace, "small"), pod(namespace, "large", cpu="5")
    api.create(small)
    api.create(large)
    wait_for(lambda: phase_of(api, small) == "Running", _WAIT_S, "the small pod to run")
    assert api.read(small)["spec"]["nodeName"] == node

    def has_no_room() -> bool:
        conditions = api.read(large)["status"].get("conditions", ())
        return any("Insufficient cpu" in item.get("message", "") for item in conditions)

    wait_for(has_no_room, _WAIT_S, "the scheduler to say why the large pod waits")


def test_a_deleted_pod_goes_at_once_and_a_holder_stays_for_its_grace_period(
    api: Api, node: str, namespace: str
) -> None:
    obeys, holder = pod(namespace, "obeys"), pod(namespace, "holder", command="/xvirt-holder")
    for document in (obeys, holder):
        api.create(document)
        wait_for(partial(has_phase, api, document, "Running"), _WAIT_S, "the pod to run")
    api.delete(holder, gracePeriodSeconds=600)
    api.delete(obeys)
    wait_for(lambda: phase_of(api, obeys) == "gone", _WAIT_S, "the pod that obeys SIGTERM to go")
    assert phase_of(api, holder) == "Running"
    api.delete(holder, gracePeriodSeconds=1)
    wait_for(lambda: phase_of(api, holder) == "gone", _WAIT_S, "the holder to be killed after its grace")


def test_a_finalizer_keeps_a_killed_holder(api: Api, node: str, namespace: str) -> None:
    document = pod(namespace, "kept", command="/xvirt-holder")
    document["metadata"]["finalizers"] = ["xvirt.io/operator"]
    api.create(document)
    wait_for(lambda: phase_of(api, document) == "Running", _WAIT_S, "the pod to run")
    api.delete(document, gracePeriodSeconds=1)
    wait_for(lambda: phase_of(api, document) == "Failed", _WAIT_S, "the holder to be killed")
    patch = [{"op": "remove", "path": "/metadata/finalizers"}]
    wait_for(
        lambda: api.read(document)["metadata"]["deletionGracePeriodSeconds"] == 0, _WAIT_S, "the kubelet to be done"
    )
    api.call("PATCH", api.path_of(document), patch, content_type="application/json-patch+json")
    assert phase_of(api, document) == "gone"


def test_a_silent_node_becomes_unknown_and_tainted_and_comes_back(api: Api, namespace: str) -> None:
    add_nodes(api, [NodeSpec("silent")])
    silence(api, "silent")
    wait_for(lambda: ready_status(api.read(reference("silent"))) == "Unknown", _WAIT_S, "the node to be unknown")

    def taints() -> set[str]:
        return {taint["key"] for taint in api.read(reference("silent"))["spec"].get("taints", ())}

    wait_for(lambda: "node.kubernetes.io/unreachable" in taints(), _WAIT_S, "the taint")
    revive(api, "silent")
    wait_for(lambda: ready_status(api.read(reference("silent"))) == "True" and not taints(), _WAIT_S, "the node")
    api.delete(reference("silent"))


def test_a_user_without_rights_is_forbidden(control_plane: ControlPlane) -> None:
    stranger = Api(control_plane.kubeconfig_for("stranger", Identity("stranger", ("guests",))))
    with pytest.raises(ApiRefused, match=r'403 Forbidden.*User "stranger"') as caught:
        stranger.list("v1", "Pod")
    assert caught.value.code == 403


def test_etcd_is_closed_to_who_has_no_certificate_of_its_own(control_plane: ControlPlane) -> None:
    context = ssl.create_default_context(cafile=str(control_plane.spec.directory / "pki" / "etcd-ca.crt"))
    with pytest.raises(OSError, match="certificate required"):
        urllib.request.urlopen(
            f"https://127.0.0.1:{control_plane.ports.etcd}/v3/kv/range", context=context, timeout=5
        ).read()


def test_parts_can_be_killed_frozen_and_restarted_and_nothing_is_lost(
    control_plane: ControlPlane, api: Api, namespace: str
) -> None:
    services = control_plane.services
    services.freeze(Part.API_SERVER)
    with pytest.raises(OSError, match="timed out"):
        Api(control_plane.kubeconfig, timeout_s=1.0).list("v1", "Namespace")
    services.thaw(Part.API_SERVER)
    for part in (Part.ETCD, Part.API_SERVER):
        control_plane.restart(part)
    wait_for(api.is_ready, _WAIT_S, "the API server")
    assert namespace in {item["metadata"]["name"] for item in api.list("v1", "Namespace")}


def test_attaching_finds_the_same_cluster(control_plane: ControlPlane) -> None:
    other = ControlPlane.attach(control_plane.spec.directory)
    assert other.uid == control_plane.uid
    assert other.is_up()


def test_attaching_to_nothing_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"no cluster is in .*; start one with `./dev cluster up`"):
        ControlPlane.attach(tmp_path)
