"""`get`, `describe`, `events`, `wait`, `explain`, `version` against a node that serves."""

from __future__ import annotations

import json

import yaml

from tests.unit.cli.live_node import MACHINE, NETWORK, OTHER, LiveNode, run_here


def test_row_102_get_lists_machines_in_aligned_columns(node: LiveNode) -> None:
    node.declare(MACHINE, OTHER)
    rows = node.xvirt("get", "vm").rows()
    assert rows == [
        ["NAME", "STATUS", "CPUS", "MEMORY", "ADDRESS"],
        ["db", "Running", "1", "64Mi", "-"],
        ["web", "Running", "1", "64Mi", "-"],
    ]


def test_wide_output_adds_the_node_and_the_uuid(node: LiveNode) -> None:
    node.declare(MACHINE)
    heading, row = node.xvirt("get", "vm", "-o", "wide").rows()
    assert heading[-2:] == ["NODE", "UUID"]
    assert row[-2:] == ["node-a", node.uid()]


def test_one_object_is_printed_whole_as_yaml_and_json(node: LiveNode) -> None:
    node.declare(MACHINE)
    as_yaml = yaml.safe_load(node.xvirt("get", "vm", "web", "-o", "yaml").out)
    as_json = json.loads(node.xvirt("get", "vm/web", "-o", "json").out)
    assert as_yaml == as_json
    assert as_yaml["status"]["powerState"] == "Running"


def test_names_kinds_selectors_and_namespaces_filter_what_is_listed(node: LiveNode) -> None:
    node.declare(MACHINE, OTHER, NETWORK)
    assert [row[0] for row in node.xvirt("get", "vm", "-l", "app=db").rows()] == ["NAME", "db"]
    assert [row[0] for row in node.xvirt("get", "vm", "web", "--no-headers").rows()] == ["web"]
    assert "No objects found" in node.xvirt("-n", "elsewhere", "get", "vm").err
    assert node.xvirt("-n", "elsewhere", "get", "vm", "-A").rows()[1][:2] == ["default", "db"]


def test_what_is_not_there_is_an_error_with_a_code_of_its_own(node: LiveNode) -> None:
    outcome = node.xvirt("get", "vm", "web")
    assert outcome.code == 4
    assert "VirtualMachine default/web is not on node node-a" in outcome.err


def test_a_node_that_cannot_be_reached_is_told_with_its_address() -> None:
    outcome = run_here(["--node", "unix:///nowhere/node.sock", "get", "vm"])
    assert outcome.code == 8
    assert "/nowhere/node.sock" in outcome.err
