"""YAML whose every scalar is text, read straight from libyaml's events: an XML tree as it was written.

Aliases stand for what their anchor did, as in all YAML; whoever walks the tree bounds what they may grow to.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml._yaml import CParser

from xvirt.model import limits

_STRING = "tag:yaml.org,2002:str"
_NULL = frozenset(("", "~", "null", "Null", "NULL"))


def read_text_tree(text: str) -> Any:
    """The value of the only document; None where there is none. Raises MarkedYAMLError, ReaderError and RecursionError."""
    reader = _Reader(text)
    try:
        return reader.document()
    finally:
        reader.dispose()


class _Reader(CParser):
    """One stream."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._anchors: dict[str, Any] = {}
        self._aliases = 0

    def document(self) -> Any:
        """What stands in the stream."""
        self.get_event()
        value = None
        if not self.check_event(yaml.StreamEndEvent):
            self.get_event()
            value = self._value(self.get_event(), limits.DOCUMENT_MAX_DEPTH * 4)
            self.get_event()
        if not self.check_event(yaml.StreamEndEvent):
            raise _wrong(self.peek_event(), "is another document; one is expected")
        return value

    def _value(self, event: Any, depth: int) -> Any:
        if depth == 0:
            raise RecursionError
        if isinstance(event, yaml.ScalarEvent):
            return self._keep(event, self._scalar(event))
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.tag not in (None, "!"):
            raise _wrong(event, f"tag {event.tag[:80]!r} is not read; remove it")
        return self._list(event, depth) if isinstance(event, yaml.SequenceStartEvent) else self._map(event, depth)

    def _scalar(self, event: Any) -> str | None:
        if event.tag not in (None, "!", _STRING):
            raise _wrong(event, f"tag {event.tag[:80]!r} is not read; remove it")
        text: str = event.value
        return None if not event.style and event.tag is None and text in _NULL else text

    def _list(self, event: Any, depth: int) -> list[Any]:
        found: list[Any] = []
        while not isinstance(item := self.get_event(), yaml.SequenceEndEvent):
            found.append(self._value(item, depth - 1))
        return self._keep(event, found)  # type: ignore[no-any-return]

    def _map(self, event: Any, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(key := self.get_event(), yaml.MappingEndEvent):
            if not isinstance(key, yaml.ScalarEvent):
                raise _wrong(key, "a key must be a string")
            name: str = key.value
            if name in found:
                raise _wrong(key, f"key {name[:80]!r} is given twice")
            if name == "<<":
                raise _wrong(key, "merge keys (<<) are not read; write the fields out")
            found[name] = self._value(self.get_event(), depth - 1)
        return self._keep(event, found)  # type: ignore[no-any-return]

    def _keep(self, event: Any, value: Any) -> Any:
        """What an alias of the event's anchor stands for from now on: not within the value itself."""
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _alias(self, event: Any) -> Any:
        self._aliases += 1
        if self._aliases > limits.YAML_MAX_ALIASES:
            raise _wrong(event, f"has more than {limits.YAML_MAX_ALIASES} aliases")
        if event.anchor not in self._anchors:
            raise _wrong(event, f"alias {event.anchor[:80]!r} stands for nothing that is complete")
        return self._anchors[event.anchor]


def _wrong(event: Any, message: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=message, problem_mark=event.start_mark)
