"""What Apply's preview saw is believed by the worker that comes right after it, and by nobody else."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nodeplugin.converge.glances import GLANCE_MAX_S, GLANCES_MAX
from nodeplugin.hypervisor.port import EventKind, HypervisorEvent
from tests.fakes.faults import Moment
from tests.unit.nodeplugin.test_crash_walk import MACHINE, NETWORK, WEB
from tests.unit.nodeplugin.world import CALLER, World
from xvirt.model.exchange import ApplyCall, DryRun, Verb

DISK = {
    "apiVersion": "xvirt.io/v1alpha1",
    "kind": "VirtualDisk",
    "metadata": {"name": "data"},
    "spec": {"size": "8Mi"},
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A machine that runs, and a disk beside it."""
    made = World(tmp_path)
    made.apply(NETWORK)
    made.apply(DISK)
    made.apply(_machine())
    made.settle()
    return made


def _machine(**spec: Any) -> dict[str, Any]:
    document = copy.deepcopy(MACHINE)
    document["spec"]["disks"] = [{"name": "root", "source": {"size": "8Mi"}}]
    document["spec"] |= spec
    return document


def _with_data() -> dict[str, Any]:
    document = _machine()
    document["spec"]["disks"].append({"name": "data", "source": {"disk": "data"}})
    return document


def _uid(world: World) -> str:
    stored = world.store.find_named("VirtualMachine", "default", "web")
    assert stored is not None
    return stored.uid


def _first_plan_reads(world: World) -> int:
    """How often the host was read by the visit before its first step."""
    reads = 0
    observe = world.hypervisor.look_at_domain

    def count(uuid: str) -> Any:
        nonlocal reads
        reads += len(world.faults.mutations) == before
        return observe(uuid)

    before = len(world.faults.mutations)
    world.hypervisor.look_at_domain = count  # type: ignore[method-assign]
    world.converger.work(_uid(world))
    world.hypervisor.look_at_domain = observe  # type: ignore[method-assign]
    assert len(world.faults.mutations) > before
    return reads


def test_the_worker_goes_on_from_what_the_preview_saw(world: World) -> None:
    world.apply(_with_data())
    assert _first_plan_reads(world) == 0
    world.settle()
    assert "ua-disk-data" in world.end_state()["live"]["default_web"]


def _event(world: World) -> None:
    world.converger._on_event(HypervisorEvent(kind=EventKind.LIFECYCLE, subject=_uid(world), detail="stopped/crashed"))


def _foreign_event(world: World) -> None:
    world.converger._on_event(HypervisorEvent(kind=EventKind.LIFECYCLE, subject="other", detail="defined/added"))


def _network_event(world: World) -> None:
    world.converger._on_event(HypervisorEvent(kind=EventKind.NETWORK, subject="other", detail=""))


def _time(world: World) -> None:
    world.clock.now += 2 * GLANCE_MAX_S


def _other_document(world: World) -> None:
    other = _machine()
    other["metadata"] = {"name": "other"}
    world.apply(other)


def _act(world: World) -> None:
    world.operate(WEB, Verb.PAUSE)


def _wake(world: World) -> None:
    world.converger.enqueue(_uid(world))


def _newer_document(world: World) -> None:
    newer = _with_data()
    newer["spec"]["memory"] = {"size": "96Mi"}
    uid = _uid(world)
    held = world.converger.machines.glances._kept[uid]
    world.apply(newer)
    world.converger.machines.glances._kept[uid] = held


def _flood(world: World) -> None:
    glances, stored = world.converger.machines.glances, world.store.find(_uid(world))
    assert stored is not None
    kept = glances._kept[stored.uid]
    for number in range(GLANCES_MAX):
        glances.keep(dataclasses.replace(stored, uid=str(number)), kept.observed, kept.moment)
    assert len(glances._kept) == GLANCES_MAX


CHANGES: list[Callable[[World], None]] = [
    _event,
    _foreign_event,
    _network_event,
    _time,
    _other_document,
    _act,
    _wake,
    _newer_document,
    _flood,
]


@pytest.mark.parametrize("change", CHANGES, ids=[item.__name__.strip("_") for item in CHANGES])
def test_whatever_may_have_changed_is_looked_at_anew(world: World, change: Callable[[World], None]) -> None:
    world.apply(_with_data())
    change(world)
    assert _first_plan_reads(world) == 1


def test_a_glance_serves_one_visit(world: World) -> None:
    world.apply(_with_data())
    stored = world.store.find(_uid(world))
    assert stored is not None
    assert world.converger.machines.glances.take(stored) is not None
    assert world.converger.machines.glances.take(stored) is None


def test_a_dry_run_leaves_nothing_for_a_worker(world: World) -> None:
    call = ApplyCall(document=_with_data(), dry_run=DryRun.PLAN)
    world.service.apply(CALLER, call)
    assert not world.converger.machines.glances._kept


def test_a_plan_that_waits_is_never_taken_over(world: World) -> None:
    """What it waits for may come without anybody telling of this machine."""
    document = _machine()
    document["spec"]["disks"].append({"name": "late", "source": {"disk": "late"}})
    world.apply(document)
    assert not world.converger.machines.glances._kept


@pytest.mark.parametrize("moment", list(Moment))
def test_row_74_a_death_at_any_effect_after_a_glance_leads_to_the_same_end(tmp_path: Path, moment: Moment) -> None:
    """As the crash walk, but the first visit after each Apply goes on from the preview's look, as it does on a node that runs."""

    def play(directory: Path, count: int) -> tuple[dict[str, Any], int, int]:
        directory.mkdir()
        world = World(directory)
        for document in (NETWORK, DISK, _machine()):
            world.apply(document)
        world.settle()
        before = len(world.faults.mutations)
        world.apply(_with_data())
        world.faults.crash_after(count, moment)
        world.visit(_uid(world))
        world.settle()
        return world.end_state(), len(world.faults.mutations) - before, world.deaths

    wanted, effects, _ = play(tmp_path / "undisturbed", 0)
    assert effects >= 3
    for count in range(1, effects + 1):
        state, _, deaths = play(tmp_path / f"death-{count}", count)
        assert deaths == 1
        assert state == wanted
