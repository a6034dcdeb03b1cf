"""What every command has at hand: the node, the namespace, where to print."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator

import click

from xvirt.client.blocking import NodeClient
from xvirt.client.target import Target
from xvirt.model.errors import InvalidSpec, Problem
from xvirt.model.exchange import ObjectRef
from xvirt.model.kinds import KINDS, Kind, find_kind
from xvirt.model.meta import Scope


@dataclasses.dataclass
class Session:
    """Options that come before the command."""

    target: Target
    namespace: str
    timeout_s: float

    @contextlib.contextmanager
    def connect(self) -> Iterator[NodeClient]:
        """The node's client."""
        with NodeClient(self.target) as client:
            yield client


pass_session = click.make_pass_decorator(Session)


def parse_kind(word: str) -> Kind:
    """The kind that a word means. Raises InvalidSpec."""
    kind = find_kind(word)
    if kind is None:
        known = ", ".join(f"{item.plural} ({item.short_names[0]})" for item in KINDS)
        raise InvalidSpec([Problem("", f"{word!r} is no kind", f"use one of {known}")])
    return kind


def parse_refs(session: Session, words: tuple[str, ...], default_kind: str = "") -> list[ObjectRef]:
    """`KIND NAME...`, `KIND/NAME...`, or with a default kind `NAME...`. Raises InvalidSpec."""
    if not words:
        raise InvalidSpec([Problem("", "nothing is named", "give KIND NAME or KIND/NAME")])
    refs: list[ObjectRef] = []
    kind = find_kind(default_kind) if default_kind else None
    for number, word in enumerate(words):
        head, slash, name = word.partition("/")
        if slash:
            refs.append(make_ref(session, parse_kind(head), name))
        elif number == 0 and (kind is None or (len(words) > 1 and find_kind(word))):
            kind = parse_kind(word)
        elif kind is not None:
            refs.append(make_ref(session, kind, word))
    if not refs:
        raise InvalidSpec([Problem("", f"{words[0]}: no name is given", f"write {words[0]} NAME")])
    return refs


def make_ref(session: Session, kind: Kind, name: str) -> ObjectRef:
    """An object of a kind in the session's namespace."""
    namespace = "" if kind.scope is Scope.CLUSTER else session.namespace
    return ObjectRef(kind=kind.name, namespace=namespace, name=name)


def short_name(ref: ObjectRef) -> str:
    """`virtualmachine/web`, as kubectl writes it."""
    return f"{ref.kind.lower()}/{ref.name}"


def note(text: str) -> None:
    """A line for people, beside the output."""
    print(text, file=sys.stderr)
