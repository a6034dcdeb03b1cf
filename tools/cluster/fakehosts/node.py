"""A node plugin in memory: `nodeplugin.api.NodeApi`, for one thread. What Apply checks and in which order is as in
`nodeplugin.service`, but for policy on the final XML, which only a real node has.
"""

from __future__ import annotations

import dataclasses
import enum
import uuid as uuids
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nodeplugin.admission import check_changes, resolve_profile, resolve_token
from nodeplugin.clock import Clock, SystemClock
from nodeplugin.converge.hub import may_see
from nodeplugin.converge.operations import check_verb, request_change
from nodeplugin.hypervisor.port import ConsoleStream
from nodeplugin.images.port import Upload
from nodeplugin.plan.outcome import kept_message
from nodeplugin.records import Deletion, RunRecord, StoredObject
from nodeplugin.store import Tombstone
from tools.cluster.fakehosts.answers import (
    DEFAULT_SIZE,
    Size,
    check_kind,
    check_namespace,
    describe_host,
    pick_secrets,
    without_spec,
)
from tools.cluster.fakehosts.domains import Domain, first_domain, move, strategy_of
from tools.cluster.fakehosts.faults import HostFaults
from tools.cluster.fakehosts.readers import Reader, Readers
from tools.cluster.fakehosts.references import needs_of, obstacles_of
from tools.cluster.fakehosts.statuses import Seen, describe
from tools.cluster.fakehosts.volumes import Volumes, path_of, volumes_of
from xvirt.model.authority import is_served, only_one
from xvirt.model.codec import parse, to_document
from xvirt.model.errors import Conflict, Forbidden, InvalidSpec, NotFound, Problem, Refused, Unsupported
from xvirt.model.exchange import (
    AdoptCall,
    ApplyCall,
    ApplyResult,
    Caller,
    Description,
    Detail,
    DryRun,
    Event,
    EventType,
    ForeignDomain,
    NodeDescription,
    ObjectRef,
    ObjectView,
    OperateCall,
    Operation,
    OperationState,
    Orphan,
    Token,
    Verb,
    WatchType,
)
from xvirt.model.kinds import BY_NAME
from xvirt.model.meta import DEFAULT_NAMESPACE, Scope
from xvirt.model.quantity import ByteSize
from xvirt.model.values import encode

MACHINE = "VirtualMachine"


class Judgement(enum.Enum):
    """How documents are looked at: as a node does it, or hardly, which is some fifty times quicker."""

    WHOLE = "whole"
    SHAPE = "shape"


Later = Callable[[float, Callable[[], None]], object]


def _at_once(_delay_s: float, act: Callable[[], None]) -> None:
    act()


