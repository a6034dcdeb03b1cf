"""What every command has at hand: the node, the namespace."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import click

from xvirt.cli.node_place import NodePlace
from xvirt.cli.place import Place
from xvirt.cli.selector import matches
from xvirt.cli.tables import lookup
from xvirt.cli.words import WrongWords, parse_kind, parse_refs
from xvirt.client.blocking import NodeClient
from xvirt.client.target import make_target
from xvirt.model.errors import InvalidSpec
from xvirt.model.exchange import Detail, ObjectRef, ObjectView
from xvirt.model.kinds import Kind
from xvirt.model.meta import Scope
from xvirt.wire.limits import UNARY_TIMEOUT_S


@dataclasses.dataclass
class Session:
    """The options that all commands have. The node is looked for where one is needed: `explain` needs none."""

    namespace: str = "default"
    timeout_s: float = UNARY_TIMEOUT_S
    address: str = ""
    node_name: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""

    @contextlib.contextmanager
    def connect(self) -> Iterator[Place]:
        """The place to ask. Raises WrongWords for an address or files that cannot be used."""
        with self.connect_node() as place:
            yield place

    @contextlib.contextmanager
    def connect_node(self) -> Iterator[NodePlace]:
        """A node, for what only a node has. Raises WrongWords as `connect`."""
        try:
            target = make_target(self.address, self.node_name, (self.tls_ca, self.tls_cert, self.tls_key))
            client = NodeClient(target)
        except InvalidSpec as error:
            raise WrongWords(error.message) from error
        with client:
            yield NodePlace(client)


pass_session = click.make_pass_decorator(Session)


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which objects of a kind, where they are not named: those with labels, or all."""

    selector: str = ""
    is_all: bool = False

    def __bool__(self) -> bool:
        return bool(self.selector) or self.is_all


def list_kind(
    place: Place, kind: Kind, namespace: str, selector: str = "", detail: Detail = Detail.WHOLE
) -> list[ObjectView]:
    """Objects of a kind; an empty namespace means all."""
    views = place.list_objects(kind.name, "" if kind.scope is Scope.CLUSTER else namespace, detail)
    return [view for view in views if matches(selector, lookup(view.document, "metadata.labels") or {})]


def choose_refs(
    session: Session, place: Place, words: tuple[str, ...], selection: Selection, default_kind: str = ""
) -> list[ObjectRef]:
    """The objects that a command means, by name or by selection. Raises WrongWords."""
    if not selection:
        return parse_refs(session.namespace, words, default_kind)
    kinds = words or (default_kind,)
    if len(kinds) != 1 or "/" in kinds[0] or not kinds[0]:
        raise WrongWords("-l and --all go with a kind and without names: KIND -l a=b")
    found: list[ObjectRef] = []
    for word in kinds[0].split(","):
        views = list_kind(place, parse_kind(word), session.namespace, selection.selector, Detail.STATE)
        found += [dataclasses.replace(view.ref, uid="", authority="") for view in views]
    return found
