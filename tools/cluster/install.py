"""What of xVirt goes into a cluster before the operator starts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import yaml

from tools.cluster.api import Api, ApiRefused, Json
from tools.cluster.errors import ClusterError
from tools.cluster.services import wait_for

REPOSITORY = Path(__file__).resolve().parents[2]
CRDS = REPOSITORY / "crds"
KUSTOMIZE = REPOSITORY / "deploy" / "kustomize"
_ESTABLISHED_TIMEOUT_S = 60.0
_RENDER_TIMEOUT_S = 60.0
_POLICY_TIMEOUT_S = 90.0
_MANAGER = "xvirt-install"
_PARTS = ("base", "gateway")
_CRD = "CustomResourceDefinition"
_RUN_HERE = ("Deployment", "DaemonSet", "PodDisruptionBudget", "ConfigMap", "Service", "APIService")
"""Of processes that this machine runs itself, where a cluster has containers."""


def kubectl_program() -> str:
    """The environment's kubectl, or the machine's. Raises ClusterError."""
    own = Path(sys.executable).with_name("kubectl")
    found = str(own) if own.exists() else shutil.which("kubectl")
    if found is None:
        raise ClusterError("kubectl is not there; run ./dev setup")
    return found


def render(directory: Path) -> str:
    """What `kubectl kustomize` makes of a directory. Raises ClusterError."""
    argv = [kubectl_program(), "kustomize", str(directory)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_RENDER_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise ClusterError(f"`{' '.join(argv)}`: {done.stderr.strip()}")
    return done.stdout


def crd_documents() -> list[Json]:
    """Every CustomResourceDefinition of the repository."""
    return [yaml.safe_load(file.read_text()) for file in sorted(CRDS.glob("*.yaml"))]


def install_crds(api: Api) -> None:
    """Apply our kinds, and wait until the API server serves them. Raises ApiRefused with what it does not accept."""
    _apply(api, crd_documents())


def install_base(api: Api) -> None:
    """What deploy/kustomize has beside processes: kinds, rights, policies, priorities. Raises ApiRefused."""
    documents: list[Json] = [
        item for part in _PARTS for item in yaml.load_all(render(KUSTOMIZE / part), yaml.CSafeLoader)
    ]
    _apply(api, [item for item in documents if item["kind"] not in _RUN_HERE])


def wait_for_policies(api: Api) -> None:
    """Until what a namespace's policy profile denies is refused: an API server takes some seconds to begin. Nothing is stored."""
    overlay = {"devices": {"emulator": "/bin/true"}}
    probe = {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": "policy-probe", "namespace": "default"},
        "spec": {"memory": {"size": "64Mi"}, "domain": overlay},
    }

    def is_refused() -> bool:
        try:
            api.create(probe, dryRun="All")
        except ApiRefused as error:
            return error.reason == "Forbidden"
        return False

    wait_for(is_refused, _POLICY_TIMEOUT_S, "the policies to be in force")


def _apply(api: Api, documents: Sequence[Json]) -> None:
    for document in documents:
        api.apply(document, manager=_MANAGER, force=True)
    for document in documents:
        if document["kind"] == _CRD:
            name = document["metadata"]["name"]
            wait_for(partial(_is_served, api, document), _ESTABLISHED_TIMEOUT_S, f"{name} to be served")


def _is_served(api: Api, document: Json) -> bool:
    conditions = api.read(document).get("status", {}).get("conditions", ())
    if not any(item["type"] == "Established" and item["status"] == "True" for item in conditions):
        return False
    spec = document["spec"]
    versions = [version["name"] for version in spec["versions"] if version["served"]]
    # Established comes a moment before the first request is answered.
    found = [api.answers(f"/apis/{spec['group']}/{version}/{spec['names']['plural']}") for version in versions]
    return all(found)
