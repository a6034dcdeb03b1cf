"""The documents by which clients find the API."""

from __future__ import annotations

import pytest

from tests.unit.gateway.cluster import LiveCluster
from xvirt.gateway.discovery import choose_aggregated, find_page

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
BETA = V2.replace("v=v2", "v=v2beta1")
RESOURCES = {"start": ("update", "create"), "description": ("get",)}


def test_the_group_and_its_resources_are_served(cluster: LiveCluster) -> None:
    groups = cluster.ask("GET", "/apis").json
    assert groups["kind"] == "APIGroupList"
    assert groups["groups"][0]["preferredVersion"]["groupVersion"] == "subresources.xvirt.io/v1alpha1"
    assert cluster.ask("GET", "/apis/subresources.xvirt.io").json["name"] == "subresources.xvirt.io"
    resources = cluster.ask("GET", "/apis/subresources.xvirt.io/v1alpha1?timeout=32s").json
    assert (resources["kind"], resources["groupVersion"]) == ("APIResourceList", "subresources.xvirt.io/v1alpha1")
    verbs = {item["name"]: item["verbs"] for item in resources["resources"]}
    assert verbs["virtualmachines/start"] == ["update", "create"]
    assert verbs["virtualmachines/description"] == ["get"]
    assert all(item["namespaced"] for item in resources["resources"])


def test_aggregated_discovery_is_answered_in_its_own_type(cluster: LiveCluster) -> None:
    reply = cluster.ask("GET", "/apis", headers={"Accept": f"{V2},{BETA},application/json"})
    assert reply.headers["content-type"] == V2
    (group,) = reply.json["items"]
    (version,) = group["versions"]
    assert (group["metadata"]["name"], version["version"], version["freshness"]) == (
        "subresources.xvirt.io",
        "v1alpha1",
        "Current",
    )
    (machines,) = version["resources"]
    assert (machines["resource"], machines["scope"], machines["verbs"]) == ("virtualmachines", "Namespaced", [])
    assert "start" in {item["subresource"] for item in machines["subresources"]}


@pytest.mark.parametrize(
    ("accept", "version"),
    [
        (V2, "v2"),
        (BETA, "v2beta1"),
        (f"{BETA}, {V2}", "v2beta1"),
        ("application/json; as=APIGroupDiscoveryList; v=v2; g=apidiscovery.k8s.io;q=0.9", "v2"),
        (V2.replace("v=v2", "v=v9"), None),
        ("application/json", None),
        ("application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", None),
        ("", None),
        (";;,=,", None),
    ],
)
def test_only_forms_that_are_served_are_chosen(accept: str, version: str | None) -> None:
    assert choose_aggregated(accept) == version


def test_other_paths_are_no_pages() -> None:
    assert find_page("/apis/subresources.xvirt.io/v2", "", RESOURCES) is None
    assert find_page("/apis//", "", RESOURCES) is None
