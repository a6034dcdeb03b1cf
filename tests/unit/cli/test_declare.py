"""`apply`, `diff`, `delete` and the verbs against a node that serves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.live_node import MACHINE, NETWORK, OTHER, VM, LiveNode, eventually, run_here
from xvirt.model.errors import Busy

NET = "virtualnetwork.xvirt.io"
REFUSED = MACHINE.replace("name: web", "name: bad") + "  domain: {devices: {emulator: /bin/false}}\n"
"""Valid as a document, and denied by the node's policy."""


def test_row_102_documents_are_created_in_dependency_order_and_then_unchanged_or_configured(node: LiveNode) -> None:
    text = MACHINE + "---" + NETWORK
    assert node.xvirt("apply", "-f", "-", text=text).out == f"{NET}/lan created\n{VM}/web created\n"
    assert node.xvirt("apply", "-f", "-", text=text).out == f"{NET}/lan unchanged\n{VM}/web unchanged\n"
    more = text.replace("cores: 1", "cores: 2")
    assert node.xvirt("apply", "-f", "-", text=more).out == f"{NET}/lan unchanged\n{VM}/web configured\n"


def test_a_folder_is_read_flat_unless_it_is_to_be_walked(node: LiveNode, tmp_path: Path) -> None:
    below = tmp_path / "manifests" / "below"
    below.mkdir(parents=True)
    (below / "b.json").write_text(
        '{"apiVersion":"xvirt.io/v1alpha1","kind":"VirtualNetwork","metadata":{"name":"lan"},"spec":{"mode":"Isolated"}}'
    )
    (below.parent / "a.yml").write_text(MACHINE)
    (below.parent / "README").write_text("{")
    folder = str(below.parent)
    assert node.xvirt("apply", "-f", folder).out == f"{VM}/web created\n"
    assert node.xvirt("apply", "-R", "-f", folder).out == f"{NET}/lan created\n{VM}/web unchanged\n"


def test_apply_with_wait_ends_when_all_is_ready(node: LiveNode) -> None:
    outcome = node.xvirt("apply", "--wait", "-f", "-", text=MACHINE + "---" + NETWORK)
    assert outcome.rows()[2:] == [[f"{NET}/lan", "ready"], [f"{VM}/web", "ready"]]
    missing = MACHINE.replace("web", "lost") + "  nics: [{name: lan, network: nowhere}]\n"
    late = node.xvirt("apply", "--wait", "--timeout=0", "-f", "-", text=missing)
    assert late.code == 8
    assert "VirtualMachine default/lost: not in time; " in late.err


def test_a_dry_run_stores_nothing(node: LiveNode) -> None:
    for words in (("--dry-run",), ("--dry-run=client",)):
        assert node.xvirt("apply", *words, "-f", "-", text=MACHINE).out == f"{VM}/web is valid (dry run)\n"
    outcome = node.xvirt("apply", "--dry-run=server", "-f", "-", text=MACHINE)
    assert outcome.out.startswith(f"{VM}/web created (server dry run)\n  + define domain default_web")
    assert node.xvirt("get", "vm", "-o", "name").out == ""


def test_a_mistake_in_any_document_changes_nothing_and_names_its_place_and_remedy(node: LiveNode) -> None:
    outcome = node.xvirt("apply", "-f", "-", text=NETWORK + "---" + MACHINE.replace("cores", "coers"))
    assert outcome.code == 3
    assert "stdin:7: spec.cpu.coers: is not a known field (did you mean cores?); remove it" in outcome.err
    assert node.xvirt("get", "all", "-o", "name").out == ""


def test_what_the_node_refuses_keeps_nothing_else_from_being_applied(node: LiveNode) -> None:
    outcome = node.xvirt("apply", "--profile=restricted", "-f", "-", text=REFUSED + "---" + MACHINE)
    assert outcome.code == 6
    assert outcome.out == f"{VM}/web created\n"
    assert outcome.err.startswith("error: ")
    assert "emulator" in outcome.err


