"""The store's file: made whole or not at all, opened only where it is whole.

A file that SQLite finds damaged, or that holds nothing, is refused with what to do; it is never replaced silently, because an empty
store would forget what users declared.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from xvirt.model.errors import Exhausted, Unavailable

SCHEMA_VERSION = 1
_BUSY_TIMEOUT_S = 10

_SCHEMA = """
CREATE TABLE objects (
  uid TEXT PRIMARY KEY, authority TEXT NOT NULL, kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  document TEXT NOT NULL, generation INTEGER NOT NULL, epoch INTEGER NOT NULL, profile TEXT NOT NULL,
  secrets TEXT NOT NULL, has_secrets INTEGER NOT NULL, secrets_hash TEXT NOT NULL, deletion TEXT NOT NULL,
  status TEXT NOT NULL, run TEXT NOT NULL, UNIQUE (kind, namespace, name)
) STRICT;
CREATE TABLE tombstones (
  uid TEXT PRIMARY KEY, authority TEXT NOT NULL, generation INTEGER NOT NULL, epoch INTEGER NOT NULL,
  sequence INTEGER NOT NULL
) STRICT;
CREATE TABLE operations (
  id TEXT PRIMARY KEY, uid TEXT NOT NULL, sequence INTEGER NOT NULL, body TEXT NOT NULL
) STRICT;
CREATE INDEX operations_by_uid ON operations (uid, sequence);
CREATE TABLE events (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL, ref TEXT NOT NULL, type TEXT NOT NULL,
  reason TEXT NOT NULL, message TEXT NOT NULL, count INTEGER NOT NULL, first_seen TEXT NOT NULL, last_seen TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_uid ON events (uid, reason, message);
CREATE TABLE journal (
  uid TEXT PRIMARY KEY, steps TEXT NOT NULL, started TEXT NOT NULL
) STRICT;
"""


def open_file(path: Path) -> sqlite3.Connection:
    """Open the file, or make it where there is none. Raises Unavailable where it is damaged, empty or of a newer release."""
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    if not path.exists():
        _create(path)
    connection = _connect(path)
    try:
        _check(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise translate(error, path) from error
    return connection


def translate(error: sqlite3.Error, path: Path) -> Exhausted | Unavailable:
    """Ours, from SQLite's: a disk without space and a disk that fails must not be told as a damaged file, which people move away."""
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL:
        return Exhausted(f"no space left for the store {path}; free some, nothing was changed", reason="StoreFull")
    if isinstance(error, sqlite3.OperationalError) or not isinstance(error, sqlite3.DatabaseError):
        return Unavailable(f"the store {path} cannot be used: {error}", reason="StoreUnavailable")
    return Unavailable(
        f"the store {path} cannot be read: {error}; restore it from a backup, or move it away: the documents of machines and"
        " networks are then read back from libvirt, other objects must be applied again",
        reason="StoreDamaged",
    )


def _create(path: Path) -> None:
    """Make the file beside its place, sync it, rename it: a file at its place that lacks its tables was damaged."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite3.connect(partial, isolation_level=None)
    connection.execute("PRAGMA synchronous=FULL")
    connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
    connection.close()
    partial.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _connect(path: Path) -> sqlite3.Connection:
    path.chmod(0o600)
    return sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=_BUSY_TIMEOUT_S)


def _check(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    (check,) = connection.execute("PRAGMA integrity_check").fetchone()
    if check != "ok":
        raise sqlite3.DatabaseError(check)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"written by a newer release (schema {version}, this one knows {SCHEMA_VERSION})")
    if version == 0:
        raise sqlite3.DatabaseError("it is empty")
