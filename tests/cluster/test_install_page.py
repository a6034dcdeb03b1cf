"""docs/install.md does what it says: its files are read by the programs and accepted by an API server."""

from __future__ import annotations

import base64
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from nodeplugin.config import load_config as load_node_config
from tests.cluster.deployment import KUSTOMIZE, REPOSITORY
from tests.cluster.kubectl import Kubectl
from tools.cluster.controlplane import ControlPlane
from xvirt.gateway.config import load_config as load_gateway_config
from xvirt.operator.config import load_config as load_operator_config

PAGE = (REPOSITORY / "docs/install.md").read_text()
CLUSTER = "0f6f1e6e-2f0a-4a57-9d6c-3a0a6c8f4d11"


def block(first: str) -> str:
    """The YAML of the page that begins with a comment."""
    found = re.search(rf"```yaml\n(# {re.escape(first)}.*?)```", PAGE, re.DOTALL)
    assert found, first
    return found[1]


def with_files(text: str, directory: Path) -> Path:
    """A config whose files are there, below a directory."""
    for path in re.findall(r"/etc/xvirt/[a-z]+/[a-z.-]+", text):
        made = directory / path.removeprefix("/etc/xvirt/")
        made.parent.mkdir(parents=True, exist_ok=True)
        made.touch()
    config = directory / "config.yaml"
    config.write_text(text.replace("/etc/xvirt/", f"{directory}/"))
    return config


def test_the_node_plugin_takes_the_pages_config(tmp_path: Path) -> None:
    found = load_node_config(with_files(block("/etc/xvirt/node.yaml").replace("CLUSTER", CLUSTER), tmp_path))
    assert found.authorities == (CLUSTER,)
    assert {item.common_name: item.profiles[-1] for item in found.clients} == {
        "xvirt-operator": "privileged",
        "xvirt-gateway": "restricted",
    }


def test_operator_and_gateway_take_their_config_maps(tmp_path: Path) -> None:
    operator = load_operator_config(
        with_files((KUSTOMIZE / "base/operator-config.yaml").read_text(), tmp_path / "operator")
    )
    gateway = load_gateway_config(
        with_files((KUSTOMIZE / "gateway/gateway-config.yaml").read_text(), tmp_path / "gateway")
    )
    ports = {"xvirt-operator": operator.listen, "xvirt-gateway": gateway.metrics_listen}
    for folder, name in (("base/operator.yaml", "xvirt-operator"), ("gateway/gateway.yaml", "xvirt-gateway")):
        pods = [item for item in yaml.safe_load_all((KUSTOMIZE / folder).read_text()) if item["kind"] == "Deployment"]
        (container,) = pods[0]["spec"]["template"]["spec"]["containers"]
        http = next(item["containerPort"] for item in container["ports"] if item["name"] == "http")
        assert ports[name] == f"0.0.0.0:{http}"


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """The page's kustomization beside a copy of the repository's parts."""
    for part in ("deploy", "crds"):
        shutil.copytree(REPOSITORY / part, tmp_path / "xvirt" / part)
    ca = base64.b64encode(b"-----BEGIN CERTIFICATE-----\n").decode()
    (tmp_path / "kustomization.yaml").write_text(block("kustomization.yaml").replace("BASE64", ca))
    config = (KUSTOMIZE / "base/operator-config.yaml").read_text()
    (tmp_path / "operator.yaml").write_text(config.replace("registry.example.org", "registry.mine.example"))
    return tmp_path


def test_the_pages_kustomization_is_accepted_with_its_images_config_and_ca(
    installed: ControlPlane, overlay: Path
) -> None:
    kubectl = Kubectl(installed.kubeconfig, "")
    rendered = kubectl("kustomize", str(overlay)).stdout
    documents: list[Any] = list(yaml.safe_load_all(rendered))
    pods = [item["spec"]["template"]["spec"] for item in documents if item["kind"] in ("Deployment", "DaemonSet")]
    images = {pod["containers"][0]["image"] for pod in pods}
    assert images == {"registry.mine.example/xvirt/operator:v0.1.0", "registry.mine.example/xvirt/node:v0.1.0"}
    config = next(item for item in documents if item["metadata"]["name"].startswith("xvirt-operator-config"))
    assert "registry.mine.example/xvirt/holder:v0.1.0" in config["data"]["operator.yaml"]
    (service,) = [item for item in documents if item["kind"] == "APIService"]
    assert base64.b64decode(service["spec"]["caBundle"]).startswith(b"-----BEGIN")
    rest = [item for item in documents if item is not service]  # whose CA would have to be one
    told = kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=rest)
    assert len(told.stdout.splitlines()) == len(rest)


def test_uninstalling_as_the_page_says_lifts_the_protection_of_kinds(installed: ControlPlane) -> None:
    kubectl = Kubectl(installed.kubeconfig, "")
    selector = "app.kubernetes.io/part-of=xvirt"
    assert (
        "is protected from deletion" in kubectl("delete", "crd", "-l", selector, "--dry-run=server", check=False).stderr
    )
    lines = [line for line in PAGE.splitlines() if "annotate crd -l" in line]
    assert f"kubectl annotate crd -l {selector} xvirt.io/deletion-protection-" in lines[0]
    told = kubectl("annotate", "crd", "-l", selector, "xvirt.io/deletion-protection-", "--dry-run=server")
    assert len(told.stdout.splitlines()) >= 6
