"""`get orphans` against a node that serves."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.unit.cli.live_node import LiveNode

DISK = """
apiVersion: xvirt.io/v1alpha1
kind: VirtualDisk
metadata: {name: data, namespace: NAMESPACE}
spec: {size: 8Mi}
"""


@pytest.fixture
def retained(node: LiveNode) -> LiveNode:
    """A node with a retained volume in each of two namespaces."""
    for namespace in ("default", "red"):
        node.declare(DISK.replace("NAMESPACE", namespace))
        assert node.xvirt("delete", "vdisk", "data", "-n", namespace).code == 0
    return node


def test_row_48_orphans_of_the_namespace_are_listed_and_of_all_where_that_is_asked(retained: LiveNode) -> None:
    assert retained.xvirt("get", "orphans").rows() == [
        ["KIND", "NAME", "POOL", "SIZE", "REASON", "USED-BY"],
        ["Volume", "default_data.qcow2", "default", "200Ki", "Retained", "-"],
    ]
    rows = retained.xvirt("get", "orphans", "-A", "--no-headers").rows()
    assert [row[0] for row in rows] == ["default", "red"]


def test_wide_output_says_why_and_what_to_do(retained: LiveNode) -> None:
    out = retained.xvirt("get", "orphans", "-o", "wide").out
    assert "no VirtualDisk default/data is declared in pool default" in out
    assert "declare VirtualDisk default/data with pool default and format qcow2" in out
    assert f"rm {retained.directory}/pool/default_data.qcow2" in out


def test_orphans_are_printed_as_json_yaml_and_names(retained: LiveNode) -> None:
    value = json.loads(retained.xvirt("get", "orphans", "-o", "json").out)
    assert value == yaml.safe_load(retained.xvirt("get", "orphans", "-o", "yaml").out)
    assert value["kind"] == "OrphanList"
    assert [(item["name"], item["size"], item["usedBy"]) for item in value["items"]] == [
        ("default_data.qcow2", "200Ki", [])
    ]
    assert retained.xvirt("get", "orphans", "-o", "name").out == "volume/default_data.qcow2\n"


def test_no_orphans_are_said_to_be_none(node: LiveNode) -> None:
    outcome = node.xvirt("get", "orphans")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "No orphans found in namespace default.\n")
    assert json.loads(node.xvirt("get", "orphans", "-o", "json").out)["items"] == []


@pytest.mark.parametrize("more", [["data"], ["-w"], ["-l", "a=b"]])
def test_orphans_are_no_objects_to_name_watch_or_select(node: LiveNode, more: list[str]) -> None:
    outcome = node.xvirt("get", "orphans", *more)
    assert outcome.code == 2
    assert "orphans are no objects" in outcome.err
