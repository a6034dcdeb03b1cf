"""The node's durable memory: SQLite in WAL mode with full sync, so what was acknowledged survives a power cut.

One connection behind one lock: writes are rare and short. What only the host's own state says again (status, events, journal) is
written without waiting for the disk: it survives the process, and is on disk with the next full commit; a power cut ends QEMU, too,
and what is seen afterwards is observed anew. Secrets lie in this file alone, which is
readable by root only and never leaves the node.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import enum
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nodeplugin.records import Deletion, RunRecord, Secrets, StoredObject
from nodeplugin.store_file import open_file, translate
from xvirt.model.errors import NotFound
from xvirt.model.exchange import Event, EventType, ObjectRef, ObjectView, Operation, OperationState, Verb

EVENTS_PER_OBJECT_MAX = 100
OPERATIONS_PER_OBJECT_MAX = 50
TOMBSTONES_MAX = 10_000

_COLUMNS = (
    "uid, authority, kind, namespace, name, document, generation, epoch, profile, secrets, has_secrets, secrets_hash,"
    " deletion, status, run"
)


@dataclasses.dataclass(frozen=True)
class Tombstone:
    """Token of an object that was deleted here: a late Apply of it must not bring it back."""

    authority: str
    epoch: int
    generation: int


class Sync(enum.Enum):
    """What a commit waits for (SQLite's `synchronous`): the disk, or only the page cache."""

    DISK = "FULL"
    CACHE = "NORMAL"


class Store:
    """Objects, operations, events and the journal of one node.

    Raises Unavailable where the file is damaged or of a newer release, Exhausted where the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._sync = Sync.DISK
        self._changes = 0
        self._stamp = 0
        self._stamps: dict[str, int] = {}
        self._connection = open_file(path)

    def ping(self) -> None:
        """Read something. Raises Unavailable where the store is closed or cannot be read."""
        self._query("SELECT count(*) FROM tombstones")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def _transaction(self, sync: Sync = Sync.DISK) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if sync is not self._sync:
                    self._connection.execute(f"PRAGMA synchronous={sync.value}")
                    self._sync = sync
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.IntegrityError):
                    raise translate(error, self._path) from error
                raise

    def _query(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._connection.execute(sql, values).fetchall()
            except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
                raise translate(error, self._path) from error

    # objects

    def find(self, uid: str) -> StoredObject | None:
        """The object with this uid."""
        rows = self._query(f"SELECT {_COLUMNS} FROM objects WHERE uid=?", (uid,))
        return _object(rows[0]) if rows else None

    def find_named(self, kind: str, namespace: str, name: str) -> StoredObject | None:
        """The object with this name, of whatever authority."""
        sql = f"SELECT {_COLUMNS} FROM objects WHERE kind=? AND namespace=? AND name=?"
        rows = self._query(sql, (kind, namespace, name))
        return _object(rows[0]) if rows else None

    def view(self, uid: str) -> ObjectView | None:
        """The object with this uid as a caller sees it."""
        stored = self.find(uid)
        return stored.view() if stored is not None else None

    def list_objects(self, kind: str = "", namespace: str = "") -> list[StoredObject]:
        """Objects of a kind and namespace (empty: all), by kind, namespace and name."""
        sql = (
            f"SELECT {_COLUMNS} FROM objects WHERE (?='' OR kind=?) AND (?='' OR namespace=?)"
            " ORDER BY kind, namespace, name"
        )
        return [_object(row) for row in self._query(sql, (kind, kind, namespace, namespace))]

    def list_stamps(self, kind: str = "", namespace: str = "") -> list[tuple[ObjectRef, int]]:
        """As `list_objects`, but only who they are, each with a number that grows whenever its document, token or status is written."""
        sql = (
            "SELECT uid, authority, kind, namespace, name FROM objects WHERE (?='' OR kind=?) AND (?='' OR namespace=?)"
            " ORDER BY kind, namespace, name"
        )
        with self._lock:
            rows = self._query(sql, (kind, kind, namespace, namespace))
            return [
                (
                    ObjectRef(kind=kind, namespace=namespace, name=name, uid=uid, authority=authority),
                    self._stamps.get(uid, 0),
                )
                for uid, authority, kind, namespace, name in rows
            ]

    def _mark(self, uid: str) -> None:
        """Within a transaction, which holds the lock: whoever sees the new number sees what was written, or what was rolled back."""
        self._stamp += 1
        self._stamps[uid] = self._stamp

    def list_kinds(self) -> dict[str, str]:
        """Kinds of all objects by uid."""
        return dict(self._query("SELECT uid, kind FROM objects"))

    def list_uids(self) -> list[str]:
        """All uids."""
        return [uid for (uid,) in self._query("SELECT uid FROM objects ORDER BY uid")]

    def count_changes(self) -> int:
        """How often an object was put or removed: what one document says of others' may be old once this has grown."""
        with self._lock:
            return self._changes

    def put(self, item: StoredObject) -> None:
        """Insert or replace everything but what the object's worker may have written since `item` was read: its status, and its run record
        except for what follows from the document: `garbage` and `expected`."""
        with self._transaction() as connection:
            row = connection.execute("SELECT run FROM objects WHERE uid=?", (item.uid,)).fetchone()
            if row is not None:
                run = RunRecord.from_json(json.loads(row[0]))
                declared = dataclasses.replace(run, garbage=item.run.garbage, expected=item.run.expected)
                item = dataclasses.replace(item, run=declared)
            connection.execute(
                f"INSERT INTO objects ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (uid) DO UPDATE SET"
                " document=excluded.document, generation=excluded.generation, epoch=excluded.epoch,"
                " profile=excluded.profile, secrets=excluded.secrets, has_secrets=excluded.has_secrets,"
                " secrets_hash=excluded.secrets_hash, deletion=excluded.deletion, run=excluded.run",
                _row(item),
            )
            self._changes += 1
            self._mark(item.uid)

    def set_status(self, uid: str, status: Mapping[str, Any]) -> None:
        """Replace an object's status; nothing where the object is gone."""
        with self._transaction(Sync.CACHE) as connection:
            connection.execute("UPDATE objects SET status=? WHERE uid=?", (_dump(status), uid))
            self._mark(uid)

    def update_run(self, uid: str, change: Callable[[RunRecord], RunRecord]) -> RunRecord:
        """Read, change and write a run record in one transaction. Raises NotFound."""
        with self._transaction() as connection:
            return _update_run(connection, uid, change)

    def remove(self, uid: str) -> None:
        """Forget an object, leaving a tombstone; its operations and events go with it."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO tombstones SELECT uid, authority, generation, epoch,"
                " (SELECT coalesce(max(sequence), 0) + 1 FROM tombstones) FROM objects WHERE uid=?",
                (uid,),
            )
            _forget_old_tombstones(connection)
            for table in ("objects", "operations", "events", "journal"):
                connection.execute(f"DELETE FROM {table} WHERE uid=?", (uid,))
            self._changes += 1
            self._stamps.pop(uid, None)

    def bury(self, uid: str, tombstone: Tombstone) -> None:
        """Leave a tombstone for an object that is not here: what was sent earlier and comes later is refused. A newer one stays."""
        known = self.tombstone(uid)
        if known is not None and (known.epoch, known.generation) >= (tombstone.epoch, tombstone.generation):
            return
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO tombstones SELECT ?, ?, ?, ?, coalesce(max(sequence), 0) + 1 FROM tombstones",
                (uid, tombstone.authority, tombstone.generation, tombstone.epoch),
            )
            _forget_old_tombstones(connection)

    def tombstone(self, uid: str) -> Tombstone | None:
        """The token that a deleted object had."""
        rows = self._query("SELECT authority, epoch, generation FROM tombstones WHERE uid=?", (uid,))
        return Tombstone(*rows[0]) if rows else None

    def reset_tokens(self, authority: str) -> list[StoredObject]:
        """Set epoch and generation of an authority's objects, also of deleted ones, to zero; the objects as they are then."""
        with self._transaction() as connection:
            connection.execute("UPDATE tombstones SET epoch=0, generation=0 WHERE authority=?", (authority,))
            connection.execute("UPDATE objects SET epoch=0, generation=0 WHERE authority=?", (authority,))
            rows = connection.execute(f"SELECT {_COLUMNS} FROM objects WHERE authority=?", (authority,)).fetchall()
            reset = [_object(row) for row in rows]
            for stored in reset:
                self._mark(stored.uid)
        return reset

    def list_authorities(self) -> list[str]:
        """Authorities of all objects and of deleted ones."""
        rows = self._query("SELECT authority FROM objects UNION SELECT authority FROM tombstones ORDER BY authority")
        return [authority for (authority,) in rows]

    # operations

    def put_operation(self, operation: Operation) -> None:
        """Insert or replace an operation; the oldest of an object are dropped beyond the limit."""
        with self._transaction() as connection:
            _put_operation(connection, operation)

    def begin_operation(
        self, operation: Operation, superseded: Sequence[Operation], change: Callable[[RunRecord], RunRecord]
    ) -> None:
        """Store a new operation with what it changes in the run record, and the end of those before it: all or nothing, else one that
        was never begun would answer its own repetition. Raises NotFound."""
        with self._transaction() as connection:
            for item in (*superseded, operation):
                _put_operation(connection, item)
            _update_run(connection, operation.ref.uid, change)

    def find_operation(self, operation_id: str) -> Operation | None:
        """The operation with this id."""
        rows = self._query("SELECT body FROM operations WHERE id=?", (operation_id,))
        return _operation(json.loads(rows[0][0])) if rows else None

    def list_operations(self, uid: str) -> list[Operation]:
        """An object's operations, oldest first."""
        rows = self._query("SELECT body FROM operations WHERE uid=? ORDER BY sequence", (uid,))
        return [_operation(json.loads(body)) for (body,) in rows]

    # events

    def add_event(self, event: Event) -> Event:
        """Store an event; an equal one of the same object is counted up instead. Returns it as stored."""
        with self._transaction(Sync.CACHE) as connection:
            row = connection.execute(
                "SELECT sequence, count, first_seen FROM events WHERE uid=? AND reason=? AND message=?",
                (event.ref.uid, event.reason, event.message),
            ).fetchone()
            count, first_seen = (row[1] + 1, row[2]) if row else (1, event.last_seen)
            if row:
                connection.execute("DELETE FROM events WHERE sequence=?", (row[0],))
            stored = dataclasses.replace(event, count=count, first_seen=first_seen)
            ref = _dump(dataclasses.asdict(event.ref))
            connection.execute(
                "INSERT INTO events (uid, ref, type, reason, message, count, first_seen, last_seen)"
                " VALUES (?,?,?,?,?,?,?,?)",
                (event.ref.uid, ref, event.type.value, event.reason, event.message, count, first_seen, event.last_seen),
            )
            connection.execute(
                "DELETE FROM events WHERE uid=? AND sequence NOT IN"
                " (SELECT sequence FROM events WHERE uid=? ORDER BY sequence DESC LIMIT ?)",
                (event.ref.uid, event.ref.uid, EVENTS_PER_OBJECT_MAX),
            )
            return stored

    def list_events(self, uid: str = "") -> list[Event]:
        """Events of an object (empty: of all), oldest first."""
        rows = self._query(
            "SELECT ref, type, reason, message, count, first_seen, last_seen FROM events WHERE (?='' OR uid=?)"
            " ORDER BY sequence",
            (uid, uid),
        )
        return [_event(row) for row in rows]

    # journal

    def begin_steps(self, uid: str, steps: Sequence[str], started: str) -> None:
        """Say which steps are about to run: after a crash the log tells what was interrupted."""
        with self._transaction(Sync.CACHE) as connection:
            connection.execute("INSERT OR REPLACE INTO journal VALUES (?,?,?)", (uid, ", ".join(steps), started))

    def end_steps(self, uid: str) -> None:
        """Say that no step of an object is running."""
        with self._transaction(Sync.CACHE) as connection:
            connection.execute("DELETE FROM journal WHERE uid=?", (uid,))

    def interrupted_steps(self) -> dict[str, str]:
        """Steps that were running when the last process ended: uid -> names."""
        return dict(self._query("SELECT uid, steps FROM journal"))


def _forget_old_tombstones(connection: sqlite3.Connection) -> None:
    connection.execute(
        "DELETE FROM tombstones WHERE sequence <= (SELECT max(sequence) FROM tombstones) - ?", (TOMBSTONES_MAX,)
    )


def _update_run(connection: sqlite3.Connection, uid: str, change: Callable[[RunRecord], RunRecord]) -> RunRecord:
    row = connection.execute("SELECT run FROM objects WHERE uid=?", (uid,)).fetchone()
    if row is None:
        raise NotFound(f"no object with uid {uid}")
    old = RunRecord.from_json(json.loads(row[0]))
    new = change(old)
    if new != old:
        connection.execute("UPDATE objects SET run=? WHERE uid=?", (_dump(new.to_json()), uid))
    return new


def _put_operation(connection: sqlite3.Connection, operation: Operation) -> None:
    connection.execute(
        "INSERT INTO operations VALUES (?, ?, (SELECT coalesce(max(sequence), 0) + 1 FROM operations), ?)"
        " ON CONFLICT (id) DO UPDATE SET body=excluded.body",
        (operation.id, operation.ref.uid, _dump(_operation_body(operation))),
    )
    connection.execute(
        "DELETE FROM operations WHERE uid=? AND sequence NOT IN"
        " (SELECT sequence FROM operations WHERE uid=? ORDER BY sequence DESC LIMIT ?)",
        (operation.ref.uid, operation.ref.uid, OPERATIONS_PER_OBJECT_MAX),
    )


def _dump(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _row(item: StoredObject) -> tuple[Any, ...]:
    secrets = {
        name: {key: base64.b64encode(content).decode() for key, content in data.items()}
        for name, data in item.secrets.items()
    }
    return (
        item.uid,
        item.authority,
        item.kind,
        item.namespace,
        item.name,
        _dump(item.document),
        item.generation,
        item.epoch,
        item.profile,
        _dump(secrets),
        int(item.has_secrets),
        item.secrets_hash,
        item.deletion.value,
        _dump(item.status),
        _dump(item.run.to_json()),
    )


def _object(row: tuple[Any, ...]) -> StoredObject:
    names = [name.strip() for name in _COLUMNS.split(",")]
    values = dict(zip(names, row, strict=True))
    secrets: Secrets = {
        name: {key: base64.b64decode(content) for key, content in data.items()}
        for name, data in json.loads(values["secrets"]).items()
    }
    values.update(
        document=json.loads(values["document"]),
        secrets=secrets,
        has_secrets=bool(values["has_secrets"]),
        deletion=Deletion(values["deletion"]),
        status=json.loads(values["status"]),
        run=RunRecord.from_json(json.loads(values["run"])),
    )
    return StoredObject(**values)


def _operation_body(operation: Operation) -> dict[str, Any]:
    return {**dataclasses.asdict(operation), "verb": operation.verb.value, "state": operation.state.value}


def _operation(body: dict[str, Any]) -> Operation:
    body["ref"] = ObjectRef(**body["ref"])
    body["verb"] = Verb(body["verb"])
    body["state"] = OperationState(body["state"])
    return Operation(**body)


def _event(row: tuple[Any, ...]) -> Event:
    ref, kind, reason, message, count, first_seen, last_seen = row
    return Event(
        ref=ObjectRef(**json.loads(ref)),
        type=EventType(kind),
        reason=reason,
        message=message,
        count=count,
        first_seen=first_seen,
        last_seen=last_seen,
    )
