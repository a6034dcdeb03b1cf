"""deploy/kustomize: a real API server accepts it, and its pods are as closed as they are said to be."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.deployment import REPOSITORY, documents, rendered
from tests.cluster.kubectl import Kubectl
from tools.cluster.controlplane import ControlPlane

NODE_CAPABILITIES = ["DAC_OVERRIDE", "DAC_READ_SEARCH", "CHOWN", "FOWNER"]
NODE_MOUNTS = {
    "/etc/xvirt": "/etc/xvirt",
    "/run/libvirt": "/run/libvirt",
    "/var/lib/xvirt": "/var/lib/xvirt",
    "/var/lib/libvirt/images": "/var/lib/libvirt/images",
    "/run/xvirt": "/run/xvirt",
}
"""What of the host the node plugin sees, each at its own place."""


@pytest.fixture
def kubectl(installed: ControlPlane) -> Kubectl:
    return Kubectl(installed.kubeconfig, "")


def find(name: str, kind: str, namespace: str = "") -> Any:
    return next(
        item
        for item in documents("default")
        if (item["kind"], item["metadata"]["name"], item["metadata"].get("namespace", "")) == (kind, name, namespace)
    )


def pod_of(name: str, kind: str, namespace: str) -> Any:
    return find(name, kind, namespace)["spec"]["template"]["spec"]


@pytest.mark.parametrize("directory", ["base", "gateway", "node", "default"])
def test_the_api_server_accepts_every_document_by_server_side_dry_run(kubectl: Kubectl, directory: str) -> None:
    told = kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=rendered(directory))
    lines = told.stdout.splitlines()
    assert len(lines) == len(documents(directory))
    assert all(line.endswith("serverside-applied (server dry run)") for line in lines)
    assert told.stderr == ""


def test_no_policy_fails_the_api_servers_own_check_of_types(installed: ControlPlane) -> None:
    policies = installed.api.list("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy")
    ours = [item for item in policies if item["metadata"]["name"].endswith("xvirt.io")]
    assert len(ours) == 9
    assert [item["status"]["typeChecking"] for item in ours] == [{}] * 9


def test_row_68_the_node_plugin_is_not_privileged_and_sees_what_is_documented() -> None:
    pod = pod_of("xvirt-node", "DaemonSet", "xvirt-nodes")
    (container,) = pod["containers"]
    rights = container["securityContext"]
    assert (rights["privileged"], rights["allowPrivilegeEscalation"]) == (False, False)
    assert rights["readOnlyRootFilesystem"]
    assert rights["capabilities"] == {"drop": ["ALL"], "add": NODE_CAPABILITIES}
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostPID", "hostIPC"} & set(pod)
    paths = {item["name"]: item["hostPath"]["path"] for item in pod["volumes"] if "hostPath" in item}
    mounts = {item["mountPath"]: paths[item["name"]] for item in container["volumeMounts"] if item["name"] in paths}
    assert mounts == NODE_MOUNTS
    assert next(item for item in container["volumeMounts"] if item["name"] == "config")["readOnly"]


def test_row_68_a_node_plugin_holds_no_cluster_credentials() -> None:
    pod = pod_of("xvirt-node", "DaemonSet", "xvirt-nodes")
    assert pod["automountServiceAccountToken"] is False
    assert not [item for item in pod["volumes"] if {"secret", "projected", "configMap"} & set(item)]
    bindings = [item for item in documents("default") if item["kind"].endswith("RoleBinding")]
    subjects = {subject["name"] for item in bindings for subject in item["subjects"]}
    assert subjects == {"xvirt-operator", "xvirt-gateway"}


def test_the_unit_and_the_daemon_set_give_the_plugin_the_same_rights() -> None:
    unit = (REPOSITORY / "deploy/systemd/xvirt-node.service").read_text()
    wanted = " ".join(f"CAP_{name}" for name in NODE_CAPABILITIES)
    assert f"CapabilityBoundingSet={wanted}\n" in unit


SERVERS = pytest.mark.parametrize("name", ["xvirt-operator", "xvirt-gateway"])


@SERVERS
def test_the_cluster_side_runs_where_pod_security_is_restricted(installed: ControlPlane, name: str) -> None:
    """The namespace enforces it: a pod of the Deployment's template is accepted there, and one that asks for more is not."""
    template = find(name, "Deployment", "xvirt-system")["spec"]["template"]
    metadata = {"name": "probe", "namespace": "xvirt-system", **template["metadata"]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    installed.api.create(pod, dryRun="All")
    greedy = {**pod, "spec": {**template["spec"], "hostNetwork": True}}
    kubectl = Kubectl(installed.kubeconfig, "xvirt-system")
    told = kubectl("create", "--dry-run=server", "-f", "-", stdin=[greedy], check=False)
    assert "violates PodSecurity" in told.stderr


@SERVERS
def test_one_of_two_stays_while_nodes_are_drained(name: str) -> None:
    deployment = find(name, "Deployment", "xvirt-system")["spec"]
    budget = find(name, "PodDisruptionBudget", "xvirt-system")["spec"]
    assert (deployment["replicas"], budget["minAvailable"]) == (2, 1)
    assert budget["selector"]["matchLabels"].items() <= deployment["template"]["metadata"]["labels"].items()


@SERVERS
def test_a_changed_config_is_a_new_config_map_and_so_new_pods(name: str) -> None:
    volumes = pod_of(name, "Deployment", "xvirt-system")["volumes"]
    config = next(item["configMap"]["name"] for item in volumes if item["name"] == "config")
    assert config.startswith(f"{name}-")
    assert find(config, "ConfigMap", "xvirt-system")


def test_row_87_the_aggregated_api_is_reached_by_a_verified_name() -> None:
    service = find("v1alpha1.subresources.xvirt.io", "APIService")["spec"]
    assert not service.get("insecureSkipTLSVerify", False)
    assert service["service"]["name"] == find("xvirt-gateway", "Service", "xvirt-system")["metadata"]["name"]


def test_the_priority_of_machines_is_there_and_pushes_nobody_out(installed: ControlPlane) -> None:
    found = installed.api.read(find("xvirt-machines", "PriorityClass"))
    assert (found["value"], found["preemptionPolicy"], found.get("globalDefault", False)) == (100000, "Never", False)


def test_open_consoles_hold_no_seat_of_others_at_the_api_server(installed: ControlPlane) -> None:
    found = installed.api.read(find("xvirt-consoles", "FlowSchema"))
    assert found["spec"]["priorityLevelConfiguration"] == {"name": "exempt"}
    dangling = {item["type"]: item["status"] for item in found["status"]["conditions"]}["Dangling"]
    assert dangling == "False"


def test_the_operator_has_seats_of_its_own_at_the_api_server(installed: ControlPlane) -> None:
    found = installed.api.read(find("xvirt-operator", "FlowSchema"))
    assert found["spec"]["priorityLevelConfiguration"] == {"name": "xvirt-operator"}
    dangling = {item["type"]: item["status"] for item in found["status"]["conditions"]}["Dangling"]
    assert dangling == "False"
