"""What a node is given for an object, and how that is known again."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.operator.machines.scenes import SPEC, UID
from xvirt.model.codec import parse
from xvirt.operator.machines.document import Declared, digest_of, document_of, secret_names
from xvirt.operator.names import APPLIED_ANNOTATION


def declared(**more: Any) -> Declared:
    given: dict[str, Any] = {
        "kind": "VirtualMachine",
        "namespace": "default",
        "name": "web",
        "node_uid": UID,
        "generation": 3,
        "labels": {"app": "web"},
        "spec": SPEC,
    }
    return Declared(**{**given, **more})


def test_a_document_is_what_was_declared_and_its_digest() -> None:
    made = document_of(declared())
    assert made["spec"] == SPEC
    assert made["metadata"] == {
        "name": "web",
        "namespace": "default",
        "uid": UID,
        "generation": 3,
        "labels": {"app": "web"},
        "annotations": {APPLIED_ANNOTATION: digest_of(declared())},
    }


def test_a_document_is_one_that_a_node_takes() -> None:
    assert parse(document_of(declared())).metadata.uid == UID


def test_a_kind_without_namespaces_and_an_object_without_labels_say_neither() -> None:
    made = document_of(declared(kind="StoragePool", namespace="", labels={}, spec={"path": "/srv/pool"}))
    assert not {"namespace", "labels"} & set(made["metadata"])


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 4},
        {"labels": {}},
        {"spec": {**SPEC, "runStrategy": "Halted"}},
        {"profile": "baseline"},
        {"secrets": {"init": "7"}},
        {"secrets": {"init": ""}},
        {"node_uid": "other"},
    ],
)
def test_whatever_is_given_differently_has_another_digest(change: dict[str, Any]) -> None:
    assert digest_of(dataclasses.replace(declared(), **change)) != digest_of(declared())


def test_a_digest_knows_no_order() -> None:
    turned = dict(reversed(list(SPEC.items())))
    assert digest_of(declared(spec=turned)) == digest_of(declared())


def test_a_digest_tells_nothing_of_a_secret_but_its_version() -> None:
    assert digest_of(declared(secrets={"init": "7"})) == digest_of(declared(secrets={"init": "7"}))


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, ()),
        ({"cloudInit": {"userData": {"secret": "a"}, "networkData": {"secret": "b"}}}, ("a", "b")),
        ({"cloudInit": {"userData": {"secret": "a"}, "networkData": {"secret": "a"}}}, ("a",)),
        ({"cloudInit": {"userData": {"text": "#"}}}, ()),
        ({"cloudInit": {"userData": "a"}}, ()),
        ({"cloudInit": [1]}, ()),
        ({"cloudInit": None}, ()),
        ({"cloudInit": {"userData": {"secret": 7}}}, ()),
        ({"cloudInit": {"userData": {"secret": ""}}}, ()),
    ],
)
def test_secrets_are_found_wherever_a_spec_names_them(spec: dict[str, Any], wanted: tuple[str, ...]) -> None:
    assert secret_names("VirtualMachine", spec) == wanted


def test_kinds_that_name_no_secret_have_none() -> None:
    assert secret_names("VirtualNetwork", {"mode": "Nat"}) == ()
