"""The plugin is killed at every single effect of create, live change, stop and start, and delete, before and after it: the end is the
same as if it had lived, nothing is there twice and nothing is left."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.faults import Moment
from tests.unit.nodeplugin.world import World
from xvirt.model.exchange import ObjectRef, Verb

WEB = ObjectRef(kind="VirtualMachine", namespace="default", name="web")
NETWORK = {
    "apiVersion": "xvirt.io/v1alpha1",
    "kind": "VirtualNetwork",
    "metadata": {"name": "lan"},
    "spec": {"mode": "Isolated"},
}
IMAGE = {
    "apiVersion": "xvirt.io/v1alpha1",
    "kind": "VirtualImage",
    "metadata": {"name": "guest"},
    "spec": {"source": {"path": "/images/guest.qcow2"}},
}
MACHINE: dict[str, Any] = {
    "apiVersion": "xvirt.io/v1alpha1",
    "kind": "VirtualMachine",
    "metadata": {"name": "web"},
    "spec": {
        "cpu": {"cores": 1, "max": 4},
        "memory": {"size": "64Mi"},
        "disks": [
            {"name": "root", "source": {"image": "guest", "size": "128Mi"}},
            {"name": "scratch", "source": {"size": "8Mi"}, "deletionPolicy": "Delete"},
        ],
        "nics": [{"name": "lan", "network": "lan"}],
        "cloudInit": {"userData": {"inline": "#cloud-config\n{}\n"}},
    },
}


def _create(world: World) -> None:
    for document in (NETWORK, IMAGE, MACHINE):
        world.apply(copy.deepcopy(document))


def _change(world: World) -> None:
    changed = copy.deepcopy(MACHINE)
    changed["spec"]["cpu"]["cores"] = 3
    changed["spec"]["disks"][0]["source"]["size"] = "256Mi"
    changed["spec"]["disks"][1] = {"name": "more", "source": {"size": "16Mi"}}
    changed["spec"]["nics"].append({"name": "second", "network": "lan"})
    world.apply(changed)


def _stop(world: World) -> None:
    world.operate(WEB, Verb.STOP)


def _start(world: World) -> None:
    world.operate(WEB, Verb.START)


def _delete(world: World) -> None:
    world.delete(WEB)
    world.delete(ObjectRef(kind="VirtualNetwork", namespace="default", name="lan"))


CHAPTERS: list[Callable[[World], None]] = [_create, _change, _stop, _start, _delete]


def _play(directory: Path, deadly: int, count: int, moment: Moment) -> tuple[list[dict[str, Any]], list[int], World]:
    """Play all chapters; in chapter `deadly` the plugin dies at its `count`-th effect. End states, and effects per chapter."""
    directory.mkdir()
    world = World(directory)
    states, effects = [], []
    for number, chapter in enumerate(CHAPTERS):
        before = len(world.faults.mutations)
        chapter(world)
        if number == deadly:
            world.faults.crash_after(count, moment)
        world.settle()
        states.append(world.end_state())
        effects.append(len(world.faults.mutations) - before)
    return states, effects, world


def test_the_undisturbed_run_does_what_it_says(tmp_path: Path) -> None:
    states, effects, world = _play(tmp_path / "w", -1, 0, Moment.AFTER)
    assert world.deaths == 0
    created, changed, stopped, started, deleted = states
    assert created["domains"] == {"default_web": "running"}
    assert created["live"]["default_web"] == ["ua-disk-root", "ua-disk-scratch", "ua-nic-lan", "ua-seed", "1"]
    assert changed["live"]["default_web"] == [
        "ua-disk-more",
        "ua-disk-root",
        "ua-nic-lan",
        "ua-nic-second",
        "ua-seed",
        "3",
    ]
    assert changed["volumes"]["/pool/default_web_root.qcow2"] == 256 << 20
    assert "/pool/default_web_scratch.qcow2" not in changed["volumes"]
    assert stopped["domains"] == {"default_web": "shutoff"}
    assert started["domains"] == {"default_web": "running"}
    assert deleted["domains"] == {}
    assert deleted["networks"] == []
    assert deleted["seeds"] == 0
    assert sorted(deleted["volumes"]) == [
        "/pool/default_guest.image.qcow2",
        "/pool/default_web_more.qcow2",
        "/pool/default_web_root.qcow2",
    ]
    assert min(effects) > 0


def test_row_13_a_settled_node_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    world = World(tmp_path / "w")
    _create(world)
    world.settle()
    before = len(world.faults.mutations)
    statuses = [stored.status for stored in world.store.list_objects()]
    world.boot()
    world.settle()
    assert len(world.faults.mutations) == before
    assert [stored.status for stored in world.store.list_objects()] == statuses


@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("chapter", range(len(CHAPTERS)), ids=[item.__name__.strip("_") for item in CHAPTERS])
def test_row_74_a_death_at_any_effect_leads_to_the_same_end(tmp_path: Path, chapter: int, moment: Moment) -> None:
    wanted, effects, _ = _play(tmp_path / "undisturbed", -1, 0, moment)
    for count in range(1, effects[chapter] + 1):
        states, _, world = _play(tmp_path / f"death-{count}", chapter, count, moment)
        assert world.deaths == 1, f"effect {count}"
        assert states == wanted, f"effect {count} of {effects[chapter]}"
        names = [call for call, _ in world.faults.mutations]
        assert names.count("undefine_domain") <= 2
