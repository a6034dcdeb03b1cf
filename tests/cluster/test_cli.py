"""The command line, and kubectl's plugin, against a real API server: CRDs and policies as they are installed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.cluster.kubectl import Plugin, install_plugin
from tests.unit.cli.live_node import VM, XVIRT, Outcome, run_here
from tools.cluster.api import Api, Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.pki import Identity

MACHINE = """
apiVersion: xvirt.io/v1alpha1
kind: VirtualMachine
metadata: {name: web, labels: {app: web}}
spec:
  cpu: {cores: 1, max: 2}
  memory: {size: 64Mi, max: 128Mi}
"""
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: web-init}
stringData: {userData: hello}
"""
NETWORK = """
apiVersion: xvirt.io/v1alpha1
kind: VirtualNetwork
metadata: {name: lan}
spec: {mode: Isolated}
"""


class Shell:
    """`xvirt` of somebody in a namespace."""

    def __init__(self, plane: ControlPlane, namespace: str, kubeconfig: Path | None = None) -> None:
        self.api = plane.api
        self.namespace = namespace
        self.kubeconfig = kubeconfig or plane.kubeconfig

    def __call__(self, *arguments: str, text: str = "") -> Outcome:
        return run_here(["--cluster", "--kubeconfig", str(self.kubeconfig), "-n", self.namespace, *arguments], text)

    def document(self, name: str = "web", kind: str = "VirtualMachine") -> Json:
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "xvirt.io/v1alpha1", "kind": kind, "metadata": metadata}

    def found(self) -> Json:
        """The machine."""
        return self.api.read(self.document())

    def ready(self) -> None:
        """What the operator would say of the machine."""
        generation = self.found()["metadata"]["generation"]
        condition = {
            "type": "Ready",
            "status": "True",
            "reason": "Running",
            "message": "",
            "observedGeneration": generation,
            "lastTransitionTime": "2026-01-31T12:00:00Z",
        }
        status = {"observedGeneration": generation, "conditions": [condition], "printableStatus": "Running"}
        self.api.apply_status({**self.document(), "status": status}, manager="xvirt-operator")


@pytest.fixture
def shell(control_plane: ControlPlane, namespace: str) -> Shell:
    return Shell(control_plane, namespace)


def test_apply_is_a_server_side_apply_of_what_was_written(shell: Shell) -> None:
    assert shell("apply", "-f", "-", text=MACHINE).out == f"{VM}/web created\n"
    assert shell("apply", "-f", "-", text=MACHINE).out == f"{VM}/web unchanged\n"
    shell.ready()
    assert shell("apply", "-f", "-", text=MACHINE).out == f"{VM}/web unchanged\n"
    assert shell("apply", "-f", "-", text=MACHINE.replace("app: web", "app: db")).out == f"{VM}/web configured\n"
    managers = {item["manager"]: item for item in shell.found()["metadata"]["managedFields"]}
    assert managers["xvirt"]["operation"] == "Apply"
    assert set(managers["xvirt"]["fieldsV1"]["f:spec"]) == {"f:cpu", "f:memory"}


def test_diff_and_server_dry_run_change_nothing_and_tell_each_field_with_its_cost(shell: Shell) -> None:
    assert shell("diff", "-f", "-", text=MACHINE).out == f"{VM}/web is new\n"
    assert shell.api.find(shell.document()) is None
    shell("apply", "-f", "-", text=MACHINE)
    assert shell("diff", "-f", "-", text=MACHINE).code == 0
    changed = MACHINE.replace("size: 64Mi", "size: 96Mi").replace("max: 2", "max: 4").replace("app: web", "app: db")
    outcome = shell("diff", "-f", "-", text=changed)
    assert outcome.code == 1
    assert outcome.out.splitlines() == [
        f"{VM}/web differs",
        '  ~ metadata.labels[app]: "web" -> "db"   [none]',
        "  ~ spec.cpu.max: 2 -> 4   [restart]",
        '  ~ spec.memory.size: "64Mi" -> "96Mi"   [live]',
    ]
    dry = shell("apply", "--dry-run=server", "-f", "-", text=changed)
    assert dry.out.splitlines()[0] == f"{VM}/web configured (server dry run)"
    assert shell.found()["spec"]["cpu"]["max"] == 2


def test_a_field_that_was_left_out_goes_and_one_of_others_stays(shell: Shell) -> None:
    shell("apply", "-f", "-", text=MACHINE + "  runStrategy: Manual\n")
    shell.api.merge(shell.document(), {"metadata": {"annotations": {"team": "red"}}})
    shell("apply", "-f", "-", text=MACHINE)
    found = shell.found()
    assert found["spec"].get("runStrategy") in (None, "Always")
    assert found["metadata"]["annotations"]["team"] == "red"


def test_what_kubectl_has_set_is_a_conflict_until_it_is_taken_over(shell: Shell) -> None:
    document = yaml.safe_load(MACHINE)
    document["metadata"]["namespace"] = shell.namespace
    shell.api.apply(document, manager="kubectl")
    changed = MACHINE.replace("max: 2", "max: 4")
    outcome = shell("apply", "-f", "-", text=changed)
    assert outcome.code == 5
    assert '"kubectl"' in outcome.err
    assert ".spec.cpu.max" in outcome.err
    assert "--force-conflicts takes the fields over" in outcome.err
    assert shell("apply", "--force-conflicts", "-f", "-", text=changed).out == f"{VM}/web configured\n"


