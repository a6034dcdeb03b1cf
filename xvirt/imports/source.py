"""Reading a strange document so that nothing of it is lost without a word.

Whoever reads takes what it understands; what is left at the end was not understood, and is told by its path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.quantity import ByteSize
from xvirt.model.wording import join, show

NO_COUNTERPART = "has no counterpart in xVirt"


class Ledger:
    """What a document's reader said of it."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        """Whose document it is, for messages: `VirtualMachine default/web`."""
        self.unmapped: list[Problem] = []
        """What did not come over, and what to do about it."""
        self.notes: list[Problem] = []
        """What came over, but is not quite the same."""
        self._entered: list[Source] = []

    def open(self, value: Any, path: str = "") -> Source:
        """Begin to read a map. Raises InvalidSpec where it is none."""
        if not isinstance(value, Mapping):
            raise InvalidSpec([Problem(path, f"must be a map, not {show(value)}")], self.subject)
        source = Source(value, path, self)
        self._entered.append(source)
        return source

    def note(self, path: str, message: str, remedy: str = "") -> None:
        """Something came over with another meaning."""
        self.notes.append(Problem(path, message, remedy))

    def miss(self, path: str, message: str = NO_COUNTERPART, remedy: str = "") -> None:
        """Something did not come over."""
        self.unmapped.append(Problem(path, message, remedy))

    def close(self) -> None:
        """Tell all that nobody took. Call it once, when all is read."""
        for source in self._entered:
            for key in source.left():
                self.miss(join(source.path, key))
        self._entered = []
        self.unmapped = sorted(set(self.unmapped))


class Source:
    """One map of a document. A value counts as read once it was taken or entered; null is nothing, as in Kubernetes."""

    def __init__(self, value: Mapping[str, Any], path: str, ledger: Ledger) -> None:
        self._value = value
        self._taken: set[str] = set()
        self._children: dict[str, Source] = {}
        self.path = path
        self.ledger = ledger

    def __contains__(self, key: str) -> bool:
        return self._value.get(key) is not None

    def at(self, key: str) -> str:
        """The path of one of its keys."""
        return join(self.path, key)

    def names(self) -> list[str]:
        """Keys that have a value, taken or not."""
        return [str(key) for key, value in self._value.items() if value is not None]

    def left(self) -> list[str]:
        """Keys with a value that nobody took."""
        return [key for key in self.names() if key not in self._taken]

    def take(self, key: str) -> Any:
        """The whole value, or None."""
        self._taken.add(key)
        return self._value.get(key)

    def text(self, key: str) -> str | None:
        """A scalar as text, or None. Raises InvalidSpec where it is a map or a list."""
        value = self.take(key)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        raise self._wrong(key, "text", value)

    def integer(self, key: str) -> int | None:
        """A whole number, also where it was written as text. Raises InvalidSpec for anything else."""
        value = self.take(key)
        if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
            return int(value)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise self._wrong(key, "a whole number", value)

    def size(self, key: str) -> ByteSize | None:
        """A quantity of bytes, or None. Raises InvalidSpec for anything else."""
        text = self.text(key)
        try:
            return None if text is None else ByteSize(text)
        except ValueError as error:
            raise self.refuse(key, str(error)) from error

    def strings(self, key: str) -> dict[str, str]:
        """A map of texts, empty where there is none. Raises InvalidSpec where it is no map."""
        value = self.take(key)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self._wrong(key, "a map", value)
        return {str(name): str(item) for name, item in value.items()}

    def flag(self, key: str) -> bool | None:
        """True, False, or None where it is not there. Raises InvalidSpec for anything else."""
        value = self.take(key)
        if isinstance(value, str) and value.lower() in ("true", "false", "yes", "no", ""):
            return value.lower() in ("true", "yes") if value else None
        if value is None or isinstance(value, bool):
            return value
        raise self._wrong(key, "true or false", value)

    def enter(self, key: str) -> Source:
        """The map below a key, empty where there is none; the same one each time. Raises InvalidSpec where it is no map."""
        if key not in self._children:
            value = self.take(key)
            self._children[key] = self.ledger.open({} if value is None else value, self.at(key))
        return self._children[key]

    def each(self, key: str) -> list[Source]:
        """The maps of the list below a key. Raises InvalidSpec where it is no list of maps."""
        value = self.take(key)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise self._wrong(key, "a list", value)
        return [self.ledger.open(item, join(self.at(key), number)) for number, item in enumerate(value)]

    def take_all(self) -> None:
        """Count every key as read: the whole was told, or says nothing."""
        self._taken.update(self.names())
        for child in self._children.values():
            child.take_all()

    def miss(self, key: str, message: str = NO_COUNTERPART, remedy: str = "") -> None:
        """Take a value that does not come over, with a better reason than that nobody took it. Nothing where it is not there."""
        if self.take(key) is not None:
            self.ledger.miss(self.at(key), message, remedy)

    def note(self, key: str, message: str, remedy: str = "") -> None:
        """Say how a value came over."""
        self.ledger.note(self.at(key), message, remedy)

    def refuse(self, key: str, message: str) -> InvalidSpec:
        """What to raise where a value cannot be read."""
        return InvalidSpec([Problem(self.at(key), message)], self.ledger.subject)

    def _wrong(self, key: str, wanted: str, value: Any) -> InvalidSpec:
        return InvalidSpec([Problem(self.at(key), f"must be {wanted}, not {show(value)}")], self.ledger.subject)
