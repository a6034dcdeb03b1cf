"""`get`, `describe`, `events`, `wait`, `logs`, `explain`, `version` against a node that serves."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.unit.cli.live_node import MACHINE, NETWORK, OTHER, VM, LiveNode, run_here
from xvirt.model.errors import Refused

# get


def test_row_102_get_lists_machines_in_aligned_columns(node: LiveNode) -> None:
    node.declare(MACHINE, OTHER)
    outcome = node.xvirt("get", "vm")
    assert outcome.rows() == [
        ["NAME", "STATUS", "CPUS", "MEMORY", "ADDRESS"],
        ["db", "Running", "1", "64Mi", "-"],
        ["web", "Running", "1", "64Mi", "-"],
    ]
    assert len({line.index(word) for line, word in zip(outcome.out.splitlines(), ("CPUS", "1", "1"), strict=True)}) == 1


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


def test_what_is_listed_is_a_list_however_many_there_are(node: LiveNode) -> None:
    assert json.loads(node.xvirt("get", "vm", "-o", "json").out) == {"apiVersion": "v1", "kind": "List", "items": []}
    node.declare(MACHINE)
    (item,) = yaml.safe_load(node.xvirt("get", "vm", "-o", "yaml").out)["items"]
    assert item["metadata"]["name"] == "web"


def test_what_is_printed_as_yaml_can_be_applied_again(node: LiveNode) -> None:
    node.declare(MACHINE, NETWORK)
    text = node.xvirt("get", "all", "-o", "yaml").out
    outcome = node.xvirt("apply", "-f", "-", text=text)
    assert (outcome.code, outcome.out) == (0, f"virtualnetwork.xvirt.io/lan unchanged\n{VM}/web unchanged\n")


def test_names_can_be_handed_to_other_commands(node: LiveNode) -> None:
    node.declare(MACHINE, NETWORK)
    names = node.xvirt("get", "all", "-o", "name").out.split()
    assert names == ["virtualnetwork.xvirt.io/lan", f"{VM}/web"]
    assert [row[0] for row in node.xvirt("get", *names, "--no-headers").rows() if row] == names


def test_kinds_labels_names_and_namespaces_filter_what_is_listed(node: LiveNode) -> None:
    node.declare(MACHINE, OTHER, NETWORK)
    assert [row[0] for row in node.xvirt("get", "vm", "-l", "app=db").rows()] == ["NAME", "db"]
    assert [row[0] for row in node.xvirt("get", "vm", "web", "--no-headers").rows()] == ["web"]
    assert len(node.xvirt("get", "vm,vnet", "-o", "name").rows()) == 3
    outcome = node.xvirt("get", "vm", "-n", "elsewhere")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "No objects found in namespace elsewhere.\n")
    assert node.xvirt("get", "vm", "-A", "-n", "elsewhere").rows()[1][:2] == ["default", "db"]


def test_the_namespace_may_stand_before_or_after_the_command(node: LiveNode) -> None:
    node.xvirt("-n", "team", "apply", "-f", "-", text=MACHINE)
    assert (
        node.xvirt("get", "vm", "-n", "team", "-o", "name").out
        == node.xvirt("-n", "team", "get", "vm", "-o", "name").out
    )
    assert node.xvirt("get", "vm", "-o", "name").out == ""


def test_what_is_not_there_is_told_and_the_rest_is_printed(node: LiveNode) -> None:
    node.declare(MACHINE)
    outcome = node.xvirt("get", "vm", "nope", "web", "--no-headers")
    assert outcome.code == 4
    assert outcome.rows()[0][0] == "web"
    assert outcome.err == "error: VirtualMachine default/nope is not on node node-a\n"


def test_the_node_itself_is_listed_and_described(node: LiveNode) -> None:
    heading, row = node.xvirt("get", "hosts").rows()
    assert (heading[0], row[0]) == ("NAME", "node-a")
    assert "acceleratorReason: test" in node.xvirt("describe", "host").out
    assert node.xvirt("get", "host", "node-b").code == 4
    assert "capabilities: apply" in node.xvirt("node", "info").out


def test_a_node_that_cannot_be_reached_is_told_with_its_address() -> None:
    outcome = run_here(["--node", "unix:///nowhere/node.sock", "get", "vm"])
    assert outcome.code == 8
    assert "/nowhere/node.sock" in outcome.err


# describe, events, logs


def test_a_machine_is_described_with_spec_status_conditions_xml_operations_and_events(node: LiveNode) -> None:
    node.declare(MACHINE)
    node.xvirt("stop", "web")
    outcome = node.xvirt("describe", "vm", "web")
    assert outcome.code == 0
    titles = [line for line in outcome.out.splitlines() if line and not line.startswith(" ")]
    assert [title.split(":")[0] for title in titles] == [
        *("Name", "Kind", "Namespace", "UID", "Generation", "Labels", "Spec", "Status", "Conditions"),
        *("Addresses", "Agent", "Statistics", "Domain XML", "Operations", "Events"),
    ]
    assert "Labels:       app=web" in outcome.out
    assert "  stop   Succeeded" in outcome.out
    assert "<name>default_web</name>" in outcome.out


def test_row_60_an_act_is_told_with_its_times_its_id_and_libvirts_code(node: LiveNode) -> None:
    node.declare(MACHINE.replace("spec:", "spec:\n  runStrategy: Manual"))
    error = Refused("start: libvirt says: no more memory", reason="LibvirtRefused", libvirt_code=38)
    node.faults.fail_next("start_domain", error)
    failed = node.xvirt("start", "web", "--operation-id", "ticket-7")
    assert failed.code == 7
    assert "no more memory" in failed.err
    rows = [line.split() for line in node.xvirt("describe", "vm", "web").out.split("Operations:")[1].splitlines()[1:3]]
    assert rows[0][:7] == ["VERB", "STATE", "STARTED", "FINISHED", "ID", "REASON", "CODE"]
    assert rows[1][:2] == ["start", "Failed"]
    assert all(stamp.endswith("Z") for stamp in rows[1][2:4])
    assert rows[1][4:7] == ["ticket-7", "LibvirtRefused", "38"]
    again = node.xvirt("start", "web", "--operation-id", "ticket-7")
    assert (again.code, again.err) == (failed.code, failed.err)
    assert node.xvirt("stop", "web", "db", "--operation-id", "x").code == 2


def test_a_kind_alone_describes_all_of_its_objects(node: LiveNode) -> None:
    node.declare(MACHINE, OTHER)
    assert node.xvirt("describe", "vm").out.count("\nKind:         VirtualMachine") == 2
    assert "Name:         db" not in node.xvirt("describe", "vm", "-l", "app=web").out
    assert node.xvirt("describe", "vm", "nope", "web").code == 4


def test_events_are_told_of_a_namespace_of_an_object_or_of_all(node: LiveNode) -> None:
    node.declare(MACHINE, OTHER)
    assert {row[4] for row in node.xvirt("events", "vm", "web").rows()[1:]} == {"virtualmachine/web"}
    assert node.xvirt("events", "--for", "vm/web").out == node.xvirt("events", "vm", "web").out
    assert {row[4] for row in node.xvirt("events").rows()[1:]} == {"virtualmachine/web", "virtualmachine/db"}
    outcome = node.xvirt("events", "-n", "elsewhere")
    assert (outcome.out, outcome.err) == ("", "No events yet.\n")
    assert node.xvirt("events", "-A", "-n", "elsewhere").rows()[1][0] == "default"
    assert node.xvirt("events", "vm", "nope").code == 4


def test_the_boot_log_is_printed_whole_or_its_last_lines(node: LiveNode) -> None:
    node.declare(MACHINE)
    assert "has printed nothing yet" in node.xvirt("logs", "web").err
    node.log(b"first\r\nsecond\r\nthird \xff\r\n")
    with node.process("logs", "vm/web", "--tail", "2") as running:
        assert running.communicate()[0] == b"second\r\nthird \xff\r\n"
    node.log(b"fourth\n")
    with node.process("logs", "web") as running:
        assert running.communicate()[0].startswith(b"first\r\n")
    assert node.xvirt("logs", "web", "--tail", "0").out == ""
    assert node.xvirt("logs", "nope").code == 4


# wait, explain, version


def test_wait_ends_when_the_condition_stands(node: LiveNode) -> None:
    node.declare(MACHINE, OTHER)
    met = f"{VM}/web condition met\n"
    for wanted in ("condition=Ready", "condition=ready=true", "jsonpath={.status.powerState}=Running", "create"):
        assert node.xvirt("wait", "vm", "web", f"--for={wanted}").out == met
    assert len(node.xvirt("wait", "vm", "--all", "--for=condition=Ready").rows()) == 2
    assert node.xvirt("wait", "vm", "-l", "app=web", "--for=condition=Ready").out == met


def test_wait_that_runs_out_of_time_says_what_the_object_says(node: LiveNode) -> None:
    node.declare(MACHINE)
    outcome = node.xvirt("wait", "vm", "web", "--for=condition=AgentConnected", "--timeout=0")
    assert outcome.code == 8
    assert "AgentConnected is False (NotConnected)" in outcome.err


def test_wait_for_what_is_not_there_fails_at_once_but_for_its_deletion_and_creation(node: LiveNode) -> None:
    assert node.xvirt("wait", "vm", "web", "--for=condition=Ready").code == 4
    assert node.xvirt("wait", "vm", "--all", "--for=condition=Ready").code == 4
    assert node.xvirt("wait", "vm", "web", "--for=delete").out == f"{VM}/web deleted\n"
    late = node.xvirt("wait", "vm", "web", "--for=create", "--timeout=0")
    assert (late.code, "it is not there" in late.err) == (8, True)


def test_explain_needs_no_node_and_no_valid_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XVIRT_NODE", "nonsense")
    outcome = run_here(["explain", "virtualmachine.spec.disks"])
    assert outcome.code == 0
    assert "FIELDS:" in outcome.out
    assert "secureBoot" in run_here(["explain", "vm.spec", "--recursive"]).out
    assert "secureBoot" not in run_here(["explain", "vm.spec"]).out


def test_version_tells_both_sides_and_the_client_alone_where_there_is_no_node(node: LiveNode) -> None:
    assert [row[0] for row in node.xvirt("version").rows()] == ["client:", "node"]
    assert set(json.loads(node.xvirt("version", "-o", "json").out)) == {"client", "node"}
    alone = run_here(["--node", "unix:///nowhere/node.sock", "version"])
    assert (alone.code, len(alone.rows())) == (8, 1)
    assert run_here(["--node", "unix:///nowhere/node.sock", "version", "--client"]).code == 0
    assert run_here(["--node", "unix:///nowhere/node.sock", "version", "-o", "yaml"]).out.startswith("client:")
