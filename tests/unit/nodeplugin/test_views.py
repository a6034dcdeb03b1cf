"""What List keeps from one time to the next is what the store has, for each caller its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from nodeplugin import views as module
from nodeplugin.records import StoredObject
from nodeplugin.store import Store
from nodeplugin.views import EncodedViews, Views
from xvirt.model.errors import Exhausted
from xvirt.model.exchange import Detail, ObjectRef, ObjectView
from xvirt.wire.messages import encode_view


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store.db")
    for name in ("b", "a", "c"):
        made.put(_object(name))
    return made


def _object(name: str, uid: str = "", **changes: object) -> StoredObject:
    plain = StoredObject(
        uid=uid or f"u-{name}",
        authority="local",
        kind="VirtualMachine",
        namespace="default",
        name=name,
        document={"kind": "VirtualMachine", "metadata": {"name": name}, "spec": {}},
        generation=1,
        epoch=0,
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def _all(ref: ObjectRef) -> bool:
    return True


def _listed(views: Views, store: Store) -> list[ObjectView]:
    """What is listed, which must be what the store has."""
    found = views.list("", "", _all)
    assert found == [stored.view() for stored in store.list_objects()]
    return found


def test_a_second_list_is_the_same_and_decodes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    views = Views(store)
    first = _listed(views, store)
    monkeypatch.setattr(store, "find", lambda uid: pytest.fail("it was read again"))
    assert all(old is new for old, new in zip(first, views.list("", "", _all), strict=True))


def test_every_way_to_change_an_object_is_seen(store: Store) -> None:
    views = Views(store)
    _listed(views, store)
    store.put(_object("a", generation=2))
    assert _listed(views, store)[0].token.generation == 2
    store.set_status("u-b", {"printableStatus": "Running"})
    assert _listed(views, store)[1].document["status"] == {"printableStatus": "Running"}
    store.remove("u-c")
    assert len(_listed(views, store)) == 2
    store.put(_object("c", epoch=7))
    assert _listed(views, store)[2].token.epoch == 7
    store.put(_object("d", uid="u-d"))
    assert len(_listed(views, store)) == 4


def test_what_changed_is_read_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    views = Views(store)
    _listed(views, store)
    store.set_status("u-b", {"printableStatus": "Running"})
    read: list[str] = []
    find = store.find

    def count(uid: str) -> StoredObject | None:
        read.append(uid)
        return find(uid)

    monkeypatch.setattr(store, "find", count)
    views.list("", "", _all)
    assert read == ["u-b"]


def test_a_write_that_failed_leaves_the_list_as_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    views = Views(store)
    before = _listed(views, store)

    def fail(uid: str) -> None:
        raise Exhausted("no space left")

    monkeypatch.setattr(store, "_mark", fail)
    with pytest.raises(Exhausted):
        store.set_status("u-b", {"printableStatus": "Running"})
    assert _listed(views, store) == before


def test_kind_namespace_and_caller_choose(store: Store) -> None:
    views = Views(store)
    store.put(_object("a", uid="u-x", namespace="other"))
    _listed(views, store)
    assert [view.ref.uid for view in views.list("VirtualMachine", "other", _all)] == ["u-x"]
    assert views.list("VirtualDisk", "", _all) == []
    assert [view.ref.name for view in views.list("", "default", lambda ref: ref.name != "b")] == ["a", "c"]


def test_a_list_of_states_has_no_spec_and_follows_changes_too(store: Store) -> None:
    views = Views(store)
    status = {
        "printableStatus": "Running",
        "powerState": "Running",
        "observedGeneration": 1,
        "uuid": "u",
        "conditions": [],
    }
    store.set_status("u-b", status)
    listed = views.list("", "", _all, Detail.STATE)
    assert listed[1].document == {
        "kind": "VirtualMachine",
        "metadata": {"name": "b", "uid": "u-b", "generation": 1},
        "status": {
            name: status[name] for name in ("observedGeneration", "printableStatus", "powerState", "conditions")
        },
    }
    assert (listed[1].ref, listed[1].token) == (_listed(views, store)[1].ref, _listed(views, store)[1].token)
    assert all(old is new for old, new in zip(listed, views.list("", "", _all, Detail.STATE), strict=True))
    store.set_status("u-b", {"printableStatus": "Stopped"})
    assert views.list("", "", _all, Detail.STATE)[1].document["status"] == {"printableStatus": "Stopped"}


def test_what_is_gone_is_kept_no_longer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPARE_MAX", 0)
    views, encoded = Views(store), EncodedViews()
    encoded.encode(_listed(views, store))
    store.remove("u-c")
    encoded.encode(_listed(views, store))
    assert sorted(views._kept) == sorted(encoded._kept) == ["u-a", "u-b"]


def test_messages_are_those_of_the_views_and_made_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    views, encoded = Views(store), EncodedViews()
    first = encoded.encode(_listed(views, store))
    assert first == [encode_view(view) for view in _listed(views, store)]
    store.set_status("u-b", {"printableStatus": "Running"})
    made: list[str] = []

    def count(view: ObjectView) -> object:
        made.append(view.ref.uid)
        return encode_view(view)

    monkeypatch.setattr(module, "encode_view", count)
    second = encoded.encode(_listed(views, store))
    assert made == ["u-b"]
    assert second == [encode_view(view) for view in _listed(views, store)]
