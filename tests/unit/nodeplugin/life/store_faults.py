"""What can happen to the store's file."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from nodeplugin.store import Store
from tests.unit.nodeplugin.life.served import ServedWorld
from xvirt.model.errors import Unavailable


class FullConnection:
    """SQLite's, on a disk without space: what was written meets it with its commit (tests/contract/full_store.py has a real one)."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.real = connection
        self.refusals = 0
        self._changes = connection.total_changes

    def execute(self, sql: str, *values: Any) -> Any:
        if sql == "COMMIT" and self.real.total_changes != self._changes:
            self.refusals += 1
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        if sql == "BEGIN IMMEDIATE":
            self._changes = self.real.total_changes
        return self.real.execute(sql, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def fill(store: Store) -> None:
    """No space is left."""
    store._connection = FullConnection(store._connection)  # type: ignore[assignment]


def free(store: Store) -> int:
    """There is space again. How many commits had none."""
    full: Any = store._connection
    if not isinstance(full, FullConnection):  # a new process has opened the file anew
        return 0
    store._connection = full.real
    return full.refusals


def truncate(world: ServedWorld) -> bool:
    """The process ends, and the file is cut in its middle. Whether a new one is refused it, as it must be; else the life goes on."""
    world.die()
    path = world.directory / "store.db"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size // 2)
    with pytest.raises(Unavailable, match="move it away"):
        Store(path)
    return True


def lose(world: ServedWorld) -> None:
    """The file is gone, or moved away by somebody who was told to, and the process starts anew."""
    world.die()
    for path in world.directory.glob("store.db*"):
        path.unlink()
    world.restart()
