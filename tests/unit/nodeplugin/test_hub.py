"""Watchers: a snapshot, SYNCED, then deltas in order; slow ones are cut; nobody sees what is not theirs."""

from __future__ import annotations

import threading

import pytest

from nodeplugin.converge.hub import READER_QUEUE_MAX, Hub, may_see
from xvirt.model.errors import Exhausted
from xvirt.model.exchange import Caller, ObjectRef, ObjectView, Token, WatchType


def _view(name: str, namespace: str = "default", authority: str = "local") -> ObjectView:
    ref = ObjectRef(kind="VirtualMachine", namespace=namespace, name=name, uid=name, authority=authority)
    return ObjectView(ref=ref, document={"metadata": {"name": name}}, token=Token())


def test_a_snapshot_comes_first_and_deltas_follow_in_order() -> None:
    hub = Hub("boot")
    reader = hub.subscribe(lambda ref: True, lambda: [_view("a"), _view("b")])
    hub.object_changed(lambda: _view("c"))
    hub.object_deleted(_view("a"), lambda: None)
    events = [reader.next_event(1.0) for _ in range(5)]
    assert [event.type for event in events if event] == [
        WatchType.OBJECT,
        WatchType.OBJECT,
        WatchType.SYNCED,
        WatchType.OBJECT,
        WatchType.DELETED,
    ]
    numbers = [event.sequence for event in events if event]
    assert numbers == sorted(numbers)
    assert {event.boot_id for event in events if event} == {"boot"}
    assert reader.next_event(0.01) is None


def test_what_is_told_last_is_what_is_true() -> None:
    hub = Hub("boot")
    reader = hub.subscribe(lambda ref: True, list)
    hub.object_changed(lambda: None)  # it was deleted before this was told
    hub.object_deleted(_view("a"), lambda: _view("a"))  # it was declared anew before this was told
    events = [reader.next_event(1.0), reader.next_event(1.0), reader.next_event(0.01)]
    assert [event and event.type for event in events] == [WatchType.SYNCED, WatchType.OBJECT, None]


def test_a_slow_reader_is_cut_and_nobody_waits_for_it() -> None:
    hub = Hub("boot")
    slow = hub.subscribe(lambda ref: True, list)
    quick = hub.subscribe(lambda ref: ref.name == "last", list)
    for _ in range(READER_QUEUE_MAX + 5):
        hub.object_changed(lambda: _view("a"))
    hub.object_changed(lambda: _view("last"))
    with pytest.raises(Exhausted, match="watch again"):
        slow.next_event(1.0)
    assert [quick.next_event(1.0), quick.next_event(1.0)][1] is not None


@pytest.mark.parametrize(
    ("namespaces", "authority", "is_seen"),
    [(("*",), "local", True), (("default",), "local", True), (("other",), "local", False), (("*",), "alien", False)],
)
def test_a_caller_sees_its_own_authority_and_namespaces_alone(
    namespaces: tuple[str, ...], authority: str, is_seen: bool
) -> None:
    caller = Caller(name="c", authorities=("local",), namespaces=namespaces, profiles=())
    assert may_see(caller, _view("a", authority=authority).ref) is is_seen


def test_what_happens_while_a_snapshot_is_read_is_numbered_after_it() -> None:
    hub = Hub("boot")
    changing = threading.Thread(target=lambda: hub.object_changed(lambda: _view("a")))

    def snapshot() -> list[ObjectView]:
        changing.start()
        changing.join(0.05)  # it waits for the snapshot, or has been told to a reader that is not there yet
        return [_view("a")]

    reader = hub.subscribe(lambda ref: True, snapshot)
    changing.join(30)
    events = [reader.next_event(30.0) for _ in range(3)]
    assert [event.type for event in events if event] == [WatchType.OBJECT, WatchType.SYNCED, WatchType.OBJECT]
    numbers = [event.sequence for event in events if event]
    assert numbers == sorted(set(numbers))
