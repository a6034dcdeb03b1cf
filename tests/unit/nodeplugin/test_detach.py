"""A guest that keeps a device: asked again at intervals, said to hold it in the end, and never taken for one that let go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodeplugin.hypervisor.port import XmlView
from nodeplugin.plan.devices import DETACH_ATTEMPTS, DETACH_REPEAT_S
from tests.fakes.domain import FakeDomain
from tests.unit.nodeplugin.world import World

ROOT = {"name": "root", "source": {"size": "8Mi"}}
DATA = {"name": "data", "source": {"size": "8Mi"}, "deletionPolicy": "Delete"}


def _machine(*disks: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "xvirt.io/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": "web"},
        "spec": {"memory": {"size": "64Mi"}, "disks": list(disks)},
    }


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.apply(_machine(ROOT, DATA))
    world.settle()
    return world


def _domain(world: World) -> FakeDomain:
    return world.hypervisor.domain(world.hypervisor.list_domains()[0].uuid)


def _ready(world: World) -> dict[str, Any]:
    stored = world.store.find_named("VirtualMachine", "default", "web")
    assert stored is not None
    return next(dict(item) for item in stored.status["conditions"] if item["type"] == "Ready")


def _asks(world: World) -> int:
    return world.faults.names().count("detach_device")


def _has_data(world: World) -> bool:
    return "ua-disk-data" in world.hypervisor.domain_xml(_domain(world).uuid, XmlView.CURRENT)


def test_row_35_a_guest_that_keeps_a_disk_is_asked_again_and_then_named(world: World) -> None:
    _domain(world).ignores_unplug = True
    world.apply(_machine(ROOT))
    reasons = []
    for asked in range(1, DETACH_ATTEMPTS + 1):
        world.settle()
        assert _asks(world) == asked
        reasons.append(_ready(world)["reason"])
        world.clock.now += DETACH_REPEAT_S
    assert reasons == ["Detaching"] * (DETACH_ATTEMPTS - 1) + ["GuestHoldsDevice"]
    assert f"it was asked {DETACH_ATTEMPTS} times" in _ready(world)["message"]
    assert _has_data(world)
    assert any("web_data" in path for path in world.volumes.files), "what the guest holds is not deleted"
    _domain(world).ignores_unplug = False
    world.settle()
    assert _ready(world)["status"] == "True"
    assert not _has_data(world)
    assert not any("web_data" in path for path in world.volumes.files)


def test_row_35_75_a_plugin_that_was_restarted_asks_the_guest_anew(world: World) -> None:
    _domain(world).ignores_unplug = True
    world.apply(_machine(ROOT))
    world.settle()
    world.boot()
    world.settle()
    assert _ready(world)["reason"] == "Detaching"
    assert _asks(world) == 2
    _domain(world).stop("shutdown")  # and with QEMU the disk
    world.settle()
    assert _ready(world)["status"] == "True"
    assert not _has_data(world)


def test_row_35_75_a_qemu_that_hangs_when_it_is_asked_is_asked_again_when_it_goes_on(world: World) -> None:
    _domain(world).is_hung = True
    world.apply(_machine(ROOT))
    world.settle()
    assert _ready(world)["status"] != "True"
    assert _has_data(world)
    _domain(world).is_hung = _domain(world).has_missed_deadline = False
    world.clock.now += DETACH_REPEAT_S
    world.settle()
    assert _ready(world)["status"] == "True"
    assert not _has_data(world)
