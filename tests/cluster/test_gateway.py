"""The aggregated API behind a real API server: people with rights of their own, a node behind mutual TLS over a hypervisor in memory."""

from __future__ import annotations

import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.deployment import documents
from tests.cluster.kubectl import Kubectl, Plugin, install_plugin
from tests.unit.cli.live_node import eventually
from tests.unit.gateway.cluster import HOST, SPEC, ClusterNode
from tools.cluster.api import Api, ApiRefused, Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.pki import FRONT_PROXY, Identity, issue
from tools.cluster.processes import GATEWAY, ProcessSpec, Started, start_gateway
from tools.cluster.services import wait_for
from xvirt.client.pki import init_pki
from xvirt.model.exchange import ObjectRef

PLACE = "acts"
NAMESPACE: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}}
LEASE = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "xvirt-operator", "namespace": "xvirt-system"},
    "spec": {"holderIdentity": "operator-1", "leaseTransitions": 3},
}
API_SERVICE = {
    "apiVersion": "apiregistration.k8s.io/v1",
    "kind": "APIService",
    "metadata": {"name": "v1alpha1.subresources.xvirt.io"},
}
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": GATEWAY, "namespace": "xvirt-system"}}
WALK = [
    ("pause", "Paused"),
    ("resume", "Running"),
    ("restart", "Running"),
    ("reset", "Running"),
    ("save", "Saved"),
    ("restore", "Running"),
    ("stop", "Stopped"),
    ("start", "Running"),
]
_WAIT_S = 60.0


@dataclass
class Behind:
    """What stands behind the API server."""

    plane: ControlPlane
    node: ClusterNode
    pki: Path
    gateway: Started

    def declare(self, name: str, *, is_on_node: bool = True, **spec: Any) -> str:
        """A machine, placed on the host as the operator would; its uid."""
        document = {
            "apiVersion": "xvirt.io/v1alpha1",
            "kind": "VirtualMachine",
            "metadata": {"name": name, "namespace": PLACE},
            "spec": {**SPEC, **spec},
        }
        made = self.plane.api.create(document)
        status = {"nodeName": HOST, "observedGeneration": 1}
        named = {key: document[key] for key in ("apiVersion", "kind", "metadata")}
        self.plane.api.apply_status({**named, "status": status})
        if is_on_node:
            self.node.take(made)
        return str(made["metadata"]["uid"])

    def api_of(self, user: str) -> Api:
        """Calls of somebody."""
        return Api(self.plane.kubeconfig_for(user, Identity(user)))

    def plugin_of(self, user: str, directory: Path) -> Plugin:
        """The same by kubectl's plugin, which is put into a directory."""
        return Plugin(install_plugin(directory), self.plane.kubeconfig_for(user, Identity(user)), PLACE)

    def kubectl_of(self, user: str) -> Kubectl:
        """The same by kubectl."""
        return Kubectl(self.plane.kubeconfig_for(user, Identity(user)), PLACE)


def path(name: str, subresource: str) -> str:
    return f"/apis/subresources.xvirt.io/v1alpha1/namespaces/{PLACE}/virtualmachines/{name}/{subresource}"


def host(address: str) -> Json:
    metadata = {"name": HOST}
    return {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualHost",
        "metadata": metadata,
        "spec": {"address": address},
    }


def binding(user: str, role: str) -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": user, "namespace": PLACE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


