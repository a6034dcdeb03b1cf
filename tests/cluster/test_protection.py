"""What is protected from deletion stays: from people, from namespaces, and from tools that delete and create."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial

import pytest

from tests.cluster.deployment import disk, machine, namespace, refusal_of_deletion
from tests.cluster.kubectl import Kubectl
from tools.cluster.api import Api, ApiRefused, Json
from tools.cluster.controlplane import ControlPlane
from tools.cluster.services import wait_for

ANNOTATION = "xvirt.io/deletion-protection"
_TIMEOUT_S = 60.0
_numbers = itertools.count(1)


@pytest.fixture
def api(installed: ControlPlane) -> Api:
    return installed.api


@pytest.fixture
def place(api: Api) -> Iterator[str]:
    name = f"protected-{next(_numbers)}"
    api.create(namespace(name))
    yield name
    api.delete(namespace(name))


def protected(document: Json, value: str = "true") -> Json:
    document["metadata"]["annotations"] = {ANNOTATION: value}
    return document


@pytest.mark.parametrize("value", ["true", "yes", "True", ""])
def test_row_101_a_protected_object_is_not_deleted_and_the_refusal_says_how_to(
    api: Api, installed: ControlPlane, place: str, value: str
) -> None:
    document = protected(disk(place), value)
    api.create(document)
    with pytest.raises(ApiRefused) as caught:
        api.delete(document)
    assert (caught.value.code, caught.value.reason) == (403, "Forbidden")
    remedy = str(caught.value).rpartition("first run: ")[2]
    assert remedy == f"kubectl annotate virtualdisks.xvirt.io -n {place} data {ANNOTATION}-"
    Kubectl(installed.kubeconfig, "")(*remedy.split()[1:])
    api.delete(document)
    assert api.find(document) is None


def test_an_object_without_protection_is_deleted(api: Api, place: str) -> None:
    for document in (machine(place), protected(disk(place), "false")):
        api.create(document)
        api.delete(document)
        assert api.find(document) is None


def test_row_101_deleting_all_objects_of_a_kind_spares_the_protected(api: Api, place: str) -> None:
    kept, gone = protected(machine(place, name="kept")), machine(place, name="gone")
    for document in (kept, gone):
        api.create(document)
    with pytest.raises(ApiRefused):
        api.call("DELETE", api.path_of(kept).rpartition("/")[0])
    assert api.find(kept) is not None
    api.merge(kept, {"metadata": {"annotations": {ANNOTATION: None}}})


def test_row_101_a_namespace_is_not_gone_before_its_protected_objects_may_go(api: Api, place: str) -> None:
    kept = protected(machine(place))
    api.create(kept)
    api.create(namespace(f"{place}-doomed"))
    document = protected(machine(f"{place}-doomed"))
    api.create(document)
    api.delete(namespace(f"{place}-doomed"))
    wait_for(partial(_says_why_it_stays, api, f"{place}-doomed"), _TIMEOUT_S, "the namespace to say why it stays")
    assert api.find(document) is not None
    api.merge(document, {"metadata": {"annotations": {ANNOTATION: None}}})
    wait_for(lambda: api.find(namespace(f"{place}-doomed")) is None, _TIMEOUT_S, "the namespace to go")
    api.merge(kept, {"metadata": {"annotations": {ANNOTATION: None}}})


def _says_why_it_stays(api: Api, name: str) -> bool:
    conditions = api.read(namespace(name)).get("status", {}).get("conditions", ())
    return any(ANNOTATION in item["message"] for item in conditions if item["status"] == "True")


def test_row_101_a_protected_namespace_is_not_deleted(api: Api) -> None:
    document = namespace("kept-namespace", annotations={ANNOTATION: "true"})
    api.create(document)
    found = refusal_of_deletion(api, document)
    assert found is not None
    assert f"kubectl annotate namespaces kept-namespace {ANNOTATION}-" in str(found)


def test_row_101_a_kind_is_not_deleted_with_all_its_objects(api: Api) -> None:
    kinds = [
        item
        for item in api.list("apiextensions.k8s.io/v1", "CustomResourceDefinition")
        if item["spec"]["group"] == "xvirt.io"
    ]
    assert len(kinds) >= 6
    for kind in kinds:
        document = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", **kind}
        found = refusal_of_deletion(api, document)
        assert found is not None
        assert found.reason == "Forbidden"


def test_a_protected_object_can_be_changed(api: Api, place: str) -> None:
    document = protected(machine(place))
    api.create(document)
    api.merge(document, {"spec": {"runStrategy": "Halted"}})
    api.merge(document, {"metadata": {"annotations": {ANNOTATION: None}}})
    api.delete(document)


def test_the_end_of_a_deletion_that_had_begun_is_not_stopped(api: Api, place: str) -> None:
    """A finalizer that is released after somebody protected a dying object: the API server itself takes it away."""
    document = machine(place)
    document["metadata"]["finalizers"] = ["xvirt.io/operator"]
    api.create(document)
    api.delete(document)
    api.merge(document, {"metadata": {"annotations": {ANNOTATION: "true"}}})
    api.merge(document, {"metadata": {"finalizers": []}})
    assert api.find(document) is None
