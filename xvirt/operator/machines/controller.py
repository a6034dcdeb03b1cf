"""Reconciles VirtualMachines: gathers what is known of one, decides, does one effect.

Whatever an effect changes comes back by a cache or a node's watch and brings the key up again. What only this process knows (what it gave
to whom, what failed and when it is tried again) is in `_Memo`: losing it costs a repeated call, never a wrong one.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence

from xvirt.model.errors import XvirtError
from xvirt.model.exchange import SecretContent
from xvirt.model.machine.status import PowerState
from xvirt.model.secrets import parse_secret
from xvirt.operator.conditions import Status
from xvirt.operator.dependents.references import RequiredHosts
from xvirt.operator.dependents.storage import Storage
from xvirt.operator.effects import AddFinalizer, ApplyOn, DeleteOn, Refresh, ReleaseFinalizer
from xvirt.operator.kinds import KNOWN, VIRTUAL_MACHINES
from xvirt.operator.machines.decide import (
    AdoptOn,
    CreateHolder,
    Decision,
    DiscardHolder,
    PutStatus,
    decide,
    decide_orphans,
    deletion_subject,
)
from xvirt.operator.machines.document import DEFAULT_PROFILE, Declared, digest_of, document_of, secret_names
from xvirt.operator.machines.history import ENTRIES, find_news, read_power
from xvirt.operator.machines.holder import HolderSettings, find_needs, holder_digest, holder_document
from xvirt.operator.machines.outside import OutsideHosts
from xvirt.operator.machines.placing import find_hosts
from xvirt.operator.machines.records import (
    Delivery,
    Holder,
    Machine,
    Scene,
    Wanted,
    read_holder,
    read_machine,
)
from xvirt.operator.machines.secrets import SecretVersions
from xvirt.operator.machines.shapes import BY_MACHINE, secrets_of, unpack
from xvirt.operator.names import FINALIZER, PROFILE_LABEL, VM_UID_LABEL
from xvirt.operator.nodes.link import NodeLink
from xvirt.operator.nodes.links import NodeLinks
from xvirt.operator.nodes.views import ViewKey
from xvirt.operator.readings import seen_volumes
from xvirt.operator.runtime.api import ApiClient
from xvirt.operator.runtime.cache import Cache
from xvirt.operator.runtime.clock import format_time
from xvirt.operator.runtime.controller import Requeue
from xvirt.operator.runtime.errors import AlreadyExists, Forbidden, Invalid, NotFound
from xvirt.operator.runtime.resources import PODS, SECRETS, Key, Object, is_deleting, key_of, uid_of, version_of
from xvirt.operator.runtime.writer import StatusWriter
from xvirt.operator.telling import Teller
from xvirt.operator.troubles import Patience, Tries

log = logging.getLogger(__name__)

KIND = "VirtualMachine"
HOLD_S = 0.5
"""Progress and details that nobody waits for are told together, this long after the first of them."""
LOOK_FOR_ORPHANS_S = 300.0
CLAIM_RETRY_S = 0.1
"""Another machine is about to take a disk of this one to another host: look again once it has."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MachineParts:
    """What the controller works with. `writes` is guarded by the lease, `epoch` its number. `storage`: tells where disks and pools bind
    a machine to."""

    writes: ApiClient
    machines: Cache
    hosts: Cache
    nodes: Cache
    pods: Cache
    namespaces: Cache
    secrets: SecretVersions
    links: NodeLinks
    teller: Teller
    epoch: Callable[[], int]
    settings: HolderSettings
    storage: Storage


@dataclasses.dataclass
class _Memo:
    """What this process remembers of one machine (by uid). `last_power`: the last one that was known; None: none yet."""

    delivered: Delivery | None = None
    is_made: bool = False
    gone_from: frozenset[str] = frozenset()
    calls: Tries = dataclasses.field(default_factory=Tries)
    holders: Tries = dataclasses.field(default_factory=Tries)
    patience: Patience = dataclasses.field(default_factory=Patience)
    fresh_version: str = ""
    last_power: PowerState | None = None