@pytest.fixture(scope="module")
def behind(installed: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    """A node, the gateway's process, and the API server that knows of it."""
    directory = tmp_path_factory.mktemp("node")
    pki = directory / "pki"
    init_pki(pki, [HOST], [GATEWAY])
    (directory / "state").mkdir()
    node = ClusterNode(directory / "state", installed.uid, pki)
    node.start()
    api = installed.api
    try:
        api.delete(SERVICE)  # of pods, which are not here
        started = start_gateway(installed, ProcessSpec(GATEWAY, pki))
        api.create(NAMESPACE)
        api.create(LEASE)
        api.create(host(f"127.0.0.1:{node.port}"))
        for user, role in (("act-viewer", "view"), ("act-editor", "edit")):
            api.create(binding(user, role))
        wait_for(partial(is_available, api), _WAIT_S, "the API server to find the gateway")
        yield Behind(installed, node, pki, started)
    finally:
        if api.find(API_SERVICE) is not None:
            api.delete(API_SERVICE)
        api.delete(SERVICE)
        api.create(next(item for item in documents("gateway") if item["kind"] == "Service"))
        installed.services.stop(GATEWAY)
        node.stop()
        for left in (host(""), NAMESPACE):  # an operator of other tests would look for that host
            if api.find(left) is not None:
                api.delete(left)


def is_available(api: Api) -> bool:
    """Whether the API server says that the gateway answers."""
    conditions = (api.read(API_SERVICE).get("status") or {}).get("conditions") or ()
    return any(item["type"] == "Available" and item["status"] == "True" for item in conditions)


@pytest.fixture
def editor(behind: Behind) -> Api:
    """Who may operate. Roles are aggregated by the controller manager, which takes a moment."""
    found = behind.api_of("act-editor")
    wait_for(partial(_may, behind, "act-editor", "update", "start"), _WAIT_S, "edit to hold the verbs")
    return found


def _may(behind: Behind, user: str, verb: str, subresource: str) -> bool:
    attributes = {"verb": verb, "group": "subresources.xvirt.io", "resource": "virtualmachines", "namespace": PLACE}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": {**attributes, "subresource": subresource}},
    }
    answer = behind.plane.api.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


def test_row_24_each_verb_once_reaches_the_host_through_the_api_server(behind: Behind, editor: Api) -> None:
    uid = behind.declare("walks")
    for number, (verb, state) in enumerate(WALK):
        body = {"operationId": f"walk-{number}"}
        answer = editor.call("PUT", path("walks", verb), body)
        assert (answer["kind"], answer["spec"]["verb"]) == ("Operation", verb)
        eventually(partial(_has_ended, editor, verb, body))
        eventually(partial(_has_state, behind, uid, state))


def _has_ended(api: Api, verb: str, body: Json) -> bool:
    return bool(api.call("PUT", path("walks", verb), body)["status"]["state"] == "Succeeded")


def _has_state(behind: Behind, uid: str, state: str) -> bool:
    return behind.node.state(uid) == state


def test_row_87_view_reads_the_description_and_cannot_start(behind: Behind, editor: Api) -> None:
    behind.declare("seen")
    viewer = behind.api_of("act-viewer")
    wait_for(partial(_may, behind, "act-viewer", "get", "description"), _WAIT_S, "view to hold the description")
    assert viewer.call("GET", path("seen", "description"))["host"] == HOST
    for method in ("PUT", "POST"):
        with pytest.raises(ApiRefused, match=r'403 Forbidden.*User "act-viewer" cannot') as caught:
            viewer.call(method, path("seen", "pause"), {})
        assert caught.value.code == 403
    assert editor.call("POST", path("seen", "pause"), {})["kind"] == "Operation"


def test_row_87_who_edits_one_namespace_operates_nothing_in_another(behind: Behind, editor: Api) -> None:
    with pytest.raises(ApiRefused, match="403 Forbidden"):
        editor.call("PUT", path("seen", "pause").replace(f"/{PLACE}/", "/restricted/"), {})


def test_kubectl_discovers_the_api_and_its_subresources(behind: Behind) -> None:
    kubectl = behind.kubectl_of("act-editor")
    found = json.loads(kubectl("get", "--raw", "/apis/subresources.xvirt.io/v1alpha1").stdout)
    assert "virtualmachines/start" in {item["name"] for item in found["resources"]}
    aggregated = behind.plane.api.call("GET", "/apis")
    assert "subresources.xvirt.io" in {group["name"] for group in aggregated["groups"]}
    assert "subresources.xvirt.io/v1alpha1" in kubectl("api-versions").stdout.split()
    groups = kubectl("api-resources", "--api-group=xvirt.io", "-o", "name").stdout.split()
    assert "virtualmachines.xvirt.io" in groups


def test_kubectls_own_raw_calls_act_and_are_answered_in_its_words(behind: Behind, editor: Api) -> None:
    uid = behind.declare("raw")
    kubectl = behind.kubectl_of("act-editor")
    answer = json.loads(kubectl("replace", "--raw", path("raw", "stop"), "-f", "-", stdin='{"force": true}').stdout)
    assert answer["spec"] == {"verb": "stop", "virtualMachine": "raw", "uid": uid}
    eventually(partial(_has_state, behind, uid, "Stopped"))
    told = kubectl("create", "--raw", path("raw", "pause"), "-f", "-", stdin="{}", check=False)
    assert told.returncode == 1
    assert "Error from server (NotRunning)" in told.stderr
    assert "VirtualMachine acts/raw is not running; start it first" in told.stderr


