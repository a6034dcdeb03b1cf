"""What a machine says of its confinement, as libvirt's live XML has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeplugin.plan.confinement import confinement
from tests.unit.nodeplugin.world import CALLER, World
from xvirt.domainxml.facts import read_domain
from xvirt.domainxml.tree import parse_xml
from xvirt.model.exchange import EventType, ObjectRef
from xvirt.model.meta import Condition, ConditionStatus

DAC = "<seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+64055</label></seclabel>"
APPARMOR = "<seclabel type='dynamic' model='apparmor' relabel='yes'><label>libvirt-6ba7</label></seclabel>"
SELINUX = "<seclabel type='dynamic' model='selinux'><label>system_u:system_r:svirt_t:s0:c1,c2</label></seclabel>"
NONE = "<seclabel type='none' model='apparmor'/><seclabel type='none'/>"
CGROUP = "<resource><partition>/machine</partition></resource>"


def told(text: str) -> Condition:
    return confinement(read_domain(parse_xml(f"<domain>{text}</domain>")), 7)


@pytest.mark.parametrize(
    ("labels", "reason", "label"),
    [(APPARMOR + DAC, "AppArmor", "libvirt-6ba7"), (DAC + SELINUX, "SELinux", "svirt_t:s0:c1,c2")],
)
def test_row_83_a_label_is_reported_with_user_and_control_group(labels: str, reason: str, label: str) -> None:
    found = told(labels + CGROUP)
    assert (found.status, found.reason) == (ConditionStatus.TRUE, reason)
    for part in (label, "user and group +64055:+64055", "control group /machine"):
        assert part in found.message


@pytest.mark.parametrize("labels", [DAC, NONE + DAC, NONE, ""])
def test_row_83_a_host_without_security_driver_says_so_with_a_remedy(labels: str) -> None:
    found = told(labels)
    assert (found.status, found.reason) == (ConditionStatus.FALSE, "NoSecurityDriver")
    assert "set up AppArmor or SELinux" in found.message
    assert ("+64055:+64055" in found.message) == (DAC in labels)
    assert "no control group" in found.message


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.store.close()


def test_row_83_it_is_told_once_and_alarms_nobody(world: World) -> None:
    metadata = {"name": "web", "namespace": "default"}
    spec = {"memory": {"size": "64Mi"}, "runStrategy": "Always"}
    world.apply({"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualMachine", "metadata": metadata, "spec": spec})
    world.settle()
    view = world.service.get(CALLER, ObjectRef(kind="VirtualMachine", namespace="default", name="web"))
    conditions = {item["type"]: item["status"] for item in view.document["status"]["conditions"]}
    assert (conditions["Confined"], conditions["Ready"]) == ("False", "True")
    events = world.service.list_events(CALLER, None)
    assert not [event for event in events if event.type is EventType.WARNING or "security driver" in event.message]
