"""A kind of no meaning on the real API server, for tests of the operator's runtime."""

from __future__ import annotations

import pytest

from tools.cluster.api import Api, Json
from tools.cluster.services import wait_for

_WAIT_S = 30.0
_ANY = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_CONDITIONS = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "items": {**_ANY, "required": ["type"], "properties": {"type": {"type": "string"}}},
}
_STATUS = {**_ANY, "properties": {"conditions": _CONDITIONS}}
_VERSION = {
    "name": "v1",
    "served": True,
    "storage": True,
    "subresources": {"status": {}},
    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": _ANY, "status": _STATUS}}},
}
THINGS_CRD: Json = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.example.xvirt.io"},
    "spec": {
        "group": "example.xvirt.io",
        "scope": "Namespaced",
        "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
        "versions": [_VERSION],
    },
}


@pytest.fixture(scope="session")
def things(api: Api) -> None:
    """The kind `Thing` is served, from the first test that wants it to the end: finalizers would make its removal a long one."""
    api.apply(THINGS_CRD)
    wait_for(lambda: api.answers("/apis/example.xvirt.io/v1/things"), _WAIT_S, "the kind to be served")
