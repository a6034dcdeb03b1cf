"""A stack that an earlier release made is refreshed, updated and destroyed by this one. Its state was written by that release
(`record.py`); the objects are put on the node as they were then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.lab.declared import Declared
from tests.pulumi.record import NAME, STATES
from tools.lab import Node
from tools.pulumi.stack import Stack
from xvirt.model.exchange import ApplyCall, SecretContent, Token

RELEASES = sorted(path.name for path in STATES.iterdir())
PULUMIS = ("pulumi:pulumi:Stack", "pulumi:providers:pulumi-python")
SECRETS = {"web-cloud-init": {"userData": b"#!/bin/sh\ntrue\n"}, "keys": {"unused": b"word"}}
"""What the recorded program sends; the state has it encrypted."""


def _put_back(declared: Declared, outputs: dict[str, Any]) -> None:
    """The object of a recorded resource, with the identity that it had."""
    metadata = {
        **outputs["metadata"],
        "uid": outputs["uid"],
        "annotations": {"xvirt.io/pulumi-resource": outputs["owner"]},
    }
    document = {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": outputs["kind"],
        "metadata": metadata,
        "spec": outputs["spec"],
    }
    contents = [SecretContent(name=name, data=data) for name, data in SECRETS.items() if "secrets" in outputs]
    call = ApplyCall(document=document, token=Token(authority=outputs["authority"]), secrets=tuple(contents))
    declared.wait_ready(declared.client.apply(call).object.ref)


@pytest.mark.parametrize("release", RELEASES)
def test_row_99_a_stack_of_an_earlier_release_goes_on(
    engine: Path, node: Node, declared: Declared, tmp_path: Path, release: str
) -> None:
    recorded = STATES / release / "state.json"
    resources = json.loads(recorded.read_text())["deployment"]["resources"]
    for resource in resources:
        if resource["type"] not in PULUMIS:
            _put_back(declared, resource["outputs"])
    stack = Stack(engine, tmp_path / "project", tmp_path / "backend", NAME).make(node=f"unix://{node.socket_path}")
    stack.run("stack", "import", "--file", str(recorded)).assert_ok()
    program = (STATES / release / "program.py").read_text()
    stack.write(program)
    found = stack.up("--refresh", "--run-program", "--expect-no-changes").assert_ok()
    assert not {"create", "update", "replace", "delete"} & set(found.changes), found.text
    stack.write(program.replace('"size": "32Mi"', '"size": "48Mi"').replace('size="16Mi"', 'size="32Mi"'))
    found = stack.up().assert_ok()
    assert (found.changes["update"], found.changes["same"]) == (2, 1), found.text
    assert stack.resources["data"]["spec"]["size"] == "32Mi"
    stack.destroy().assert_ok()
    assert declared.client.list_objects() == []
    assert stack.resources == {}