class MachineController:
    """`reconcile` is one step for one key; `follow` says which keys a change brings up."""

    def __init__(self, parts: MachineParts) -> None:
        self._parts = parts
        self._memos: dict[str, _Memo] = {}
        self._clock = parts.writes.clock
        self._status = StatusWriter(parts.writes, parts.machines, known=KNOWN["VirtualMachine"])
        self._outside = OutsideHosts(parts.hosts, parts.nodes, parts.machines)
        parts.machines.subscribe(self._forget)

    def _forget(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or uid_of(new) != uid_of(old)):
            self._memos.pop(uid_of(old), None)
            self._outside.forget(uid_of(old))

    # one step

    async def reconcile(self, key: Key) -> Requeue | None:
        """One effect at most; the time after which to look again."""
        item = self._parts.machines.get(key)
        if item is None:
            return await self._reconcile_orphans(key)
        await self._parts.secrets.know(secrets_of(item))
        item = unpack(self._parts.machines.get(key) or item)
        memo = self._memos.setdefault(uid_of(item), _Memo())
        memo.last_power = read_power(item["status"]) or memo.last_power
        scene = self._scene(item, memo)
        decision = decide(scene)
        if isinstance(decision.effect, PutStatus):
            left_s = memo.patience.hold(self._clock.monotonic_s(), HOLD_S, is_urgent=decision.effect.is_urgent)
            if left_s is not None:
                return Requeue(left_s)
            if not self._parts.storage.claim(item, str(decision.effect.status.get("nodeName") or "")):
                return Requeue(CLAIM_RETRY_S)
            if await self._status.write(item, decision.effect.status):
                self._tell_news(item, decision.effect.status, memo)
            else:
                decision = decide(dataclasses.replace(scene, is_told=True))
        if decision.effect is not None and not isinstance(decision.effect, PutStatus):
            return await self._perform(decision, scene, item, memo)
        if not isinstance(decision.effect, PutStatus):
            memo.patience.end()
        return self._later(decision)

    def _tell_news(self, item: Object, status: Status, memo: _Memo) -> None:
        for news in find_news(item["status"], status, is_made=memo.is_made, last_power=memo.last_power):
            memo.is_made = memo.is_made and news.reason not in ENTRIES
            self._parts.teller.mention(item, news.kind, news.reason, news.message)

    def _later(self, decision: Decision) -> Requeue | None:
        if decision.look_again_s is None:
            return None
        return Requeue(max(decision.look_again_s - self._clock.monotonic_s(), 0.001))

    async def _reconcile_orphans(self, key: Key) -> Requeue | None:
        """Holders whose machine is gone without the operator's leave."""
        pods = self._parts.pods.by_index(BY_MACHINE, str(key))
        if not pods:
            return None
        holders = tuple(read_holder(pod) for pod in pods)
        seen = self._parts.links.sightings_named(ViewKey(KIND, key.namespace, key.name))
        reaches = {holder.host: self._parts.links.reach(holder.host) for holder in holders}
        decision = decide_orphans(holders, seen, reaches)
        if isinstance(decision.effect, DiscardHolder):
            try:  # a cache may be behind: the machine may be new
                await self._parts.writes.get(VIRTUAL_MACHINES, key)
            except NotFound:
                await self._discard(decision.effect.holder)
        return Requeue(LOOK_FOR_ORPHANS_S)

    # what is known

    def _scene(self, item: Object, memo: _Memo) -> Scene:
        machine = read_machine(item)
        links = self._parts.links
        namespace = self._parts.namespaces.get(Key("", machine.namespace))
        holders = tuple(
            read_holder(pod)
            for pod in self._parts.pods.by_index(BY_MACHINE, f"{machine.namespace}/{machine.name}")
            if (pod["metadata"].get("labels") or {}).get(VM_UID_LABEL) == machine.uid
        )
        required = self._parts.storage.required(item)
        sightings = links.sightings(machine.node_uid)
        named = links.sightings_named(ViewKey(KIND, machine.namespace, machine.name))
        hosts = {machine.recorded_host, *(holder.host for holder in holders), *(seen.host for seen in sightings)} - {""}
        return Scene(
            machine=machine,
            holders=holders,
            sightings=sightings,
            namesakes=tuple(seen for seen in named if seen.view.uid != machine.node_uid),
            outside=self._outside.look(machine, item),
            reaches={host: links.reach(host) for host in hosts},
            sessions={host: links.session(host) for host in hosts},
            wanted=self._wanted(machine, holders, required),
            required=required,
            epoch=self._parts.epoch(),
            is_settled=links.is_settled,
            is_namespace_ending=namespace is not None and is_deleting(namespace),
            is_fresh=memo.fresh_version == machine.version,
            delivered=memo.delivered,
            gone_from=memo.gone_from,
            call_trouble=memo.calls.trouble,
            holder_trouble=memo.holders.trouble,
            now=format_time(self._clock.wall()),
            now_s=self._clock.monotonic_s(),
        )

    def _wanted(self, machine: Machine, holders: tuple[Holder, ...], required: RequiredHosts) -> Wanted:
        declared = self._declared(machine)
        problem: XvirtError | None = None
        holds = holder = ""
        try:
            holds = find_needs(machine.spec, self._parts.settings).size
            if any(not each.host for each in holders):
                pin, hosts = machine.recorded_host, find_hosts(required)
                holder = holder_digest(machine, self._parts.settings, pin=pin, hosts=() if pin else hosts)
        except XvirtError as error:
            problem = error
        return Wanted(
            holds=holds,
            holder=holder,
            digest=digest_of(declared),
            has_secrets=bool(declared.secrets),
            profile=declared.profile,
            problem=problem,
        )

    def _declared(self, machine: Machine) -> Declared:
        namespace = self._parts.namespaces.get(Key("", machine.namespace))
        labels = (namespace["metadata"].get("labels") or {}) if namespace is not None else {}
        names = secret_names(KIND, machine.spec)
        versions = {name: self._parts.secrets.get(Key(machine.namespace, name)) for name in names}
        return Declared(
            kind=KIND,
            namespace=machine.namespace,
            name=machine.name,
            node_uid=machine.node_uid,
            generation=machine.generation,
            labels=machine.labels,
            spec=machine.spec,
            profile=labels.get(PROFILE_LABEL) or DEFAULT_PROFILE,
            secrets=versions,
        )

    # effects

    async def _perform(self, decision: Decision, scene: Scene, item: Object, memo: _Memo) -> Requeue | None:
        effect, writes = decision.effect, self._parts.writes
        match effect:
            case AddFinalizer():
                self._parts.machines.learn(await writes.add_finalizer(VIRTUAL_MACHINES, item, FINALIZER))
            case ReleaseFinalizer(left_behind):
                if left_behind:
                    self._parts.teller.tell(item, "Warning", "LeftBehind", left_behind, "Delete")
                self._parts.machines.learn(await writes.remove_finalizer(VIRTUAL_MACHINES, item, FINALIZER))
            case CreateHolder():
                await self._create_holder(effect, scene, memo)
            case DiscardHolder(holder):
                await self._discard(holder)
            case ApplyOn() | AdoptOn():
                await self._deliver(effect, scene, memo)
            case DeleteOn():
                await self._delete(effect, scene, memo)
            case Refresh():
                fresh = await writes.get(VIRTUAL_MACHINES, key_of(item))
                memo.fresh_version = version_of(fresh)
                self._parts.machines.learn(fresh)
        return Requeue(0.0)

    async def _create_holder(self, effect: CreateHolder, scene: Scene, memo: _Memo) -> None:
        document = holder_document(
            scene.machine, self._parts.settings, pin=effect.pin, hosts=effect.hosts, spent=effect.spent
        )
        try:
            made = await self._parts.writes.create(PODS, document)
        except AlreadyExists:
            made = await self._parts.writes.get(PODS, key_of(document))
            if (made["metadata"].get("labels") or {}).get(VM_UID_LABEL) != scene.machine.uid:
                message = f"pod {document['metadata']['name']} is in the way of the machine's own; remove or rename it"
                memo.holders.fail("holder", "HolderRefused", message, self._clock.monotonic_s())
                return
        except (Forbidden, Invalid) as error:
            memo.holders.fail("holder", "HolderRefused", error.message, self._clock.monotonic_s())
            return
        memo.holders.succeed()
        self._parts.pods.learn(made)

    async def _discard(self, holder: Holder) -> None:
        """First the finalizer, whose version is known; then the pod, at once: its container waits for no signal."""
        key = Key(holder.namespace, holder.name)
        item = self._parts.pods.get(key)
        if item is None or uid_of(item) != holder.uid:
            return
        writes = self._parts.writes
        try:
            if holder.has_finalizer:
                item = await writes.remove_finalizer(PODS, item, FINALIZER)
                self._parts.pods.learn(item)
            await writes.delete(PODS, item, grace_s=0)
        except NotFound:
            pass
        self._parts.pods.delete(item)

    async def _deliver(self, effect: ApplyOn | AdoptOn, scene: Scene, memo: _Memo) -> None:
        link = self._parts.links.find(effect.host)
        if link is None:
            return
        declared = self._declared(scene.machine)
        subject = digest_of(declared)
        delivery = Delivery(subject, link.session)
        if isinstance(effect, ApplyOn) and not scene.machine.status.get("uuid"):
            memo.is_made = scene.view_on(effect.host) is None or memo.is_made
        try:
            await self._give(effect, link, declared, seen_volumes(scene.machine.status, effect.host))
        except XvirtError as error:
            memo.calls.refuse(subject, error, self._clock.monotonic_s())
            return
        memo.delivered = delivery
        memo.calls.succeed()

    async def _give(
        self, effect: ApplyOn | AdoptOn, link: NodeLink, declared: Declared, volumes: Sequence[str]
    ) -> None:
        document, generation, profile = document_of(declared), declared.generation, declared.profile
        secrets = await self._read_secrets(declared)
        if isinstance(effect, ApplyOn):
            await link.apply(document, generation=generation, profile=profile, secrets=secrets, seen_volumes=volumes)
            return
        uuid = effect.domain_uuid
        await link.adopt(document, generation=generation, profile=profile, domain_uuid=uuid, secrets=secrets)

    async def _read_secrets(self, declared: Declared) -> list[SecretContent]:
        """Of those that there are; their content is kept nowhere."""
        found = []
        for name in declared.secrets:
            try:
                found.append(parse_secret(await self._parts.writes.get(SECRETS, Key(declared.namespace, name))))
            except NotFound:
                continue
        return found

    async def _delete(self, effect: DeleteOn, scene: Scene, memo: _Memo) -> None:
        link = self._parts.links.find(effect.host)
        if link is None:
            return
        subject = deletion_subject(effect.host, scene.machine)
        session = link.session
        try:
            is_there = await link.delete(effect.uid, generation=scene.machine.generation, is_forced=effect.is_forced)
        except XvirtError as error:
            memo.calls.refuse(subject, error, self._clock.monotonic_s())
            return
        memo.calls.succeed()
        memo.delivered = Delivery(subject, session)
        if not is_there:
            memo.gone_from |= {effect.host}
