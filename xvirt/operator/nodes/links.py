"""All hosts' links: who shows what, and who wants to know of it. One per operator that leads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

from xvirt.model.errors import XvirtError
from xvirt.model.exchange import Event
from xvirt.operator.nodes.link import LinkOptions, NodeClient, NodeLink
from xvirt.operator.nodes.state import Reach, Session, Sighting
from xvirt.operator.nodes.views import NodeView, ViewKey

log = logging.getLogger(__name__)

N = TypeVar("N", bound=Hashable)

Opener = Callable[[str, str], NodeClient]
"""Host and address (`host:port`) to a client."""


class NodeLinks:
    """Links by host. Every method but `run` returns at once; callbacks may only enqueue keys.

    Any controller may use it: `subscribe` tells of the views of one kind, `sightings` where an object is, `find(host)` gives the link
    with the calls that carry the leader's token.
    """

    def __init__(self, opener: Opener, options: LinkOptions) -> None:
        self._opener = opener
        self._options = options
        self._links: dict[str, NodeLink] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._by_uid: dict[str, set[str]] = {}
        self._by_key: dict[ViewKey, set[str]] = {}
        self._views: dict[str, list[Callable[[NodeView], None]]] = {}
        self._reaches: list[Callable[[str], None]] = []
        self._facts: list[Callable[[str], None]] = []
        self._events: list[Callable[[str, Event], None]] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] | None = None
        self.has_all_hosts = False
        """Whether every host that there is has been asked for (`want`) once."""

    # who is there

    def __iter__(self) -> Iterator[NodeLink]:
        return iter(tuple(self._links.values()))

    def find(self, host: str) -> NodeLink | None:
        """A host's link."""
        return self._links.get(host)

    def reach(self, host: str) -> Reach:
        """How well a host is known at present."""
        link = self._links.get(host)
        return link.reach if link is not None else Reach.UNKNOWN

    def session(self, host: str) -> Session:
        """The life of a host's node that its views are of."""
        link = self._links.get(host)
        return link.session if link is not None else Session()

    @property
    def is_settled(self) -> bool:
        """Whether every host has answered, or is known not to."""
        return self.has_all_hosts and all(link.reach is not Reach.CONNECTING or link.session.number for link in self)

    def sightings(self, uid: str) -> tuple[Sighting, ...]:
        """Where an object is, as it was seen last, by host."""
        found = ((host, self._links[host].views.find(uid)) for host in sorted(self._by_uid.get(uid, ())))
        return tuple(Sighting(host, view) for host, view in found if view is not None)

    def sightings_named(self, key: ViewKey) -> tuple[Sighting, ...]:
        """Where an object of this name is, whatever its uid, by host."""
        found = ((host, self._links[host].views.find_named(key)) for host in sorted(self._by_key.get(key, ())))
        return tuple(Sighting(host, view) for host, view in found if view is not None)

    # who wants to know

    def subscribe(self, kind: str, handler: Callable[[NodeView], None]) -> None:
        """Tell of each view of a kind that changes, comes or goes. A change of reach changes no view: see `subscribe_reach`."""
        self._views.setdefault(kind, []).append(handler)

    def subscribe_reach(self, handler: Callable[[str], None]) -> None:
        """Tell of each host that comes, goes, is found or lost: whatever is placed there may have to be told differently."""
        self._reaches.append(handler)

    def subscribe_facts(self, handler: Callable[[str], None]) -> None:
        """Tell of each host that was asked about itself."""
        self._facts.append(handler)

    def subscribe_events(self, handler: Callable[[str, Event], None]) -> None:
        """Tell of what nodes tell of their objects."""
        self._events.append(handler)

    # which hosts there are

    def want(self, host: str, address: str) -> None:
        """Follow a host from now on; one that moved is followed at its new address. Raises XvirtError for TLS files of no use."""
        known = self._links.get(host)
        if known is not None and known.address == address:
            return
        client = self._opener(host, address)
        if known is not None:
            self.drop(host)
        link = NodeLink(host, address, client, self._options, self)
        self._links[host] = link
        self._tasks[host] = asyncio.get_running_loop().create_task(link.run(), name=f"link-{host}")
        self._tasks[host].add_done_callback(self._ended)
        self.reach_changed(host)

    def drop(self, host: str) -> None:
        """Follow a host no more."""
        link, task = self._links.pop(host, None), self._tasks.pop(host, None)
        if link is None or task is None:
            return
        views = tuple(link.views)
        for view in views:
            self._forget(host, view)
        task.cancel()
        closing = asyncio.get_running_loop().create_task(_end(task, link))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        self._announce(views)
        self.reach_changed(host)

    async def run(self) -> None:
        """Wait for a link that ends by a bug, and raise what ended it; cancelled, end all of them."""
        self._failed = asyncio.get_running_loop().create_future()
        try:
            await self._failed
        finally:
            for host in list(self._links):
                self.drop(host)
            await asyncio.gather(*self._closing, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._failed is None or self._failed.done():
            return
        self._failed.set_exception(task.exception() or RuntimeError(f"{task.get_name()} has ended"))

    # what links tell

    def views_changed(self, host: str, views: Sequence[NodeView]) -> None:
        """Implements `Listener`."""
        link = self._links[host]
        for view in views:
            if link.views.find(view.uid) is None:
                self._forget(host, view)
            else:
                self._by_uid.setdefault(view.uid, set()).add(host)
                self._by_key.setdefault(view.key, set()).add(host)
        self._announce(views)

    def reach_changed(self, host: str) -> None:
        """Implements `Listener`."""
        for handler in self._reaches:
            handler(host)

    def facts_changed(self, host: str) -> None:
        """Implements `Listener`."""
        for handler in self._facts:
            handler(host)

    def event_seen(self, host: str, event: Event) -> None:
        """Implements `Listener`."""
        for handler in self._events:
            handler(host, event)

    def _announce(self, views: Sequence[NodeView]) -> None:
        for view in views:
            for handler in self._views.get(view.key.kind, ()):
                handler(view)

    def _forget(self, host: str, view: NodeView) -> None:
        link = self._links.get(host)
        _discard(self._by_uid, view.uid, host)
        if link is None or link.views.find_named(view.key) is None:
            _discard(self._by_key, view.key, host)


def _discard(index: dict[N, set[str]], name: N, host: str) -> None:
    hosts = index.get(name)
    if hosts is not None:
        hosts.discard(host)
        if not hosts:
            del index[name]


async def _end(task: asyncio.Task[None], link: NodeLink) -> None:
    await asyncio.gather(task, return_exceptions=True)
    try:
        await link.close()
    except XvirtError as error:
        log.info("host %s: %s", link.host, error)
