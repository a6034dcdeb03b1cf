"""The documents by which clients find the API: groups, resources, both in one (aggregated discovery)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from xvirt.wire.subresources import API_VERSION, DESCRIPTION_KIND, GROUP, MACHINE, OPERATION_KIND, PLURAL, VERSION

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
PLAIN = "application/json"
_VERSIONS = ("v2", "v2beta1")
"""Of aggregated discovery, the newest first."""

Resources = Mapping[str, tuple[str, ...]]
"""Subresource to the verbs that RBAC knows it by."""


def find_page(path: str, accept: str, resources: Resources) -> tuple[str, dict[str, Any]] | None:
    """Content type and document of a discovery path; None for any other path."""
    if path in ("/apis", "/apis/"):
        version = choose_aggregated(accept)
        if version is not None:
            return AGGREGATED.format(version=version), _aggregated(version, resources)
        return PLAIN, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group()]}
    if path in (f"/apis/{GROUP}", f"/apis/{GROUP}/"):
        return PLAIN, {"kind": "APIGroup", "apiVersion": "v1", **_group()}
    if path in (f"/apis/{API_VERSION}", f"/apis/{API_VERSION}/"):
        return PLAIN, _resource_list(resources)
    return None


def choose_aggregated(accept: str) -> str | None:
    """The version of aggregated discovery that a client prefers and that is served; None where it wants none of them."""
    for wish in accept.lower().split(","):
        kind, *parameters = (re.sub(r"\s", "", part) for part in wish.split(";"))
        given = dict(part.split("=", 1) for part in parameters if "=" in part)
        if kind != "application/json" or given.get("as", "") == "":
            continue
        is_ours = (given.get("g"), given["as"]) == ("apidiscovery.k8s.io", "apigroupdiscoverylist")
        if is_ours and given.get("v") in _VERSIONS:
            return given["v"]
    return None


def _group() -> dict[str, Any]:
    version = {"groupVersion": API_VERSION, "version": VERSION}
    return {"name": GROUP, "versions": [version], "preferredVersion": version}


def _kind_of(subresource: str) -> str:
    return DESCRIPTION_KIND if subresource == "description" else OPERATION_KIND


def _resource_list(resources: Resources) -> dict[str, Any]:
    items = [
        {
            "name": f"{PLURAL}/{name}",
            "singularName": "",
            "namespaced": True,
            "group": GROUP,
            "version": VERSION,
            "kind": _kind_of(name),
            "verbs": list(verbs),
        }
        for name, verbs in resources.items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": API_VERSION, "resources": items}


def _aggregated(version: str, resources: Resources) -> dict[str, Any]:
    subresources = [
        {
            "subresource": name,
            "responseKind": {"group": GROUP, "version": VERSION, "kind": _kind_of(name)},
            "verbs": list(verbs),
        }
        for name, verbs in resources.items()
    ]
    machines = {
        "resource": PLURAL,
        "responseKind": {"group": GROUP, "version": VERSION, "kind": MACHINE},
        "scope": "Namespaced",
        "singularResource": MACHINE.lower(),
        "verbs": [],
        "subresources": subresources,
    }
    item = {
        "metadata": {"name": GROUP},
        "versions": [{"version": VERSION, "resources": [machines], "freshness": "Current"}],
    }
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [item],
    }