def test_what_never_changes_is_refused_by_the_api_server_in_our_words(shell: Shell) -> None:
    assert shell("apply", "-f", "-", text=NETWORK).code == 0
    changed = NETWORK.replace("Isolated", "Routed, subnets: [{address: 192.168.100.1/24}]")
    for command in (["apply"], ["diff"]):
        outcome = shell(*command, "-f", "-", text=changed)
        assert outcome.code == 3
        assert f"error: VirtualNetwork {shell.namespace}/lan: spec.mode: " in outcome.err


def test_secrets_are_objects_of_their_own(shell: Shell) -> None:
    stream = f"{MACHINE}---{SECRET}"
    assert shell("apply", "-f", "-", text=stream).out == f"secret/web-init created\n{VM}/web created\n"
    assert shell("apply", "-f", "-", text=stream).out == f"secret/web-init unchanged\n{VM}/web unchanged\n"
    changed = shell("diff", "-f", "-", text=stream.replace("hello", "good day"))
    assert changed.out == 'secret/web-init differs\n  ~ data: "(hidden)" -> "(hidden)"   [none]\n'
    assert shell("delete", "-f", "-", text=stream).out == f"{VM}/web deleted\nsecret/web-init deleted\n"


def test_get_describe_events_and_wait_read_what_is_there(shell: Shell) -> None:
    shell("apply", "-f", "-", text=f"{MACHINE}---{NETWORK}")
    shell.ready()
    assert shell("get", "vm").rows()[1][:2] == ["web", "Running"]
    assert shell("get", "all", "-o", "name").out == f"virtualnetwork.xvirt.io/lan\n{VM}/web\n"
    assert shell("wait", "vm", "web", "--for=condition=Ready").out == f"{VM}/web condition met\n"
    tell_event(shell, "Placed", "runs on node-a")
    rows = shell("events", "vm", "web").rows()
    assert rows[1][1:5] == ["1", "Normal", "Placed", "virtualmachine/web"]
    assert shell("events").rows()[1][4] == "virtualmachine/web"
    said = shell("describe", "vm", "web").out
    assert "Placed" in said
    assert "Host:\n" in said


def tell_event(shell: Shell, reason: str, note: str) -> None:
    about = {**shell.document(), "name": "web", "namespace": shell.namespace}
    regarding = {key: about[key] for key in ("apiVersion", "kind", "name", "namespace")}
    shell.api.create(
        {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"web.{reason.lower()}", "namespace": shell.namespace},
            "regarding": regarding,
            "eventTime": "2026-01-31T12:00:00.000000Z",
            "type": "Normal",
            "reason": reason,
            "note": note,
            "action": "Reconcile",
            "reportingController": "xvirt.io/operator",
            "reportingInstance": "test",
        }
    )


def test_a_watch_shows_changes_of_several_kinds(shell: Shell) -> None:
    shell("apply", "-f", "-", text=MACHINE)
    argv = [*XVIRT, "--kubeconfig", str(shell.kubeconfig), "-n", shell.namespace, "get", "vm,vnet", "-w"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline().split()[0] == "NAME"
            assert running.stdout.readline().split()[:2] == [f"{VM}/web", "-"]
            shell.ready()
            assert running.stdout.readline().split()[:2] == [f"{VM}/web", "Running"]
            shell("apply", "-f", "-", text=NETWORK)
            assert running.stdout.readline().split()[0] == "NAME"
            assert running.stdout.readline().split()[0] == "virtualnetwork.xvirt.io/lan"
            shell("delete", "vm", "web")
            assert running.stdout.readline() == f"{VM}/web deleted\n"
        finally:
            running.kill()


def test_row_87_rights_are_those_of_the_api_server(shell: Shell, control_plane: ControlPlane) -> None:
    stranger = control_plane.kubeconfig_for("cli-stranger", Identity("cli-stranger"))
    outcome = Shell(control_plane, shell.namespace, stranger)("get", "vm")
    assert outcome.code == 6
    assert 'User "cli-stranger" cannot list resource "virtualmachines"' in outcome.err


def test_the_version_is_the_api_servers(shell: Shell, api: Api) -> None:
    version = api.call("GET", "/version")["gitVersion"]
    assert f"cluster: Kubernetes {version}" in shell("version").out


# kubectl's plugin


def test_row_102_kubectl_finds_the_plugin_and_it_means_the_cluster(shell: Shell, tmp_path: Path) -> None:
    plugin = Plugin(install_plugin(tmp_path), shell.kubeconfig, shell.namespace)
    done = plugin("apply", "-f", "-", text=MACHINE)
    assert (done.returncode, done.stdout) == (0, f"{VM}/web created\n")
    shell.ready()
    assert plugin("get", "vm").stdout.split()[5:7] == ["web", "Running"]
    refused = plugin("get", "vm", "ghost")
    assert (refused.returncode, refused.stderr) == (4, f"error: VirtualMachine {shell.namespace}/ghost is not there\n")
    help_text = plugin("--help").stdout
    assert help_text.startswith("Usage: kubectl xvirt")
    assert plugin("delete", "vm", "web").stdout == f"{VM}/web deleted\n"
