"""The target `cluster`: the same declaration as a custom resource, which pulumi-kubernetes applies and xVirt's operator makes so.

Waiting is pulumi-kubernetes' own, by annotations (https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/managing-resources-with-server-side-apply/
and its provider's `pulumi.com/waitFor`): an object that is not there in time fails its step and stays as it is.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from typing import Any

import pulumi

from xvirt import API_VERSION
from xvirt.model.exchange import ObjectRef, ObjectView, Token
from xvirt_provider import core
from xvirt_provider.adoption import OWNER
from xvirt_provider.inputs import Declaration
from xvirt_provider.options import TIMEOUT_S

PACKAGE = "pulumi-kubernetes"
WAIT_FOR = "pulumi.com/waitFor"
SKIP_AWAIT = "pulumi.com/skipAwait"
_RUNNING = "jsonpath={.status.powerState}=Running"
AWAITED: dict[str, dict[str, str]] = {
    "accepted": {SKIP_AWAIT: "true"},
    "defined": {WAIT_FOR: "jsonpath={.status.domainName}"},
    "running": {WAIT_FOR: _RUNNING},
    "address": {WAIT_FOR: json.dumps([_RUNNING, "jsonpath={.status.interfaces[0].addresses[0].address}"])},
    "agent": {WAIT_FOR: "condition=AgentConnected"},
    "cloud-init": {WAIT_FOR: "condition=Ready"},
    "ready": {WAIT_FOR: "condition=Ready"},
}
"""What `wait_for` asks of the object; absent, it is `ready`."""


@dataclasses.dataclass(frozen=True)
class CustomResource:
    """What is registered with Pulumi: as `pulumi_kubernetes.apiextensions.CustomResource` registers it."""

    type: str
    props: dict[str, Any]
    opts: pulumi.ResourceOptions


def make_custom_resource(declaration: Declaration, node: Any, opts: pulumi.ResourceOptions | None) -> CustomResource:
    """The custom resource of a declaration; its Secrets are declared at once, before it. Raises pulumi.RunError for what a cluster
    decides by itself, and where pulumi-kubernetes is not installed."""
    subject = f"{declaration.kind} {declaration.resource_name}"
    _check_target(declaration, node, subject)
    pulumi.Output.all(declaration.metadata, declaration.spec).apply(lambda found: _check(declaration, *found))
    opts = opts or pulumi.ResourceOptions()
    secrets = [_make_secret(declaration, name, content, opts) for name, content in declaration.secrets]
    waited = pulumi.ResourceOptions(
        depends_on=secrets, version=_version(subject), custom_timeouts=_timeouts(declaration)
    )
    props = {**_document(declaration), "status": None}
    return CustomResource(
        f"kubernetes:{API_VERSION}:{declaration.kind}", props, pulumi.ResourceOptions.merge(waited, opts)
    )


def _check_target(declaration: Declaration, node: Any, subject: str) -> None:
    remedies = {
        "node": "a cluster places machines by spec.placement",
        "profile": "in a cluster it is a label of the namespace",
        "adopt": "take an object of a cluster over with opts=ResourceOptions(import_='NAMESPACE/NAME')",
    }
    given = {"node": node, "profile": declaration.profile, "adopt": declaration.adopt}
    for key, remedy in remedies.items():
        if given[key] is not None:
            raise pulumi.RunError(f"{subject}: {key} is for target='node'; {remedy}")


def _check(declaration: Declaration, metadata: Any, spec: Any) -> None:
    """The shared rules, as the node target's check; the API server judges once more. Raises pulumi.RunError."""
    inputs = {"kind": declaration.kind, "metadata": metadata, "spec": spec, "owner": declaration.resource_name}
    problems = core.check({**inputs, **declaration.options.to_input()})
    if problems:
        told = "; ".join(str(item) for item in problems)
        raise pulumi.RunError(f"{declaration.kind} {declaration.resource_name}: {told}")


def _document(declaration: Declaration) -> dict[str, Any]:
    """The document that the node target sends, and how long Pulumi is to wait for it."""
    annotations = {OWNER: declaration.resource_name, **AWAITED[declaration.options.wait_for or "ready"]}
    given = declaration.metadata.get("annotations") or {}
    if isinstance(given, pulumi.Output):
        merged: Any = given.apply(lambda own: {**(own or {}), **annotations})
    else:
        merged = {**given, **annotations}
    return {
        "apiVersion": API_VERSION,
        "kind": declaration.kind,
        "metadata": {**declaration.metadata, "annotations": merged},
        "spec": declaration.spec,
    }


def _make_secret(declaration: Declaration, name: Any, content: Any, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    from pulumi_kubernetes.core.v1 import Secret  # an import of a second, for those who have a cluster

    namespace = declaration.metadata.get("namespace")
    return Secret(
        f"{declaration.resource_name}-{name}" if isinstance(name, str) else f"{declaration.resource_name}-first-boot",
        metadata={"name": name, **({"namespace": namespace} if namespace is not None else {})},
        string_data=pulumi.Output.secret(content),
        opts=pulumi.ResourceOptions(parent=opts.parent, provider=opts.provider, depends_on=opts.depends_on),
    )


def _version(subject: str) -> str:
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise pulumi.RunError(f"{subject}: target='cluster' needs {PACKAGE}; install it beside pulumi") from None


def _timeouts(declaration: Declaration) -> pulumi.CustomTimeouts:
    found = {step: getattr(declaration.options.timeouts, step) or seconds for step, seconds in TIMEOUT_S.items()}
    return pulumi.CustomTimeouts(**{step: f"{seconds:g}s" for step, seconds in found.items()})


def outputs(resource: Any, kind: str, names: tuple[str, ...]) -> dict[str, pulumi.Output[Any]]:
    """The outputs that the node target has, from the object as the cluster has it."""
    told: pulumi.Output[dict[str, Any]] = pulumi.Output.all(resource.metadata, resource.status).apply(
        lambda found: _told(kind, found[0] or {}, found[1] or {})
    )
    return {name: told.apply(_pick(name)) for name in names}


def _pick(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda found: found.get(name)


def _told(kind: str, metadata: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    ref = ObjectRef(kind=kind, name=str(metadata.get("name") or ""), uid=str(metadata.get("uid") or ""))
    view = ObjectView(ref=ref, document={"metadata": metadata, "status": status}, token=Token())
    return core.outputs_of({"kind": kind}, view)
