"""The plugin is killed at every single effect of every verb, of network, pool and disk, before and after it: as `test_crash_walk.py`,
over a story that goes on where that one ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.faults import Moment
from tests.unit.nodeplugin.world import World
from xvirt.model.exchange import ObjectRef, OperationState, Verb

API = "xvirt.io/v1alpha1"
WEB = ObjectRef(kind="VirtualMachine", namespace="default", name="web")


def _document(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _network(last: int) -> dict[str, Any]:
    dhcp = {"ranges": [{"start": "10.9.0.10", "end": f"10.9.0.{last}"}]}
    return _document("VirtualNetwork", "lan", mode="Isolated", subnets=[{"address": "10.9.0.1/24", "dhcp": dhcp}])


def _machine(*disks: str, restart: bool = False) -> dict[str, Any]:
    return _document(
        "VirtualMachine",
        "web",
        memory={"size": "64Mi"},
        cpu={"cores": 1, "max": 4 if restart else 2},
        disks=[{"name": name, "source": {"disk": name}} for name in disks],
        nics=[{"name": "lan", "network": "lan"}],
    )


def _create(world: World) -> None:
    (world.directory / "fast").mkdir(exist_ok=True)
    world.apply(_document("StoragePool", "fast", path=str(world.directory / "fast")))
    world.apply(_network(99))
    for name in ("data", "more"):
        world.apply(_document("VirtualDisk", name, size="8Mi", pool="fast", deletionPolicy="Delete"))
    world.apply(_machine("data"))


def _operate(verb: Verb) -> Callable[[World], None]:
    def act(world: World) -> None:
        world.operate(WEB, verb)

    act.__name__ = verb.value
    return act


def _change_network_in_place(world: World) -> None:
    world.apply(_network(150))


def _grow_disk(world: World) -> None:
    world.apply(_document("VirtualDisk", "data", size="24Mi", pool="fast", deletionPolicy="Delete"))


def _attach_disk(world: World) -> None:
    world.apply(_machine("data", "more"))


def _detach_disk(world: World) -> None:
    world.apply(_machine("data"))


def _stage(world: World) -> None:
    world.apply(_machine("data", restart=True))


def _forget(kind: str, name: str) -> Callable[[World], None]:
    def act(world: World) -> None:
        world.delete(ObjectRef(kind=kind, namespace="" if kind == "StoragePool" else "default", name=name))

    act.__name__ = f"delete_{name}"
    return act


CHAPTERS: list[Callable[[World], None]] = [
    _create,
    _operate(Verb.PAUSE),
    _operate(Verb.RESUME),
    _change_network_in_place,
    _grow_disk,
    _attach_disk,
    _detach_disk,
    _stage,
    _operate(Verb.RESTART),
    _operate(Verb.SAVE),
    _operate(Verb.RESTORE),
    _operate(Verb.STOP),
    _operate(Verb.START),
    _forget("VirtualMachine", "web"),
    _forget("VirtualDisk", "data"),
    _forget("VirtualDisk", "more"),
    _forget("VirtualNetwork", "lan"),
    _forget("StoragePool", "fast"),
]


def _play(directory: Path, deadly: int, count: int, moment: Moment) -> tuple[list[dict[str, Any]], list[int], World]:
    """Up to chapter `deadly`, where the plugin dies at its `count`-th effect (-1: all chapters, no death)."""
    directory.mkdir()
    world = World(directory)
    states, effects = [], []
    for number, chapter in enumerate(CHAPTERS[: deadly + 1] if deadly >= 0 else CHAPTERS):
        before = len(world.faults.mutations)
        chapter(world)
        if number == deadly:
            world.faults.crash_after(count, moment)
        world.settle()
        states.append(_state(world))
        effects.append(len(world.faults.mutations) - before)
    return states, effects, world


def _state(world: World) -> dict[str, Any]:
    operations = [
        (item.verb, item.state)
        for stored in world.store.list_objects()
        for item in world.store.list_operations(stored.uid)
    ]
    networks = [
        item.xml.partition("<metadata>")[0] + item.xml.partition("</metadata>")[2]
        for item in world.hypervisor.list_networks()
    ]
    pools = sorted((item.name, item.is_active) for item in world.hypervisor.list_pools())
    dhcp = [text.partition("<dhcp>")[2].partition("</dhcp>")[0] for text in networks]
    return {**world.end_state(), "operations": operations, "dhcp": dhcp, "pools": pools}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], list[int]]:
    states, effects, _ = _play(tmp_path_factory.mktemp("undisturbed") / "w", -1, 0, Moment.AFTER)
    return states, effects


def test_the_undisturbed_story_is_what_it_says(undisturbed: tuple[list[dict[str, Any]], list[int]]) -> None:
    states, effects = undisturbed
    told = {chapter.__name__.strip("_"): state for chapter, state in zip(CHAPTERS, states, strict=True)}
    assert told["pause"]["domains"] == {"default_web": "paused"}
    assert told["resume"]["domains"] == {"default_web": "running"}
    assert "10.9.0.150" in told["change_network_in_place"]["dhcp"][0]
    assert told["grow_disk"]["volumes"]["/fast/default_data.qcow2"] == 24 << 20
    assert "ua-disk-more" in told["attach_disk"]["live"]["default_web"]
    assert "ua-disk-more" not in told["detach_disk"]["live"]["default_web"]
    assert ("RestartRequired", "True") in told["stage"]["objects"]["VirtualMachine default/web"][2]
    assert ("RestartRequired", "False") in told["restart"]["objects"]["VirtualMachine default/web"][2]
    assert told["save"]["domains"] == {"default_web": "shutoff"}
    assert {state for _, state in told["start"]["operations"]} == {OperationState.SUCCEEDED}
    assert len(told["start"]["operations"]) == 7
    last = told["delete_fast"]
    assert (last["domains"], last["volumes"], last["networks"], last["objects"]) == ({}, {}, [], {})
    assert last["pools"] == [("default", True)]
    assert min(effects) > 0


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("chapter", range(len(CHAPTERS)), ids=[item.__name__.strip("_") for item in CHAPTERS])
def test_row_74_a_death_at_any_effect_of_any_act_leads_to_the_same_end(
    tmp_path: Path, undisturbed: tuple[list[dict[str, Any]], list[int]], chapter: int, moment: Moment
) -> None:
    wanted, effects = undisturbed
    for count in range(1, effects[chapter] + 1):
        states, _, world = _play(tmp_path / f"death-{count}", chapter, count, moment)
        assert world.deaths == 1, f"effect {count}"
        assert states == wanted[: chapter + 1], f"effect {count} of {effects[chapter]}"
