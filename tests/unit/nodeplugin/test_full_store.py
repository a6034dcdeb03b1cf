"""The disk of the store is full: what is asked for is refused whole, workers go on as well as they can, and all ends well once there is space."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from nodeplugin.rebuild import rebuild_store
from tests.fakes.faults import PluginKilled
from tests.unit.nodeplugin.life.store_faults import fill, free
from tests.unit.nodeplugin.test_crash_walk import IMAGE, MACHINE, NETWORK, WEB
from tests.unit.nodeplugin.world import CALLER, World
from xvirt.model.errors import Exhausted, NotFound
from xvirt.model.exchange import EventType, OperateCall, OperationState, Verb


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def _objects(world: World) -> list[tuple[str, int, str]]:
    return [(item.key, item.generation, item.deletion.value) for item in world.store.list_objects()]


def test_what_cannot_be_stored_is_refused_and_leaves_nothing(world: World) -> None:
    world.apply(NETWORK)
    world.settle()
    before, effects = _objects(world), len(world.faults.mutations)
    fill(world.store)
    with pytest.raises(Exhausted, match="no space left for the store") as found:
        world.apply(copy.deepcopy(MACHINE))
    assert found.value.reason == "StoreFull"
    with pytest.raises(NotFound):
        world.service.get(CALLER, WEB)
    world.settle()
    assert _objects(world) == before
    assert world.faults.mutations[effects:] == []


def test_a_change_a_deletion_and_an_act_that_cannot_be_stored_change_nothing(world: World) -> None:
    for document in (NETWORK, IMAGE, MACHINE):
        world.apply(copy.deepcopy(document))
    world.settle()
    before = _objects(world)
    state = world.end_state()
    fill(world.store)
    changed = copy.deepcopy(MACHINE)
    changed["spec"]["cpu"]["cores"] = 3
    with pytest.raises(Exhausted):
        world.apply(changed)
    with pytest.raises(Exhausted):
        world.service.operate(CALLER, OperateCall(ref=WEB, verb=Verb.STOP, operation_id="stop"))
    assert world.store.find_operation("stop") is None
    with pytest.raises(Exhausted):
        world.delete(WEB)
    world.settle()
    assert _objects(world) == before
    free(world.store)
    world.settle()
    assert world.end_state() == state
    world.apply(changed)
    world.settle()
    assert world.end_state()["live"]["default_web"][-1] == "3"


def test_workers_outlive_a_full_store_and_end_where_they_would_have(world: World, tmp_path: Path) -> None:
    for document in (NETWORK, IMAGE, MACHINE):
        world.apply(copy.deepcopy(document))
    fill(world.store)
    world.settle()  # statuses, events and run records find no room
    free(world.store)
    world.settle()
    (tmp_path / "undisturbed").mkdir()
    other = World(tmp_path / "undisturbed")
    for document in (NETWORK, IMAGE, MACHINE):
        other.apply(copy.deepcopy(document))
    other.settle()
    assert world.end_state() == other.end_state()


def test_an_act_whose_record_cannot_be_written_is_not_half_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ended between an operation and what it changes would have answered the repetition with one that nobody does."""
    for document in (NETWORK, IMAGE, MACHINE):
        world.apply(copy.deepcopy(document))
    world.settle()

    def end(*_: object) -> None:
        raise PluginKilled("update_run")

    with monkeypatch.context() as patch:
        patch.setattr("nodeplugin.store._update_run", end)
        with pytest.raises(PluginKilled):
            world.service.operate(CALLER, OperateCall(ref=WEB, verb=Verb.STOP, operation_id="stop"))
    world.boot()
    assert world.store.find_operation("stop") is None
    world.service.operate(CALLER, OperateCall(ref=WEB, verb=Verb.STOP, operation_id="stop"))
    world.settle()
    done = world.store.find_operation("stop")
    assert done is not None
    assert done.state is OperationState.SUCCEEDED
    assert world.end_state()["domains"] == {"default_web": "shutoff"}


def test_events_that_find_no_room_are_told_to_watchers_all_the_same(world: World) -> None:
    world.apply(NETWORK)
    world.settle()
    network = world.store.list_objects("VirtualNetwork")[0]
    reader = world.service.watch(CALLER, "", "")
    fill(world.store)
    world.converger.tell(network, EventType.NORMAL, "Tested", "by a test")
    free(world.store)
    told = [event for event in iter(lambda: reader.next_event(0.01), None) if event.event is not None]
    assert [event.event.reason for event in told if event.event] == ["Tested"]


def test_a_lost_store_is_not_rebuilt_on_a_full_disk_as_if_documents_could_not_be_read(world: World) -> None:
    world.apply(NETWORK)
    world.settle()
    world.store.remove(world.store.list_uids()[0])
    world.store._connection.execute("DELETE FROM tombstones")
    fill(world.store)
    with pytest.raises(Exhausted):
        rebuild_store(world.hypervisor, world.store)
    free(world.store)
    assert rebuild_store(world.hypervisor, world.store) == []
    assert [item.name for item in world.store.list_objects()] == ["lan"]