def test_nothing_is_tried_twice_where_the_node_cannot_be_reached() -> None:
    outcome = run_here(["--node", "unix:///nowhere/node.sock", "apply", "-f", "-"], MACHINE + "---" + NETWORK)
    assert (outcome.code, outcome.out, len(outcome.err.splitlines())) == (8, "", 1)


def test_a_secret_goes_with_the_machine_that_names_it_and_never_alone(node: LiveNode) -> None:
    secret = 'apiVersion: v1\nkind: Secret\nmetadata: {name: init}\nstringData: {userData: "#cloud-config"}\n'
    machine = MACHINE + "  cloudInit: {userData: {secret: init}}\n"
    assert node.xvirt("apply", "-f", "-", text=secret + "---" + machine).out == f"{VM}/web created\n"
    assert "#cloud-config" not in node.xvirt("get", "vm", "web", "-o", "yaml").out
    assert node.xvirt("diff", "-f", "-", text=secret + "---" + machine).code in (0, 1)
    alone = node.xvirt("apply", "-f", "-", text=secret)
    assert alone.code == 3
    assert "Secret default/init is named by no document beside it" in alone.err


# diff


def test_diff_ends_with_0_where_nothing_differs_and_with_1_where_something_does(node: LiveNode) -> None:
    new = node.xvirt("diff", "-f", "-", text=MACHINE)
    assert (new.code, new.rows()[0]) == (1, [f"{VM}/web", "is", "new"])
    node.declare(MACHINE)
    same = node.xvirt("diff", "-f", "-", text=MACHINE)
    assert (same.code, same.out) == (0, "")
    other = node.xvirt("diff", "-f", "-", text=MACHINE.replace("cores: 1", "cores: 2"))
    assert other.code == 1
    assert other.out.splitlines()[:2] == [f"{VM}/web differs", "  ~ spec.cpu.cores: 1 -> 2   [live]"]
    assert "  + set 2 vCPUs live   [live]" in other.out


def test_a_changed_label_is_a_difference(node: LiveNode) -> None:
    node.declare(MACHINE)
    assert node.xvirt("diff", "-f", "-", text=MACHINE.replace("app: web", "app: new")).code == 1


def test_what_the_node_has_yet_to_do_is_shown_and_is_a_difference_only_where_that_is_asked_for(node: LiveNode) -> None:
    node.declare(MACHINE)
    node.faults.fail_next("start_domain", Busy("no memory is left"), times=1000)
    node.hypervisor.crash(node.uid())
    plain = eventually(lambda: (found := node.xvirt("diff", "-f", "-", text=MACHINE)).out and found)
    assert plain.code == 0
    assert plain.out.startswith(f"{VM}/web is declared so; the node has yet to\n  + start domain")
    assert node.xvirt("diff", "--exit-on=steps", "-f", "-", text=MACHINE).code == 1


def test_a_failure_of_diff_never_looks_like_a_difference(node: LiveNode) -> None:
    assert node.xvirt("diff", "-f", "-", text="{").code == 3
    assert node.xvirt("diff", "-f", "-", text=MACHINE.replace("web", "Web")).code == 3
    assert run_here(["--node", "unix:///nowhere/node.sock", "diff", "-f", "-"], MACHINE).code == 8
    assert node.xvirt("diff").code == 2


# delete


def test_deleted_objects_are_gone_when_the_command_ends(node: LiveNode) -> None:
    node.declare(MACHINE, OTHER, NETWORK)
    assert node.xvirt("delete", "vm", "web").out == f"{VM}/web deleted\n"
    assert node.xvirt("get", "vm", "web").code == 4
    outcome = node.xvirt("delete", "-f", "-", text=NETWORK + "---" + OTHER)
    assert outcome.out == f"{VM}/db deleted\n{NET}/lan deleted\n"
    assert node.end_state()["domains"] == {}


def test_what_is_not_there_fails_but_keeps_nothing_else_from_being_deleted(node: LiveNode) -> None:
    node.declare(MACHINE)
    outcome = node.xvirt("delete", "vm", "nope", "web")
    assert (outcome.code, outcome.out) == (4, f"{VM}/web deleted\n")
    assert "VirtualMachine default/nope is not on node node-a" in outcome.err
    ignored = node.xvirt("delete", "vm", "nope", "--ignore-not-found")
    assert (ignored.code, ignored.err) == (0, f"{VM}/nope is not there\n")


