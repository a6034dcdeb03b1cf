"""What stands between a volume and its removal at the last moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeplugin.hypervisor.port import VolumeRequest
from nodeplugin.plan.step import CreateVolume, DeleteVolume
from nodeplugin.steps.run import run_step
from tests.unit.nodeplugin.world import World
from xvirt.model.errors import Busy


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    run_step(_create(made, "base.qcow2"), made.host, lambda percent: None)
    return made


def _path(world: World, name: str) -> str:
    return str(world.directory / "pool" / name)


def _create(world: World, name: str, backing: str | None = None) -> CreateVolume:
    below = _path(world, backing) if backing else None
    request = VolumeRequest(path=_path(world, name), format="qcow2", capacity_bytes=1 << 20, backing_path=below)
    return CreateVolume(request=request)


def _delete(world: World) -> None:
    run_step(DeleteVolume(path=_path(world, "base.qcow2"), format="qcow2"), world.host, lambda percent: None)


def test_a_volume_that_something_is_based_on_since_it_was_looked_at_stays(world: World) -> None:
    run_step(_create(world, "top.qcow2", "base.qcow2"), world.host, lambda percent: None)
    Path(_path(world, "top.qcow2")).touch()  # the pool's directory itself is looked through
    with pytest.raises(Busy, match=r"top\.qcow2"):
        _delete(world)
    assert _path(world, "base.qcow2") in world.volumes.files


def test_a_volume_that_is_being_copied_stays_and_goes_afterwards(world: World) -> None:
    with world.host.leases.use(_path(world, "base.qcow2")), pytest.raises(Busy):
        _delete(world)
    assert _path(world, "base.qcow2") in world.volumes.files
    _delete(world)
    assert _path(world, "base.qcow2") not in world.volumes.files


def test_nothing_is_made_of_a_volume_that_is_being_removed(world: World) -> None:
    with world.host.leases.removal(_path(world, "base.qcow2")), pytest.raises(Busy):
        run_step(_create(world, "top.qcow2", "base.qcow2"), world.host, lambda percent: None)
    assert _path(world, "top.qcow2") not in world.volumes.files
