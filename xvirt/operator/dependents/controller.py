"""Reconciles one kind of dependent.

Two queues share it. `reconcile` takes an object and does one write to the API server; `run_errand` takes an object on one host
(`errand_key`) and does one call to that host.
"""

from __future__ import annotations

from collections.abc import Callable

from xvirt.model.errors import XvirtError
from xvirt.operator.dependents.decide import Effect, PutStatus, decide, decide_errand
from xvirt.operator.dependents.gather import DependentParts, Gatherer, HostMemo, Memo
from xvirt.operator.dependents.records import DELETION, Delivery, Scene, Traits
from xvirt.operator.effects import AddFinalizer, ApplyOn, DeleteOn, Refresh, ReleaseFinalizer
from xvirt.operator.kinds import KNOWN, RESOURCES
from xvirt.operator.machines.document import digest_of, document_of
from xvirt.operator.names import FINALIZER
from xvirt.operator.nodes.link import NodeLink
from xvirt.operator.readings import part_of, seen_volumes
from xvirt.operator.runtime.controller import Requeue
from xvirt.operator.runtime.errors import NotFound
from xvirt.operator.runtime.resources import Key, Object, key_of, uid_of, version_of
from xvirt.operator.runtime.writer import StatusWriter

HOLD_S = 3.0
"""Progress and sizes that nobody waits for are told together, this long after the first of them."""
SHOWN_WITHIN_S = 30.0
"""A host's views show what it has taken within this time."""


def errand_key(key: Key, host: str) -> Key:
    """An object on one host. No name holds an `@`."""
    return Key(key.namespace, f"{key.name}@{host}")


class DependentController:
    """Of one kind. `send`: told of each errand that is due; `wake`: told of each object whose errand was run."""

    def __init__(
        self, traits: Traits, parts: DependentParts, send: Callable[[Key], None], wake: Callable[[Key], None]
    ) -> None:
        self._parts = parts
        self._send = send
        self._wake = wake
        self._gatherer = Gatherer(traits, parts)
        self._cache = self._gatherer.cache
        self._resource = RESOURCES[traits.kind]
        self._clock = parts.writes.clock
        self._status = StatusWriter(parts.writes, self._cache, known=KNOWN[traits.kind])

    # an object

    async def reconcile(self, key: Key) -> Requeue | None:
        """One write at most; what is to be asked of hosts is left to their errands."""
        item = self._cache.get(key)
        if item is None:
            return None
        scene, memo = self._gatherer.scene(item), self._gatherer.memo(item)
        times = [time_s for host in scene.places if (time_s := self._plan(scene, host)) is not None]
        effect = decide(scene)
        if isinstance(effect, PutStatus):
            now_s = self._clock.monotonic_s()
            left_s = memo.patience.hold(now_s, HOLD_S, is_urgent=effect.is_urgent)
            if left_s is None:
                await self._tell(effect, item)
            else:
                times.append(now_s + left_s)
        elif effect is not None:
            await self._perform(effect, item, memo)
            times.append(0.0)
        else:
            memo.patience.end()
        return Requeue(max(min(times) - self._clock.monotonic_s(), 0.0)) if times else None

    def _plan(self, scene: Scene, host: str) -> float | None:
        """Have a host asked where something is to be asked; when to look again."""
        errand = decide_errand(scene, host)
        if errand.call is not None:
            self._send(errand_key(Key(scene.item.namespace, scene.item.name), host))
        return errand.look_again_s

    async def _tell(self, effect: PutStatus, item: Object) -> None:
        if await self._status.write(item, effect.status) and effect.left_behind:
            self._parts.teller.tell(item, "Warning", "LeftBehind", effect.left_behind)

    async def _perform(self, effect: Effect, item: Object, memo: Memo) -> None:
        writes, cache = self._parts.writes, self._cache
        match effect:
            case AddFinalizer():
                cache.learn(await writes.add_finalizer(self._resource, item, FINALIZER))
            case ReleaseFinalizer(left_behind):
                if left_behind:
                    self._parts.teller.tell(item, "Warning", "LeftBehind", left_behind, "Delete")
                cache.learn(await writes.remove_finalizer(self._resource, item, FINALIZER))
            case Refresh():
                await self._refresh(item, memo)

    async def _refresh(self, item: Object, memo: Memo) -> None:
        try:
            fresh = await self._parts.writes.get(self._resource, key_of(item))
        except NotFound:
            self._cache.delete(item)
            return
        memo.fresh_version = version_of(fresh)
        self._cache.learn(fresh)

    # an object on one host

    async def run_errand(self, key: Key) -> Requeue | None:
        """One call at most, to the host that the key names."""
        name, _, host = key.name.rpartition("@")
        item, link = self._cache.get(Key(key.namespace, name)), self._parts.links.find(host)
        if item is None or link is None:
            return None
        call = decide_errand(self._gatherer.scene(item), host).call
        known = self._gatherer.memo(item).host(host)
        if isinstance(call, ApplyOn):
            await self._apply(item, link, known)
        elif isinstance(call, DeleteOn):
            await self._delete(item, link, known)
        self._wake(Key(key.namespace, name))
        return None

    async def _apply(self, item: Object, link: NodeLink, known: HostMemo) -> None:
        declared = self._gatherer.declared(item)
        subject, session = digest_of(declared), link.session
        known.is_gone = False
        try:
            await link.apply(
                document_of(declared),
                generation=declared.generation,
                profile=declared.profile,
                seen_volumes=seen_volumes(part_of(item, "status"), link.host),
            )
        except XvirtError as error:
            known.calls.refuse(subject, error, self._clock.monotonic_s())
        else:
            known.calls.succeed()
            known.delivered = Delivery(subject, session, self._clock.monotonic_s() + SHOWN_WITHIN_S)

    async def _delete(self, item: Object, link: NodeLink, known: HostMemo) -> None:
        session = link.session
        try:
            is_there = await link.delete(uid_of(item))
        except XvirtError as error:
            known.calls.refuse(DELETION, error, self._clock.monotonic_s())
        else:
            known.calls.succeed()
            known.is_gone = not is_there
            until_s = self._clock.monotonic_s() + SHOWN_WITHIN_S
            known.delivered = Delivery(DELETION, session, until_s) if is_there else None
