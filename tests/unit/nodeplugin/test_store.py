"""The store: what was acknowledged is there again, and nothing is forgotten silently."""

from __future__ import annotations

import dataclasses
import stat
from pathlib import Path

import pytest

from nodeplugin.records import Deletion, RunRecord, StoredObject
from nodeplugin.store import EVENTS_PER_OBJECT_MAX, Store
from xvirt.model.errors import NotFound, Unavailable
from xvirt.model.exchange import Event, EventType, ObjectRef, Operation, OperationState, Verb

DOCUMENT = {"apiVersion": "xvirt.io/v1alpha1", "kind": "VirtualMachine", "metadata": {"name": "a"}, "spec": {"x": "ü"}}


def _object(uid: str = "u-1", name: str = "a") -> StoredObject:
    return StoredObject(
        uid=uid,
        authority="local",
        kind="VirtualMachine",
        namespace="default",
        name=name,
        document=DOCUMENT,
        generation=3,
        epoch=1,
        secrets={"init": {"userData": b"\x00secret"}},
        secrets_hash="h",
        run=RunRecord(is_held_off=True, garbage=(("/p/a", "raw"),)),
    )


def test_an_object_is_the_same_after_the_file_was_opened_anew(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    store.put(_object())
    store.set_status("u-1", {"powerState": "Running"})
    store.close()
    found = Store(tmp_path / "store.db").find("u-1")
    assert found == dataclasses.replace(_object(), status={"powerState": "Running"})


def test_put_leaves_the_status_to_the_worker(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    store.put(_object())
    store.set_status("u-1", {"a": 1})
    store.put(dataclasses.replace(_object(), generation=4, deletion=Deletion.GRACEFUL))
    found = store.find("u-1")
    assert found is not None
    assert (found.status, found.generation, found.deletion) == ({"a": 1}, 4, Deletion.GRACEFUL)


def test_put_leaves_to_the_worker_what_it_noted_since_the_object_was_read(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    store.put(_object())
    read = store.find("u-1")
    assert read is not None
    store.update_run("u-1", lambda run: dataclasses.replace(run, defined_hash="new", garbage=()))
    store.put(dataclasses.replace(read, run=dataclasses.replace(read.run, garbage=(("/p/b", "raw"),))))
    found = store.find("u-1")
    assert found is not None
    assert (found.run.defined_hash, found.run.garbage) == ("new", (("/p/b", "raw"),))


def test_the_file_is_readable_by_root_alone(tmp_path: Path) -> None:
    Store(tmp_path / "store.db").put(_object())
    for path in tmp_path.glob("store.db*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_secrets_do_not_show_in_what_is_printed() -> None:
    assert "secret" not in repr(_object()).replace("secrets_hash", "").replace("has_secrets", "")


@pytest.mark.parametrize("damage", [b"", b"not a database at all, but long enough to be read as one" * 40])
def test_a_damaged_file_is_refused_with_what_to_do(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "store.db"
    store = Store(path)
    store.put(_object())
    store.close()
    data = path.read_bytes()
    path.write_bytes(damage or data[: len(data) // 2])
    for name in ("store.db-wal", "store.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(Unavailable, match="restore it from a backup"):
        Store(path)


def _objects(count: int) -> list[StoredObject]:
    return [_object(f"u-{number}", f"machine-{number:02}") for number in range(count)]


@pytest.mark.parametrize("tail", ["", "damage"])
def test_a_file_that_was_cut_anywhere_is_refused(tmp_path: Path, tail: str) -> None:
    whole = tmp_path / "whole.db"
    store = Store(whole)
    for item in _objects(40):
        store.put(item)
    store.close()
    data = whole.read_bytes()
    path = tmp_path / "store.db"
    for size in range(0, len(data), 512):
        path.write_bytes(data[:size] + tail.encode() * 100)
        with pytest.raises(Unavailable, match="restore it from a backup"):
            Store(path)
        for name in ("store.db-wal", "store.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)


def test_a_log_that_was_cut_anywhere_ends_at_one_of_the_acknowledged_states(tmp_path: Path) -> None:
    store = Store(tmp_path / "live.db")
    for item in _objects(12):
        store.put(item)
    database, log = (tmp_path / "live.db").read_bytes(), (tmp_path / "live.db-wal").read_bytes()
    store.close()
    seen = set()
    for size in range(0, len(log) + 1, 997):
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / "store.db").write_bytes(database)
        (folder / "store.db-wal").write_bytes(log[:size])
        found = Store(folder / "store.db")
        names = [item.name for item in found.list_objects()]
        assert names == [item.name for item in _objects(12)][: len(names)]
        seen.add(len(names))
        found.close()
    assert {0, 11} <= seen


def test_a_file_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / ".store.db.partial").write_bytes(b"what a kill left")
    store = Store(tmp_path / "store.db")
    store.put(_object())
    store.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store.db"]


def test_a_file_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "store.db"
    Store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(Unavailable, match="newer release"):
        Store(path)


def test_a_deleted_object_leaves_its_token(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    store.put(_object())
    store.remove("u-1")
    assert store.find("u-1") is None
    tombstone = store.tombstone("u-1")
    assert tombstone is not None
    assert (tombstone.epoch, tombstone.generation) == (1, 3)


def test_a_run_record_of_an_object_that_is_gone_cannot_be_changed(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Store(tmp_path / "store.db").update_run("nobody", lambda run: run)


def test_equal_events_are_counted_and_old_ones_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    ref = ObjectRef(uid="u-1")

    def event(message: str, when: str) -> Event:
        return Event(ref=ref, type=EventType.NORMAL, reason="R", message=message, last_seen=when)

    store.add_event(event("same", "1"))
    again = store.add_event(event("same", "2"))
    assert (again.count, again.first_seen, again.last_seen) == (2, "1", "2")
    for number in range(EVENTS_PER_OBJECT_MAX + 5):
        store.add_event(event(str(number), "3"))
    assert len(store.list_events("u-1")) == EVENTS_PER_OBJECT_MAX


def test_an_operation_goes_from_pending_to_its_end_in_place(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    first = Operation(id="o", ref=ObjectRef(uid="u-1"), verb=Verb.STOP, state=OperationState.PENDING)
    store.put_operation(first)
    store.put_operation(dataclasses.replace(first, state=OperationState.SUCCEEDED))
    assert [item.state for item in store.list_operations("u-1")] == [OperationState.SUCCEEDED]
