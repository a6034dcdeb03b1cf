"""A host that has forgotten everything is told again what it is to hold, and which volumes were seen there: those are not made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.nodeplugin.world import CALLER, World
from xvirt.model.exchange import ApplyCall, DryRun

API = "xvirt.io/v1alpha1"
WEB = "00000000-0000-4000-8000-00000000000a"
DATA = "00000000-0000-4000-8000-00000000000b"


def _disk() -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "VirtualDisk",
        "metadata": {"name": "data", "uid": DATA},
        "spec": {"size": "8Mi"},
    }


def _machine(*more: dict[str, Any]) -> dict[str, Any]:
    disks = [{"name": "root", "source": {"size": "4Mi"}}, *more]
    metadata = {"name": "web", "uid": WEB}
    spec = {"memory": {"size": "64Mi"}, "disks": disks}
    return {"apiVersion": API, "kind": "VirtualMachine", "metadata": metadata, "spec": spec}


SCRATCH = {"name": "scratch", "source": {"size": "1Mi"}, "deletionPolicy": "Delete"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.apply(_disk())
    made.apply(_machine(SCRATCH))
    made.settle()
    return made


def _seen(world: World, uid: str) -> tuple[str, ...]:
    """As a caller finds them in an object's status."""
    stored = world.store.find(uid)
    assert stored is not None
    paths = [stored.status.get("path"), *(disk["path"] for disk in stored.status.get("disks", ()))]
    return tuple(path for path in paths if path)


def _apply(world: World, document: dict[str, Any], seen: tuple[str, ...], dry_run: DryRun = DryRun.NONE) -> list[str]:
    """What it waits for."""
    call = ApplyCall(document=document, seen_volumes=seen, dry_run=dry_run)
    return list(world.service.apply(CALLER, call).waiting_for)


def _reason(world: World, uid: str) -> str:
    stored = world.store.find(uid)
    assert stored is not None
    return str(next(item["reason"] for item in stored.status["conditions"] if item["type"] == "Ready"))


def _assert_taken_out_and_back(world: World, seen: tuple[str, ...]) -> None:
    """The disk `scratch` is taken out of the declaration, and declared again."""
    for document in (_machine(), _machine(SCRATCH)):
        _apply(world, document, seen)
        world.settle()
        assert _reason(world, WEB) == "Running"


def test_no_blank_volume_takes_the_place_of_one_that_was_seen_and_all_goes_on_when_it_is_back(world: World) -> None:
    before = world.end_state()
    seen = {uid: _seen(world, uid) for uid in (WEB, DATA)}
    assert (len(seen[WEB]), len(seen[DATA])) == (2, 1)
    held = world.forget_everything()
    waits = [*_apply(world, _disk(), seen[DATA]), *_apply(world, _machine(SCRATCH), seen[WEB])]
    assert {text.partition(" was there and is gone")[0] for text in waits} == {f"volume {path}" for path in held}
    world.settle()
    world.boot()
    world.settle()
    assert world.volumes.files == {}
    assert world.hypervisor.list_domains() == []
    assert [_reason(world, uid) for uid in (WEB, DATA)] == ["VolumeLost", "VolumeLost"]
    world.volumes.files.update(held)
    world.settle()
    assert world.end_state() == before


def test_who_saw_none_gets_new_ones(world: World) -> None:
    before = world.end_state()
    world.forget_everything()
    assert _apply(world, _disk(), ()) == []
    assert _apply(world, _machine(SCRATCH), ()) == []
    world.settle()
    assert world.end_state() == before


def test_a_disk_that_is_taken_out_of_the_declaration_is_waited_for_no_longer_and_may_come_again(world: World) -> None:
    seen = _seen(world, WEB)
    root = next(path for path in seen if "root" in path)
    held = world.forget_everything()
    world.volumes.files[root] = held[root]
    _apply(world, _machine(SCRATCH), seen)
    world.settle()
    assert _reason(world, WEB) == "VolumeLost"
    _assert_taken_out_and_back(world, seen)
    assert len(world.volumes.files) == 2


def test_what_a_node_knows_counts_more_than_what_was_seen(world: World) -> None:
    """A caller's view may be an old one: the disk went and came again meanwhile."""
    seen = _seen(world, WEB)
    _apply(world, _machine(), seen)
    world.settle()
    _apply(world, _machine(SCRATCH), seen)
    world.settle()
    assert _reason(world, WEB) == "Running"


def test_a_preview_says_it_too_and_keeps_nothing(world: World) -> None:
    seen = _seen(world, DATA)
    world.forget_everything()
    assert "was there and is gone" in _apply(world, _disk(), seen, DryRun.PLAN)[0]
    assert world.store.find(DATA) is None


def test_who_forgets_twice_is_still_told_by_the_status(world: World) -> None:
    first = {uid: _seen(world, uid) for uid in (WEB, DATA)}
    held = world.forget_everything()
    for _ in range(2):
        for uid, document in ((DATA, _disk()), (WEB, _machine(SCRATCH))):
            _apply(world, document, first[uid])
        world.settle()
        assert {uid: set(_seen(world, uid)) for uid in first} == {uid: set(paths) for uid, paths in first.items()}
        assert world.volumes.files == {}
        world.forget_everything()
    assert set(held) == {path for paths in first.values() for path in paths}


def test_a_disk_that_was_taken_out_while_the_host_was_away_may_come_again(world: World) -> None:
    seen = _seen(world, WEB)
    held = world.forget_everything()
    world.volumes.files.update({path: facts for path, facts in held.items() if "scratch" not in path})
    _assert_taken_out_and_back(world, seen)


def test_only_volumes_that_the_document_makes_are_remembered(world: World) -> None:
    world.forget_everything()
    _apply(world, _machine(), ("/images/guest.iso", *(f"/elsewhere/{number}" for number in range(1000))))
    stored = world.store.find(WEB)
    assert stored is not None
    assert stored.run.expected == ()
