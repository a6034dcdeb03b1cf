"""deploy/kustomize in a real API server, as an administrator installs it."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import yaml

from tests.cluster.kubectl import Kubectl
from tools.cluster.api import Api, ApiRefused, Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.install import render
from tools.cluster.services import wait_for

REPOSITORY = Path(__file__).resolve().parents[2]
KUSTOMIZE = REPOSITORY / "deploy" / "kustomize"
PROFILES = ("restricted", "baseline", "privileged")
PROFILE_LABEL = "xvirt.io/policy-profile"
_TIMEOUT_S = 60.0


@cache
def rendered(name: str) -> str:
    """What `kubectl kustomize` makes of one of its directories."""
    return render(KUSTOMIZE / name)


def documents(name: str) -> list[Json]:
    """The same, read."""
    return list(yaml.safe_load_all(rendered(name)))


def install(plane: ControlPlane) -> None:
    """Apply everything, make a namespace per policy profile, and wait until the policies are in force.

    But for the APIService: no pod runs here, and one whose server does not answer keeps namespaces from being deleted.
    """
    apply = partial(Kubectl(plane.kubeconfig, ""), "apply", "--server-side", "-f", "-")
    apply(stdin=[item for item in documents("default") if item["kind"] != "APIService"])
    for profile in PROFILES:
        plane.api.create(namespace(profile, {PROFILE_LABEL: profile}))
    for kind in ("restricted", "baseline"):
        probe = machine(kind, {"devices": {"emulator": "/bin/true"}})
        wait_for(partial(is_refused, plane.api, probe), _TIMEOUT_S, f"the policies of {kind} to be in force")
    wait_for(partial(_is_protected, plane.api), _TIMEOUT_S, "deletion protection to be in force")


def _is_protected(api: Api) -> bool:
    name = "protection-probe"
    if api.find(namespace(name)) is None:
        api.create(namespace(name, annotations={"xvirt.io/deletion-protection": "true"}))
    return refusal_of_deletion(api, namespace(name)) is not None


def namespace(name: str, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None) -> Json:
    """A Namespace."""
    metadata = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def machine(place: str, domain: Json | None = None, name: str = "web", **spec: object) -> Json:
    """A VirtualMachine in a namespace, with an overlay."""
    overlay = {} if domain is None else {"domain": domain}
    return _object("VirtualMachine", place, name, {"memory": {"size": "64Mi"}, **overlay, **spec})


def network(place: str, name: str = "lan", **spec: object) -> Json:
    """A VirtualNetwork in a namespace."""
    return _object("VirtualNetwork", place, name, {"mode": "Isolated", **spec})


def disk(place: str, name: str = "data") -> Json:
    """A VirtualDisk in a namespace."""
    return _object("VirtualDisk", place, name, {"size": "1Gi"})


def _object(kind: str, place: str, name: str, spec: Json) -> Json:
    metadata = {"name": name, "namespace": place}
    return {"apiVersion": "xvirt.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def refusal(api: Api, document: Json) -> ApiRefused | None:
    """What an API server says against creating an object; None where it would. Nothing is stored."""
    try:
        api.create(document, dryRun="All")
    except ApiRefused as error:
        return error
    return None


def is_refused(api: Api, document: Json) -> bool:
    """Whether a policy refuses it."""
    found = refusal(api, document)
    assert found is None or found.reason == "Forbidden", found
    return found is not None


def refusal_of_deletion(api: Api, document: Json) -> ApiRefused | None:
    """The same of deleting it."""
    try:
        api.delete(document, dryRun=["All"])
    except ApiRefused as error:
        return error
    return None
