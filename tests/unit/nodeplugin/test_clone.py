"""A disk is copied when nobody writes to it: a machine that has it may exist, and may not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.nodeplugin.world import World
from xvirt.model.exchange import ObjectRef, Verb

API = "xvirt.io/v1alpha1"


def _disk(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API, "kind": "VirtualDisk", "metadata": {"name": name}, "spec": spec}


def _machine(name: str, disk: str) -> dict[str, Any]:
    spec = {"memory": {"size": "64Mi"}, "disks": [{"name": "data", "source": {"disk": disk}}]}
    return {"apiVersion": API, "kind": "VirtualMachine", "metadata": {"name": name}, "spec": spec}


def _ready(world: World, name: str) -> tuple[str, str]:
    stored = world.store.find_named("VirtualDisk", "default", name)
    assert stored is not None
    return next((item["status"], item["reason"]) for item in stored.status["conditions"] if item["type"] == "Ready")


def test_row_23_a_disk_is_copied_once_the_machine_that_has_it_is_off(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.apply(_disk("records", size="8Mi"))
    world.apply(_machine("database", "records"))
    world.settle()
    world.apply(_disk("copy", source={"clone": "records"}))
    world.settle()
    assert _ready(world, "copy") == ("False", "DiskInUse")
    world.operate(ObjectRef(kind="VirtualMachine", namespace="default", name="database"), Verb.STOP)
    world.settle()
    assert _ready(world, "copy")[0] == "True"
    world.apply(_machine("reports", "copy"))
    world.settle()
    assert world.end_state()["domains"] == {"default_database": "shutoff", "default_reports": "running"}


def test_two_machines_still_may_not_declare_one_writable_disk_although_one_is_off(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.apply(_disk("records", size="8Mi"))
    world.apply(_machine("database", "records"))
    world.settle()
    world.operate(ObjectRef(kind="VirtualMachine", namespace="default", name="database"), Verb.STOP)
    world.settle()
    world.apply(_machine("second", "records"))
    world.settle()
    assert "default_second" not in world.end_state()["domains"]