def test_a_host_that_is_down_is_503_with_a_remedy_and_served_again_when_it_is_back(behind: Behind, editor: Api) -> None:
    behind.declare("patient")
    behind.node.server.stop(0.0)
    with pytest.raises(ApiRefused, match=r"503 HostUnreachable.*kubectl get virtualhost node-a") as caught:
        editor.call("PUT", path("patient", "pause"), {})
    assert caught.value.code == 503
    behind.node._serve()
    assert editor.call("PUT", path("patient", "pause"), {})["kind"] == "Operation"


def test_what_is_absent_or_not_placed_is_told_so(behind: Behind, editor: Api) -> None:
    with pytest.raises(ApiRefused, match="404 NotFound: VirtualMachine acts/ghost is not there"):
        editor.call("PUT", path("ghost", "start"), {})
    behind.declare("soon", is_on_node=False)
    with pytest.raises(ApiRefused, match="409 NotOnHostYet"):
        editor.call("PUT", path("soon", "start"), {})


def test_row_87_beside_the_api_server_nobody_is_let_in(behind: Behind) -> None:
    pki = behind.plane.spec.directory / "pki"
    issue(pki, "impostor", FRONT_PROXY, Identity("impostor"))
    assert ask_directly(behind, "") == 401
    assert ask_directly(behind, "impostor") == 401
    with pytest.raises(OSError, match=r"."):
        ask_directly(behind, "admin")
    assert ask_directly(behind, "front-proxy-client") == 404


def ask_directly(behind: Behind, certificate: str) -> int:
    """The code for a request that names an administrator, past the API server."""
    pki = behind.plane.spec.directory / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    if certificate:
        context.load_cert_chain(pki / f"{certificate}.crt", pki / f"{certificate}.key")
    headers = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters", "Content-Type": "application/json"}
    url = f"https://localhost:{behind.gateway.listen.rpartition(':')[2]}{path('ghost', 'start')}"
    request = urllib.request.Request(url, b"{}", headers, method="PUT")
    try:
        with urllib.request.urlopen(request, context=context, timeout=_WAIT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except urllib.error.URLError as error:
        raise OSError(str(error.reason)) from error


def test_two_replicas_answer_alike(behind: Behind, editor: Api) -> None:
    behind.declare("shared")
    answer = editor.call("PUT", path("shared", "reset"), {"operationId": "shared-1"})
    plane = behind.plane
    try:
        start_gateway(plane, ProcessSpec(GATEWAY, behind.pki, "second-gateway"))
        plane.services.stop(GATEWAY)
        again = eventually(partial(_ask_again, editor))
        assert again["metadata"] == answer["metadata"]
    finally:
        plane.services.stop("second-gateway")
        behind.gateway = start_gateway(plane, ProcessSpec(GATEWAY, behind.pki))
        eventually(partial(_ask_again, editor))
    ref = ObjectRef(kind="VirtualMachine", namespace=PLACE, name="shared")
    operations = behind.node.service.describe(behind.node.caller, ref).operations
    assert [item.id for item in operations] == ["shared-1"]


def _ask_again(editor: Api) -> Json | None:
    try:
        return editor.call("PUT", path("shared", "reset"), {"operationId": "shared-1"})
    except ApiRefused:
        return None


def test_row_102_kubectl_xvirt_start_vm(behind: Behind, editor: Api, tmp_path: Path) -> None:
    uid = behind.declare("started", runStrategy="Manual")
    plugin = behind.plugin_of("act-editor", tmp_path)
    for verb, done, state in (("start", "started", "Running"), ("stop", "stopped", "Stopped")):
        told = plugin(verb, "vm", "started")
        assert (told.returncode, told.stdout) == (0, f"virtualmachine.xvirt.io/started {done}\n"), told.stderr
        assert behind.node.state(uid) == state
    assert re.search(r"\n  stop +Succeeded ", plugin("describe", "vm", "started").stdout)


def test_row_87_kubectl_xvirt_start_vm_of_who_may_only_look(behind: Behind, tmp_path: Path) -> None:
    behind.declare("watched")
    told = behind.plugin_of("act-viewer", tmp_path)("stop", "vm", "watched")
    assert told.returncode == 6
    assert 'User "act-viewer" cannot update resource "virtualmachines/stop"' in told.stderr