def test_objects_are_deleted_by_label_or_all_of_a_kind(node: LiveNode) -> None:
    node.declare(MACHINE, OTHER)
    assert node.xvirt("delete", "vm", "-l", "app=web").out == f"{VM}/web deleted\n"
    assert node.xvirt("delete", "vm", "--all").out == f"{VM}/db deleted\n"
    assert node.xvirt("delete", "vm", "--all").err == "No objects found.\n"
    assert node.xvirt("delete", "vm").code == 2
    assert node.xvirt("delete", "vm", "web", "--all").code == 2
    assert node.xvirt("delete", "vm", "web", "-f", "-", text=MACHINE).code == 2


def test_a_deletion_that_takes_too_long_says_what_the_object_says(node: LiveNode) -> None:
    node.declare(MACHINE)
    node.hypervisor.domain(node.uid()).ignores_shutdown = True
    assert node.xvirt("delete", "vm", "web", "--no-wait").out == f"{VM}/web is being deleted\n"
    late = node.xvirt("delete", "vm", "web", "--timeout=0")
    assert (late.code, late.out) == (8, "")
    assert "VirtualMachine default/web: not in time" in late.err
    assert node.xvirt("delete", "vm", "web", "--force").out == f"{VM}/web deleted\n"


# verbs


def test_row_102_each_verb_does_what_it_says(node: LiveNode) -> None:
    node.declare(MACHINE)
    done = {
        "stop": ("stopped", "Stopped"),
        "start": ("started", "Running"),
        "restart": ("restarted", "Running"),
        "reset": ("reset", "Running"),
        "pause": ("paused", "Paused"),
        "resume": ("resumed", "Running"),
        "save": ("saved", "Saved"),
        "restore": ("restored", "Running"),
    }
    for verb, (word, status) in done.items():
        assert node.xvirt(verb, "web").out == f"{VM}/web {word}\n"
        waited = node.xvirt("wait", "vm/web", f"--for=jsonpath={{.status.printableStatus}}={status}", "--timeout=20s")
        assert waited.code == 0, (verb, waited.err)


def test_verbs_take_several_machines_labels_and_all(node: LiveNode) -> None:
    node.declare(MACHINE, OTHER)
    assert node.xvirt("stop", "web", "db").out == f"{VM}/web stopped\n{VM}/db stopped\n"
    assert node.xvirt("start", "-l", "app=db").out == f"{VM}/db started\n"
    assert node.xvirt("start", "--all").out.count("started") == 2
    partly = node.xvirt("stop", "nope", "web")
    assert (partly.code, partly.out) == (4, f"{VM}/web stopped\n")


def test_a_verb_that_does_not_fit_the_machines_state_is_refused_with_a_reason(node: LiveNode) -> None:
    node.declare(MACHINE)
    node.xvirt("stop", "web")
    refused = node.xvirt("pause", "web")
    assert refused.code == 7
    assert "VirtualMachine default/web" in refused.err
    node.xvirt("start", "web")
    assert node.xvirt("stop", "vnet/lan").code == 2
    assert node.xvirt("stop", "web", "--no-wait").out == f"{VM}/web stop was asked for\n"


def test_an_operation_that_does_not_end_in_time_goes_on(node: LiveNode) -> None:
    node.declare(MACHINE)
    node.hypervisor.domain(node.uid()).ignores_shutdown = True
    late = node.xvirt("stop", "web", "--timeout=0")
    assert late.code == 8
    assert "stop has not ended within 0 s; it goes on" in late.err
    assert node.xvirt("stop", "web", "--force").code == 0


@pytest.mark.parametrize("option", ["--force", "--grace-period=3"])
def test_options_of_stopping_are_offered_where_they_mean_something(option: str) -> None:
    assert run_here(["pause", "web", option]).code == 2