class FakeNode:
    """One host. `later(delay_s, act)` is how time passes; without it everything has happened when a call returns."""

    def __init__(
        self,
        name: str,
        authorities: tuple[str, ...],
        *,
        judgement: Judgement = Judgement.WHOLE,
        size: Size = DEFAULT_SIZE,
        faults: HostFaults | None = None,
        later: Later = _at_once,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.faults = faults or HostFaults()
        self._authorities = authorities
        self._judgement = judgement
        self._size = size
        self._later = later
        self._clock = clock or SystemClock()
        self._objects: dict[str, StoredObject] = {}
        self._names: dict[tuple[str, str, str], str] = {}
        self._tombstones: dict[str, Tombstone] = {}
        self._domains: dict[str, Domain] = {}
        self._operations: dict[str, Operation] = {}
        self._volumes = Volumes()
        self._readers = Readers(str(uuids.uuid4()))

    # what tests do behind its back

    def restart(self) -> None:
        """The plugin's process comes anew: another boot id. What it had stored is there."""
        self._readers = Readers(str(uuids.uuid4()))

    def reboot(self) -> None:
        """The host comes anew: no machine runs until the plugin has started it again."""
        self._domains = {uid: domain.off("destroyed") for uid, domain in self._domains.items()}
        self.restart()
        for stored in list(self._objects.values()):
            self._settle(stored.uid)

    def guest_poweroff(self, uid: str) -> None:
        """A guest shuts itself down; its strategy decides what follows."""
        self._domains[uid] = self._domains[uid].off("shutdown")
        self._settle(uid)

    def release(self, uid: str) -> None:
        """A deletion that was held goes on."""
        self._finish_deletion(uid)

    def running(self) -> set[str]:
        """UUIDs of domains that run: of machines, and of those that were released."""
        return {uid for uid, domain in self._domains.items() if domain.record.is_active}

    def volumes(self) -> frozenset[str]:
        """Names of the files in its pools."""
        return self._volumes.names

    def holds(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """uid to spec of the objects of a kind."""
        return {uid: item.document["spec"] for uid, item in self._objects.items() if item.kind == kind}

    # Apply

    def apply(self, caller: Caller, call: ApplyCall) -> ApplyResult:
        kind, metadata, document = self._read(call.document)
        if kind == "VirtualHost":
            raise Refused("a VirtualHost is reported by its node; a node plugin stores none", reason="ReadOnlyKind")
        authority = self._authority(caller, call.token)
        namespace, name, uid = metadata.get("namespace") or "", metadata["name"], metadata.get("uid")
        check_namespace(caller, namespace)
        profile = resolve_profile(caller, call.profile)
        old = self._find_existing((kind, namespace, name), uid, authority)
        secrets, secrets_hash = pick_secrets(call)
        is_same = (
            old is not None and document == old.document and (secrets_hash, profile) == (old.secrets_hash, old.profile)
        )
        token = dataclasses.replace(call.token, if_generation=-1) if is_same else call.token
        uid = old.uid if old else uid or str(uuids.uuid4())
        generation, epoch = resolve_token(
            token, metadata.get("generation"), old, self._tombstone(uid, authority), is_same=is_same
        )
        changes = check_changes(kind, old, document) if self._judgement is Judgement.WHOLE else ()
        stored = StoredObject(
            uid=uid,
            authority=authority,
            kind=kind,
            namespace=namespace,
            name=name,
            document=document,
            generation=generation,
            epoch=epoch,
            profile=profile,
            secrets=secrets,
            secrets_hash=secrets_hash,
            status=old.status if old else {},
            run=old.run if old else RunRecord(),
        )
        waiting = tuple(item.message for item in obstacles_of(stored, self._has))
        if call.dry_run is DryRun.NONE:
            self._put(stored)
            self._tell(stored)
            self._soon(uid)
            if kind != MACHINE:
                self._settle_unready()
        return ApplyResult(object=stored.view(), changes=changes, waiting_for=waiting)

    def _read(self, document: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], dict[str, Any]]:
        """Kind, metadata with namespace, and the document as it is stored."""
        if self._judgement is Judgement.WHOLE:
            resource = parse(document)
            metadata = {**encode(resource.metadata), "namespace": resource.metadata.namespace}
            normal = to_document(resource)
        else:
            kind, metadata = str(document["kind"]), {**document["metadata"]}
            is_cluster = BY_NAME[kind].scope is Scope.CLUSTER
            metadata["namespace"] = "" if is_cluster else metadata.get("namespace") or DEFAULT_NAMESPACE
            normal = {key: document[key] for key in ("apiVersion", "kind")} | {"spec": document.get("spec") or {}}
            normal["metadata"] = {key: value for key, value in metadata.items() if value}
        kept = {key: value for key, value in normal["metadata"].items() if key not in ("uid", "generation")}
        return str(document["kind"]), metadata, {**normal, "metadata": kept}

    def _authority(self, caller: Caller, token: Token) -> str:
        authority = token.authority or only_one(caller.authorities)
        if not authority:
            raise Forbidden(f"{caller.name} has several authorities; name one of {', '.join(caller.authorities)}")
        if not is_served(caller.authorities, authority):
            raise Forbidden(f"{caller.name} may not act for authority {authority}; the node's config maps clients")
        if not is_served(self._authorities, authority):
            message = f"node {self.name} does not serve authority {authority}; add it to `authorities` in its config"
            raise Forbidden(message, reason="AuthorityNotServed")
        return authority

    def _find_existing(self, key: tuple[str, str, str], uid: str | None, authority: str) -> StoredObject | None:
        found = self._objects.get(self._names.get(key, ""))
        if found is None:
            same = self._objects.get(uid or "")
            if same is not None:
                message = f"uid {uid} belongs to {same.key}; an object's name never changes"
                raise Conflict(message, reason="UidTaken")
            return None
        if found.authority != authority:
            message = f"{found.key} is owned by authority {found.authority}, not {authority}"
            raise Conflict(f"{message}; delete it there or rename this one", reason="OwnedByAnother")
        if found.deletion is not Deletion.NONE:
            raise Conflict(f"{found.key} is being deleted; apply again once it is gone", reason="Deleting")
        if uid is not None and uid != found.uid:
            message = f"{found.key} is stored with uid {found.uid}, this one has {uid}; delete the old one first"
            raise Conflict(message, reason="UidDiffers")
        return found

    # Delete

    def delete(self, caller: Caller, ref: ObjectRef, token: Token, *, force: bool) -> ObjectView:
        try:
            stored = self._own(caller, ref)
        except NotFound:
            self._bury(caller, ref, token)
            raise
        resolve_token(token, None, stored, None, is_same=True)
        deletion = Deletion.FORCED if force else stored.deletion
        if deletion is Deletion.NONE:
            deletion = Deletion.GRACEFUL
        epoch, generation = max(stored.epoch, token.epoch), max(stored.generation, token.generation)
        marked = dataclasses.replace(stored, deletion=deletion, epoch=epoch, generation=generation)
        self._put(marked)
        self._settle(marked.uid)
        view = self._objects[marked.uid].view()
        if not (self.faults.does_hold_deletions and stored.kind == MACHINE and not force):
            self._later(0.0, lambda: self._finish_deletion(marked.uid))
        return view

    def _tombstone(self, uid: str, authority: str) -> Tombstone | None:
        found = self._tombstones.get(uid)
        return found if found is not None and found.authority == authority else None

    def _bury(self, caller: Caller, ref: ObjectRef, token: Token) -> None:
        known = self._tombstones.get(ref.uid)
        is_newer = known is None or (known.epoch, known.generation) < (token.epoch, token.generation)
        if token.epoch and ref.uid and ref.uid not in self._objects and is_newer:
            self._tombstones[ref.uid] = Tombstone(self._authority(caller, token), token.epoch, token.generation)

    def _finish_deletion(self, uid: str) -> None:
        stored = self._objects.get(uid)
        if stored is None or stored.deletion is Deletion.NONE:
            return
        if self._users(stored):
            if self._domains.pop(uid, None) is not None:
                self._settle(uid)
            return
        self._let_go(stored)
        del self._objects[uid]
        del self._names[stored.kind, stored.namespace, stored.name]
        self._tombstones[uid] = Tombstone(stored.authority, stored.epoch, stored.generation)
        self._readers.tell(WatchType.DELETED, stored.ref, object=stored.view())
        for other in list(self._objects.values()):
            if other.deletion is not Deletion.NONE and (other.kind != MACHINE or not self.faults.does_hold_deletions):
                self._finish_deletion(other.uid)

    def _let_go(self, stored: StoredObject) -> None:
        """Domain and volumes go or stay, and what stays is told."""
        if stored.kind == MACHINE and stored.document["spec"].get("deletionPolicy") == "Detach":
            self._tell_event(stored, "ReleaseDomain", f"leave domain {stored.uid} as it is, without xVirt's mark")
            return
        self._domains.pop(stored.uid, None)
        kept = self._volumes.end(stored, self._borrowers(stored))
        if kept:
            self._tell_event(stored, "VolumeRetained", kept_message(kept))
        self._settle_unready()

    # acts

    def operate(self, caller: Caller, call: OperateCall) -> Operation:
        if not call.operation_id or len(call.operation_id) > 128:
            raise InvalidSpec([Problem("operation_id", "must be 1 to 128 characters", "use a UUID")])
        stored = self._own(caller, call.ref)
        known = self._operations.get(call.operation_id)
        if known is not None:
            if known.ref.uid != stored.uid or known.verb is not call.verb:
                message = f"operation id {call.operation_id} was used for another act; choose a new one"
                raise Conflict(message, reason="IdTaken")
            return known
        resolve_token(call.token, None, stored, None, is_same=True)
        if stored.kind != MACHINE:
            message = f"{stored.key} cannot be {call.verb.value}ed; only a VirtualMachine can"
            raise Refused(message, reason="NotAMachine")
        if stored.deletion is not Deletion.NONE:
            raise Conflict(f"{stored.key} is being deleted", reason="Deleting")
        domain = self._domains[stored.uid].record if stored.uid in self._domains else None
        check_verb(call.verb, stored, domain, strategy_of(stored))
        if call.verb in (Verb.SAVE, Verb.RESTORE):
            raise Unsupported("a fake node saves no memory")
        begun = Operation(
            id=call.operation_id, ref=stored.ref, verb=call.verb, state=OperationState.PENDING, started=self._now()
        )
        self._operations[begun.id] = begun
        self._readers.tell(WatchType.OPERATION, begun.ref, operation=begun)
        self._put(dataclasses.replace(stored, run=request_change(call, domain)(stored.run)))
        self._settle(stored.uid)
        done = dataclasses.replace(begun, state=OperationState.SUCCEEDED, finished=self._now(), progress_percent=100)
        self._operations[begun.id] = done
        self._readers.tell(WatchType.OPERATION, done.ref, operation=done)
        return begun

    # what a machine does

    def _soon(self, uid: str) -> None:
        if self.faults.start_delay_s > 0 and uid not in self._domains:
            self._settle(uid, is_starting=True)
            self._later(self.faults.start_delay_s, lambda: self._settle(uid))
        else:
            self._settle(uid)

    def _settle(self, uid: str, *, is_starting: bool = False) -> None:
        """Bring an object to where it is to be, and say so."""
        stored = self._objects.get(uid)
        if stored is None:
            return
        obstacles = obstacles_of(stored, self._has)
        is_to_be = not obstacles and stored.deletion is Deletion.NONE
        if stored.kind == MACHINE and not is_starting and (is_to_be or uid in self._domains):
            before = self._domains.get(uid) or first_domain(stored)
            run, self._domains[uid] = move(stored, before)
            self._tell_changes(stored, before, self._domains[uid])
            if run != stored.run:
                stored = dataclasses.replace(stored, run=run)
                self._put(stored)
        if is_to_be and not is_starting:
            self._make_volumes(stored)
        domain = self._domains.get(uid)
        seen = Seen(
            obstacles=obstacles,
            domain=domain.record if domain else None,
            running=domain.running if domain else None,
            waits=domain.waits if domain else (),
            users=self._users(stored),
            is_moving=is_starting and not obstacles,
        )
        status = describe(stored, self.name, seen, self._now())
        if status != stored.status:
            self._put(dataclasses.replace(stored, status=status))
            self._tell(self._objects[uid])

    def _make_volumes(self, stored: StoredObject) -> None:
        before = self._volumes.make(stored)
        if before and stored.kind == "VirtualDisk" and not stored.status.get("path"):
            message = (
                f"volume {path_of(before[0])} was there before; its content was kept, and nothing was copied into it"
            )
            self._tell_event(stored, "VolumeTakenBack", message)

    def _settle_unready(self) -> None:
        for stored in list(self._objects.values()):
            if stored.status.get("printableStatus", "").endswith("NotFound"):
                self._settle(stored.uid)

    def _has(self, kind: str, namespace: str, name: str) -> bool:
        found = self._objects.get(self._names.get((kind, namespace, name), ""))
        return found is not None and found.deletion is Deletion.NONE

    def _users(self, stored: StoredObject) -> tuple[str, ...]:
        """Running machines that are plugged in to a network, machines of a disk, those that have a machine's own volume which is to
        go: they keep it."""
        if stored.deletion is Deletion.GRACEFUL and stored.kind == MACHINE:
            return tuple(name for names in self._borrowers(stored).values() for name in names)
        if stored.deletion is Deletion.NONE or stored.kind not in ("VirtualNetwork", "VirtualDisk"):
            return ()
        wanted = (stored.kind, stored.name)
        return tuple(
            other.domain_name
            for other in self._objects.values()
            if other.kind == MACHINE
            and other.namespace == stored.namespace
            and (other.uid in self.running() or stored.kind == "VirtualDisk")
            and wanted in needs_of(other.document)
        )

    def _borrowers(self, stored: StoredObject) -> dict[str, tuple[str, ...]]:
        """Of a machine's own volumes that are to go with it: name to other domains that have one by its path."""
        spec = stored.document["spec"]
        if stored.kind != MACHINE or spec.get("deletionPolicy") == "Detach":
            return {}
        others = [item for item in self._objects.values() if item.uid in self._domains and item.uid != stored.uid]
        return {
            name: tuple(other.domain_name for other in others if path_of(name) in _paths_of(other))
            for name, policy in volumes_of(stored)
            if policy == "Delete"
        }

    # reading

    def get(self, caller: Caller, ref: ObjectRef) -> ObjectView:
        return self._visible(caller, ref).view()

    def list_objects(
        self, caller: Caller, kind: str, namespace: str, detail: Detail = Detail.WHOLE
    ) -> list[ObjectView]:
        check_kind(kind)
        views = [view for view in self._views(kind, namespace) if may_see(caller, view.ref)]
        return views if detail is Detail.WHOLE else [without_spec(view) for view in views]

    def watch(self, caller: Caller, kind: str, namespace: str) -> Reader:
        check_kind(kind)

        def wants(ref: ObjectRef) -> bool:
            return kind in ("", ref.kind) and namespace in ("", ref.namespace) and may_see(caller, ref)

        return self._readers.subscribe(wants, self._views(kind, namespace))

    def node_info(self, caller: Caller) -> NodeDescription:
        running = [self._objects[uid].document["spec"] for uid in self.running() if uid in self._objects]
        return describe_host(self.name, self._size, self._readers.boot_id, running, len(self._domains))

    def describe(self, caller: Caller, ref: ObjectRef) -> Description:
        stored = self._visible(caller, ref)
        operations = tuple(item for item in self._operations.values() if item.ref.uid == stored.uid)
        return Description(object=stored.view(), operations=operations)

    def list_events(self, caller: Caller, ref: ObjectRef | None) -> list[Event]:
        return []

    def list_orphans(self, caller: Caller, namespace: str) -> list[Orphan]:
        return []

    def list_foreign(self, caller: Caller) -> list[ForeignDomain]:
        return []

    def adopt(self, caller: Caller, call: AdoptCall) -> ApplyResult:
        raise NotFound(f"no domain has UUID {call.domain_uuid}")

    def console(self, caller: Caller, ref: ObjectRef, *, force: bool) -> ConsoleStream:
        raise Unsupported("a fake node has no console")

    def console_log(self, caller: Caller, ref: ObjectRef, *, follow: bool, tail_bytes: int) -> Iterator[bytes]:
        raise Unsupported("a fake node has no console")

    def open_upload(self, caller: Caller, ref: ObjectRef, size_bytes: int) -> Upload:
        raise Unsupported("a fake node takes no images")

    def accept_epoch(self, caller: Caller, authority: str) -> list[ObjectRef]:
        if not caller.is_host_root:
            raise Forbidden(f"{caller.name} may not; do it on the host, as root, by `xvirt node accept-epoch`")
        for uid, tombstone in self._tombstones.items():
            if tombstone.authority == authority:
                self._tombstones[uid] = Tombstone(authority, 0, 0)
        reset = [stored for stored in self._objects.values() if stored.authority == authority]
        for stored in reset:
            self._put(dataclasses.replace(stored, epoch=0, generation=0))
            self._settle(stored.uid)
        return [stored.ref for stored in reset]

    # the store

    def _put(self, stored: StoredObject) -> None:
        self._objects[stored.uid] = stored
        self._names[stored.kind, stored.namespace, stored.name] = stored.uid

    def _tell(self, stored: StoredObject) -> None:
        self._readers.tell(WatchType.OBJECT, stored.ref, object=stored.view())

    def _tell_event(self, stored: StoredObject, reason: str, message: str) -> None:
        now = self._now()
        event = Event(
            ref=stored.ref, type=EventType.NORMAL, reason=reason, message=message, first_seen=now, last_seen=now
        )
        self._readers.tell(WatchType.EVENT, stored.ref, event=event)

    def _tell_changes(self, stored: StoredObject, before: Domain, after: Domain) -> None:
        """Events of what was changed while the machine ran, as the plugin tells of its steps."""
        old, new = before.running, after.running
        if old is None or new is None or before.starts != after.starts:
            return
        told = []
        if new.cores != old.cores:
            told.append(("SetVcpus", f"set {new.cores} vCPUs live"))
        if new.memory_bytes != old.memory_bytes:
            told.append(("SetMemory", f"set memory to {ByteSize(new.memory_bytes)} live (balloon)"))
        for reason, message in told:
            self._tell_event(stored, reason, message)

    def _views(self, kind: str, namespace: str) -> list[ObjectView]:
        found = [
            stored.view()
            for stored in self._objects.values()
            if kind in ("", stored.kind) and namespace in ("", stored.namespace)
        ]
        return sorted(found, key=lambda view: (view.ref.kind, view.ref.namespace, view.ref.name))

    def _visible(self, caller: Caller, ref: ObjectRef) -> StoredObject:
        if ref.uid:
            found = self._objects.get(ref.uid)
        else:
            check_kind(ref.kind)
            scope = BY_NAME[ref.kind].scope if ref.kind in BY_NAME else Scope.NAMESPACED
            namespace = "" if scope is Scope.CLUSTER else ref.namespace
            found = self._objects.get(self._names.get((ref.kind, namespace, ref.name), ""))
        if found is None or not may_see(caller, found.ref):
            raise NotFound(f"{ref} is not on node {self.name}")
        return found

    def _own(self, caller: Caller, ref: ObjectRef) -> StoredObject:
        stored = self._visible(caller, ref)
        check_namespace(caller, stored.namespace)
        return stored

    def _now(self) -> str:
        return self._clock.timestamp()


def _paths_of(stored: StoredObject) -> set[str]:
    """Files of the host that a machine names by their paths."""
    sources = [disk.get("source") or {} for disk in stored.document["spec"].get("disks", ())]
    return {source["path"] for source in sources if source.get("path")}
