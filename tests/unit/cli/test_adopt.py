"""`adopt`, `release`, `get foreign` against a node that serves."""

from __future__ import annotations

from pathlib import Path

import yaml

from nodeplugin.hypervisor.port import XmlView
from tests.unit.cli.live_node import VM, LiveNode, eventually
from xvirt.domainxml.mark import read_mark
from xvirt.domainxml.tree import parse_xml

XML = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>
<memory unit='KiB'>65536</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><serial type='pty'><target port='0'/></serial></devices></domain>"""
FIRST, SECOND = "11111111-2222-4333-8444-555555555555", "22222222-2222-4333-8444-555555555555"
LXC = "33333333-2222-4333-8444-555555555555"


def define(node: LiveNode, name: str, uuid: str, *, runs: bool = True) -> None:
    """Somebody else's domain."""
    node.hypervisor.define_domain(XML.format(name=name, uuid=uuid))
    if runs:
        node.hypervisor.start_domain(uuid)


def is_marked(node: LiveNode, uuid: str) -> bool:
    """Whether a domain is ours."""
    return read_mark(parse_xml(node.hypervisor.domain_xml(uuid, XmlView.INACTIVE))) is not None


def test_row_10_foreign_domains_are_listed(node: LiveNode) -> None:
    assert "No foreign domains found." in node.xvirt("get", "foreign").err
    define(node, "web one", FIRST)
    assert node.xvirt("get", "foreign").out.splitlines() == [
        "DOMAIN    STATE     UUID                                   AS",
        f"web one   running   {FIRST}   web-one",
    ]
    listed = yaml.safe_load(node.xvirt("get", "foreign", "-o", "yaml").out)
    assert listed["items"][0]["objectName"] == "web-one"
    assert node.xvirt("get", "foreign", "-o", "name").out == "web one\n"
    assert node.xvirt("get", "foreign", "x").code == 2


def test_row_10_a_dry_run_prints_the_manifest_by_which_it_can_be_taken_over(node: LiveNode, tmp_path: Path) -> None:
    define(node, "web one", FIRST)
    outcome = node.xvirt("adopt", "web one", "--dry-run")
    assert outcome.code == 0, outcome
    assert "stays as it is: write xVirt's mark onto domain web one" in outcome.err
    assert not is_marked(node, FIRST)
    document = yaml.safe_load(outcome.out)
    assert document["metadata"] == {"name": "web-one"}
    (tmp_path / "vm.yaml").write_text(outcome.out)
    assert (
        node.xvirt("adopt", FIRST, "-f", str(tmp_path / "vm.yaml")).out == f"{VM}/web-one adopted from domain web one\n"
    )
    eventually(lambda: is_marked(node, FIRST))
    assert (
        node.xvirt("apply", "--wait", "-f", str(tmp_path / "vm.yaml")).out
        == f"{VM}/web-one unchanged\n{VM}/web-one ready\n"
    )


def test_row_10_all_are_adopted_and_one_that_cannot_be_stops_no_other(node: LiveNode) -> None:
    define(node, "web-1", FIRST)
    define(node, "db-1", SECOND, runs=False)
    node.hypervisor.define_domain(XML.format(name="web-odd", uuid=LXC).replace("65536", "8"))
    outcome = node.xvirt("adopt", "--all", "--filter", "web-*")
    assert outcome.code == 3
    assert outcome.out == f"{VM}/web-1 adopted from domain web-1\n"
    assert "domain web-odd" in outcome.err
    assert node.xvirt("get", "foreign", "-o", "name").out == "db-1\nweb-odd\n"


def test_row_10_a_released_machine_is_foreign_again_and_runs_on(node: LiveNode) -> None:
    define(node, "web-1", FIRST)
    record = node.hypervisor.find_domain(FIRST)
    assert node.xvirt("adopt", "web-1", "--as", "shop").code == 0
    eventually(lambda: is_marked(node, FIRST))
    assert node.xvirt("release", "shop").out == f"{VM}/shop released; domain web-1 stays as it is\n"
    assert not is_marked(node, FIRST)
    assert node.hypervisor.find_domain(FIRST) == record
    assert node.xvirt("get", "vm", "shop").code == 4


def test_a_machine_with_secrets_is_released_by_its_declaration_only(node: LiveNode, tmp_path: Path) -> None:
    define(node, "web-1", FIRST)
    assert node.xvirt("adopt", "web-1").code == 0
    eventually(lambda: is_marked(node, FIRST))
    view = yaml.safe_load(node.xvirt("get", "vm", "web-1", "-o", "yaml").out)
    spec = {**view["spec"], "deletionPolicy": "Delete", "cloudInit": {"userData": {"secret": "seed"}}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "seed"}, "stringData": {"userData": "#x"}}
    machine = {**view, "metadata": {"name": "web-1"}, "spec": spec}
    machine.pop("status")
    (tmp_path / "vm.yaml").write_text(yaml.safe_dump_all([secret, machine]))
    assert node.xvirt("apply", "-f", str(tmp_path / "vm.yaml")).code == 0
    outcome = node.xvirt("release", "web-1")
    assert outcome.code == 3
    assert "spec.deletionPolicy: must be Detach" in outcome.err
    assert "with Secret seed" in outcome.err
    spec["deletionPolicy"] = "Detach"
    (tmp_path / "vm.yaml").write_text(yaml.safe_dump_all([secret, machine]))
    assert node.xvirt("apply", "-f", str(tmp_path / "vm.yaml")).code == 0
    assert node.xvirt("release", "web-1").code == 0
    assert not is_marked(node, FIRST)


def test_a_machine_is_taken_over_again_with_the_secrets_of_its_file(node: LiveNode, tmp_path: Path) -> None:
    secret = {
        "kind": "Secret",
        "apiVersion": "v1",
        "metadata": {"name": "seed"},
        "stringData": {"userData": "#cloud-config"},
    }
    spec = {"memory": {"size": "64Mi"}, "cloudInit": {"userData": {"secret": "seed"}}, "deletionPolicy": "Detach"}
    machine = {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": "web"},
        "spec": spec,
    }
    whole, alone = tmp_path / "whole.yaml", tmp_path / "alone.yaml"
    whole.write_text(yaml.safe_dump_all([secret, machine]))
    alone.write_text(yaml.safe_dump(machine))
    assert node.xvirt("apply", "--wait", "-f", str(whole)).code == 0
    assert node.xvirt("release", "web").code == 0
    outcome = node.xvirt("adopt", "default_web", "-f", str(alone))
    assert outcome.code == 7
    assert "Secret seed with key userData was not sent along" in outcome.err
    outcome = node.xvirt("adopt", "default_web", "-f", str(whole))
    assert (outcome.code, outcome.out) == (0, f"{VM}/web adopted from domain default_web\n")


def test_what_is_not_there_is_told_by_name(node: LiveNode) -> None:
    define(node, "web-1", FIRST)
    outcome = node.xvirt("adopt", "nobody", "web-1")
    assert outcome.code == 4
    assert "nobody is no domain that could be adopted" in outcome.err
    assert "adopted from domain web-1" in outcome.out
    for words in ([], ["web-1", "--all"], ["a", "b", "--as", "x"], ["web-1", "--filter", "x"]):
        assert node.xvirt("adopt", *words).code == 2
    assert node.xvirt("release").code == 2
    assert node.xvirt("release", "vnet/lan").code == 2
