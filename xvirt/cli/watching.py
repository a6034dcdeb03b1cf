"""`get -w` and `events -w`: a watch that goes on for ever.

A watch begins with a snapshot. The first one is printed as `get` prints it; after a broken stream the next one is compared with what
was printed last, and the difference is printed.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import click

from xvirt.cli.failures import note
from xvirt.cli.place import Events, Place
from xvirt.cli.selector import matches
from xvirt.cli.tables import Columns, lookup, object_rows, to_json, to_yaml
from xvirt.cli.words import short_name
from xvirt.model.errors import Unavailable
from xvirt.model.exchange import ObjectRef, ObjectView, WatchEvent, WatchType
from xvirt.model.kinds import BY_NAME, Kind
from xvirt.model.meta import Scope

RECONNECT_S = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which objects are shown, and how. An empty namespace means all, no names any."""

    kinds: tuple[Kind, ...]
    namespace: str
    names: frozenset[tuple[str, str]] = frozenset()
    selector: str = ""
    output: str | None = None
    has_headings: bool = True

    def fits(self, view: ObjectView) -> bool:
        """Whether an object is one of them."""
        kind = BY_NAME.get(view.ref.kind)
        if kind not in self.kinds or (self.names and (view.ref.kind, view.ref.name) not in self.names):
            return False
        if kind.scope is Scope.NAMESPACED and self.namespace not in ("", view.ref.namespace):
            return False
        return matches(self.selector, lookup(view.document, "metadata.labels") or {})


def watch_for_ever(watch: Callable[[], Events], show: Callable[[WatchEvent | None], None]) -> None:
    """Show each message of a watch; a broken stream starts over with a note, and `None` says so."""
    while True:
        try:
            with watch() as events:
                for event in events:
                    if event.type is not WatchType.HEARTBEAT:
                        show(event)
            note("the watch has ended; watching again")
        except Unavailable as error:
            note(f"{error.message}; watching again")
        show(None)
        time.sleep(RECONNECT_S)


def watch_objects(place: Place, wanted: Wanted) -> None:
    """Print objects, and then what changes."""
    watch_for_ever(lambda: place.watch(wanted.kinds, wanted.namespace), _Screen(wanted).take)


class _Screen:
    """What was printed of each object."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._shown: dict[ObjectRef, str] = {}
        self._columns: dict[str, Columns] = {}
        self._snapshot: list[ObjectView] | None = []

    def take(self, event: WatchEvent | None) -> None:
        """A message of the watch; None where it starts over."""
        if event is None:
            self._snapshot = []
        elif event.type is WatchType.SYNCED:
            self._end_snapshot()
        elif event.object is not None and event.type is WatchType.DELETED:
            self._forget(event.object.ref)
        elif event.object is not None and self._wanted.fits(event.object):
            if self._snapshot is None:
                self._show([event.object])
            else:
                self._snapshot.append(event.object)
        elif event.object is not None:
            self._forget(event.object.ref)

    def _end_snapshot(self) -> None:
        views, self._snapshot = self._snapshot or [], None
        present = {view.ref for view in views}
        for kind in self._wanted.kinds:
            self._show([view for view in views if view.ref.kind == kind.name])
        for ref in [ref for ref in self._shown if ref not in present]:
            self._forget(ref)

    def _show(self, views: Sequence[ObjectView]) -> None:
        texts = {"yaml": to_yaml, "json": to_json}
        make = texts.get(self._wanted.output or "")
        if self._wanted.output == "name":
            lines = [short_name(view.ref) for view in views]
        elif make is not None:
            start = "---\n" if self._wanted.output == "yaml" else ""
            lines = [start + make(view.document).rstrip() for view in views]
        else:
            lines = self._rows(views) if views else []
        for view, line in zip(views, lines, strict=True):
            if self._shown.get(view.ref) != line or self._wanted.output == "name":
                click.echo(line)
            self._shown[view.ref] = line

    def _rows(self, views: Sequence[ObjectView]) -> list[str]:
        kind = BY_NAME[views[0].ref.kind]
        rows = object_rows(
            kind,
            views,
            is_wide=self._wanted.output == "wide",
            with_namespace=not self._wanted.namespace,
            with_kind=len(self._wanted.kinds) > 1,
        )
        if kind.name not in self._columns:
            self._columns[kind.name] = Columns(rows)
            if self._wanted.has_headings:
                click.echo(self._columns[kind.name].line(rows[0]))
        return [self._columns[kind.name].line(row) for row in rows[1:]]

    def _forget(self, ref: ObjectRef) -> None:
        if self._shown.pop(ref, None) is not None:
            click.echo(f"{short_name(ref)} deleted")
