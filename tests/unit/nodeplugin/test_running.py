"""What a running domain was made from is known, field by field, also of devices that came later, and also when a mark is broken."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from nodeplugin.hypervisor.port import Persistence, Scope, XmlView
from tests.fakes.faults import Moment
from tests.unit.nodeplugin.world import World
from xvirt.domainxml.compare import lost
from xvirt.domainxml.mark import mark_element, read_mark
from xvirt.domainxml.tree import parse_xml, to_text

MACHINE: dict[str, Any] = {
    "apiVersion": "xvirt.io/v1alpha1",
    "kind": "VirtualMachine",
    "metadata": {"name": "web"},
    "spec": {
        "memory": {"size": "64Mi"},
        "disks": [{"name": "root", "source": {"size": "8Mi"}}],
    },
}
LATER = {"name": "later", "source": {"size": "8Mi"}, "cache": "none"}


def _machine(*disks: dict[str, Any], **spec: Any) -> dict[str, Any]:
    document = copy.deepcopy(MACHINE)
    document["spec"]["disks"] += copy.deepcopy(disks)
    document["spec"].update(spec)
    return document


def _conditions(world: World) -> dict[str, dict[str, Any]]:
    stored = world.store.find_named("VirtualMachine", "default", "web")
    assert stored is not None
    return {item["type"]: item for item in stored.status["conditions"]}


def _uuid(world: World) -> str:
    return world.hypervisor.list_domains()[0].uuid


def _applied(world: World, document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    world.apply(document)
    world.settle()
    return _conditions(world)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    _applied(world, _machine())
    return world


def test_a_restart_field_of_a_disk_that_was_plugged_in_later_waits_for_a_restart(world: World) -> None:
    assert _applied(world, _machine(LATER))["RestartRequired"]["status"] == "False"
    condition = _applied(world, _machine({**LATER, "cache": "writeback"}))["RestartRequired"]
    assert condition["status"] == "True"
    assert "spec.disks[later].cache" in condition["message"]
    assert _applied(world, _machine(LATER))["RestartRequired"]["status"] == "False"


def test_a_disk_that_is_plugged_in_again_is_known_as_it_is_now(world: World) -> None:
    _applied(world, _machine(LATER))
    _applied(world, _machine())
    assert _applied(world, _machine({**LATER, "cache": "writeback"}))["RestartRequired"]["status"] == "False"
    assert _applied(world, _machine(LATER))["RestartRequired"]["status"] == "True"


def test_a_field_of_the_start_still_waits_after_a_device_was_plugged_in(world: World) -> None:
    condition = _applied(world, _machine(LATER, devices={"tpm": True}))["RestartRequired"]
    assert "spec.devices.tpm" in condition["message"]
    condition = _applied(world, _machine(LATER, {"name": "last", "source": {"size": "8Mi"}}, devices={"tpm": True}))
    assert "spec.devices.tpm" in condition["RestartRequired"]["message"]


@pytest.mark.parametrize("moment", list(Moment))
def test_a_death_around_the_attach_forgets_nothing(tmp_path: Path, moment: Moment) -> None:
    for deadly in range(1, 5):
        (tmp_path / str(deadly)).mkdir()
        world = World(tmp_path / str(deadly))
        _applied(world, _machine())
        world.faults.crash_after(deadly, moment)
        _applied(world, _machine(LATER))
        assert world.deaths == 1, deadly
        condition = _applied(world, _machine({**LATER, "cache": "writeback"}))["RestartRequired"]
        assert condition["status"] == "True", deadly


@pytest.mark.parametrize(
    "spec",
    [{"disks": [{}]}, {"disks": "x"}, {"memory": 7}, {"nonsense": {}}, [], None],
    ids=lambda spec: json.dumps(spec),
)
def test_a_mark_that_was_edited_by_hand_stops_nothing(world: World, spec: Any) -> None:
    uuid = _uuid(world)
    mark = read_mark(parse_xml(world.hypervisor.domain_xml(uuid, XmlView.CURRENT)))
    assert mark is not None
    assert mark.document is not None
    element = mark_element(mark)
    element.text = json.dumps({**mark.document, "spec": spec})
    world.hypervisor.set_metadata(uuid, to_text(element), Scope.LIVE)
    conditions = _applied(world, _machine(LATER))
    assert conditions["Ready"]["status"] == "True"
    assert "ua-disk-later" in world.hypervisor.domain_xml(uuid, XmlView.CURRENT)


def test_a_machine_that_was_undefined_while_it_runs_is_defined_again_as_it_runs(world: World) -> None:
    uuid = _uuid(world)
    before = parse_xml(world.hypervisor.domain_xml(uuid, XmlView.INACTIVE))
    world.hypervisor.undefine_domain(uuid)
    assert world.hypervisor.list_domains()[0].persistence is Persistence.TRANSIENT
    world.settle()
    record = world.hypervisor.list_domains()[0]
    assert (record.persistence, record.is_active) == (Persistence.PERSISTENT, True)
    assert not lost(before, parse_xml(world.hypervisor.domain_xml(uuid, XmlView.INACTIVE)))
    assert _conditions(world)["Ready"]["status"] == "True"
