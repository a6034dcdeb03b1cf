"""Volumes of machines and VirtualDisks: allocated as declared, grown wherever they are, deleted once nobody needs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodeplugin.hypervisor.port import VolumeRequest
from tests.unit.nodeplugin.world import World
from xvirt.model.exchange import ObjectRef, Verb

API = "xvirt.io/v1alpha1"
MIB = 1 << 20
WEB = ObjectRef(kind="VirtualMachine", namespace="default", name="web")
DATA = ObjectRef(kind="VirtualDisk", namespace="default", name="data")


def _document(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _machine(*disks: dict[str, Any]) -> dict[str, Any]:
    return _document("VirtualMachine", "web", memory={"size": "64Mi"}, disks=list(disks))


def _inline(size: str, volume_format: str, **source: Any) -> dict[str, Any]:
    return {"name": "root", "format": volume_format, "source": {"size": size, **source}}


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.apply(_document("VirtualImage", "debian", source={"path": "/images/guest.qcow2"}))
    made.settle()
    return made


def _requests(world: World) -> list[VolumeRequest]:
    calls = [arguments[0] for name, arguments in world.faults.mutations if name == "create_volume"]
    return [request for request in calls if isinstance(request, VolumeRequest)]


def _capacity(world: World, name: str) -> int:
    return world.volumes.files[f"{world.directory}/pool/{name}"].capacity_bytes


@pytest.mark.parametrize(
    ("volume_format", "declared", "asked"),
    [
        ("qcow2", "None", "off"),
        ("qcow2", "Metadata", "metadata"),
        ("qcow2", "Full", "full"),
        ("raw", "None", "off"),
        ("raw", "Full", "full"),
    ],
)
def test_row_48_a_new_volume_is_allocated_as_declared_inline_and_as_an_object(
    world: World, volume_format: str, declared: str, asked: str
) -> None:
    world.apply(_document("VirtualDisk", "data", size="8Mi", format=volume_format, preallocation=declared))
    world.apply(_machine({**_inline("8Mi", volume_format), "preallocation": declared}))
    world.apply(
        _document(
            "VirtualDisk",
            "copy",
            format=volume_format,
            preallocation=declared,
            source={"image": "debian", "copy": "Full"},
        )
    )
    world.settle()
    assert [request.preallocation for request in _requests(world)] == [asked] * 3


SOURCES: dict[str, dict[str, Any]] = {
    "blank": {},
    "linked": {"image": "debian"},
    "full": {"image": "debian", "copy": "Full"},
}


@pytest.mark.parametrize("power", ["running", "off"])
@pytest.mark.parametrize("volume_format", ["qcow2", "raw"])
@pytest.mark.parametrize("source", SOURCES)
def test_row_42_every_volume_grows_on_and_offline_and_what_it_is_based_on_stays(
    world: World, source: str, volume_format: str, power: str
) -> None:
    made = {"source": SOURCES[source]} if SOURCES[source] else {}
    attached = {"name": "data", "source": {"disk": "data"}}
    world.apply(_document("VirtualDisk", "data", size="80Mi", format=volume_format, **made))
    world.apply(_machine(_inline("80Mi", volume_format, **SOURCES[source]), attached))
    world.settle()
    if power == "off":
        world.operate(WEB, Verb.STOP)
        world.settle()
    world.apply(_document("VirtualDisk", "data", size="96Mi", format=volume_format, **made))
    world.apply(_machine(_inline("112Mi", volume_format, **SOURCES[source]), attached))
    world.settle()
    assert _capacity(world, f"default_data.{volume_format}") == 96 * MIB
    assert _capacity(world, f"default_web_root.{volume_format}") == 112 * MIB
    assert _capacity(world, "default_debian.image.qcow2") == 64 * MIB
    grown = [name for name in world.faults.names() if name in ("grow_volume", "resize_block")]
    assert grown == ["resize_block" if power == "running" else "grow_volume"] * 2
    assert world.end_state()["domains"]["default_web"] == ("running" if power == "running" else "shutoff")


def test_row_48_deletion_of_an_attached_disk_waits_says_for_whom_and_ends_with_its_machine(world: World) -> None:
    world.apply(_document("VirtualDisk", "data", size="8Mi", deletionPolicy="Delete"))
    world.apply(_machine({"name": "data", "source": {"disk": "data"}}))
    world.settle()
    world.delete(DATA)
    world.settle()
    stored = world.store.find_named("VirtualDisk", "default", "data")
    assert stored is not None
    ready = next(item for item in stored.status["conditions"] if item["type"] == "Ready")
    assert ready["reason"] == "Terminating"
    assert "default_web" in ready["message"]
    assert "default_data.qcow2" in str(list(world.volumes.files))
    world.delete(WEB)
    world.settle()
    assert "default_data.qcow2" not in str(list(world.volumes.files))
