"""What every command has at hand: the node, the namespace."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from xvirt.cli.manifests import SecretsAre
from xvirt.cli.node_place import NodePlace
from xvirt.cli.place import Place
from xvirt.cli.selector import matches
from xvirt.cli.tables import lookup
from xvirt.cli.words import WrongWords, check_name, parse_kind, parse_refs
from xvirt.client.blocking import NodeClient
from xvirt.client.target import make_target
from xvirt.model.errors import InvalidSpec
from xvirt.model.exchange import Detail, ObjectRef, ObjectView
from xvirt.model.kinds import Kind
from xvirt.model.meta import DEFAULT_NAMESPACE, Scope
from xvirt.wire.limits import UNARY_TIMEOUT_S

if TYPE_CHECKING:
    from xvirt.operator.runtime.access import Access


@dataclasses.dataclass
class Session:
    """The options that all commands have. The place is looked for where one is needed: `explain` needs none."""

    asked_namespace: str = ""
    timeout_s: float = UNARY_TIMEOUT_S
    address: str = ""
    node_name: str = ""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    cluster: bool = False
    kubeconfig: str = ""
    context: str = ""
    is_node_named: bool = False
    """By the command line itself: the environment's node counts less than kubectl's cluster."""
    is_plugin: bool = False
    """Called by kubectl: whoever does so means the cluster."""

    @property
    def is_in_cluster(self) -> bool:
        """Whether a cluster is meant. Raises WrongWords where a node is named, too."""
        is_named = self.cluster or bool(self.kubeconfig or self.context)
        if is_named and self.is_node_named:
            raise WrongWords("--node and --cluster name two places; give one of them")
        return is_named or (self.is_plugin and not self.is_node_named)

    @property
    def secrets_are(self) -> SecretsAre:
        """What becomes of Secret documents there."""
        return SecretsAre.OBJECTS if self.is_in_cluster else SecretsAre.BESIDE

    @functools.cached_property
    def namespace(self) -> str:
        """The namespace that is named, else the one of the kubeconfig's context, as for kubectl, else `default`."""
        if self.asked_namespace or not self.is_in_cluster:
            return self.asked_namespace or DEFAULT_NAMESPACE
        return check_name(self._access.namespace, "the kubeconfig's namespace")

    @functools.cached_property
    def _access(self) -> Access:
        found: Access = _cluster_packages().access.find(self.kubeconfig, self.context)
        return found

    @contextlib.contextmanager
    def connect(self) -> Iterator[Place]:
        """The place to ask. Raises WrongWords for an address or files that cannot be used."""
        if self.is_in_cluster:
            with _cluster_packages().place.open_place(self._access) as place:
                yield place
            return
        with self._connect_node() as place:
            yield place

    @contextlib.contextmanager
    def connect_node(self, command: str) -> Iterator[NodePlace]:
        """A node, for what only a node has. Raises WrongWords as `connect`, and where a cluster is meant."""
        if self.is_in_cluster:
            raise WrongWords(f"{command} asks one host's node, not a cluster; name the node by --node")
        with self._connect_node() as place:
            yield place

    @contextlib.contextmanager
    def _connect_node(self) -> Iterator[NodePlace]:
        try:
            target = make_target(self.address, self.node_name, (self.tls_ca, self.tls_cert, self.tls_key))
            client = NodeClient(target)
        except InvalidSpec as error:
            raise WrongWords(error.message) from error
        with client:
            yield NodePlace(client)


def _cluster_packages() -> Any:
    """Imported only where a cluster is meant: half a second, and packages that a host does not need."""
    try:
        from xvirt.cli import cluster
        from xvirt.cli.cluster import access, place
    except ImportError as error:
        raise WrongWords(f"--cluster needs packages that are missing ({error.name}); install xvirt[cluster]") from error
    del access, place
    return cluster


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
